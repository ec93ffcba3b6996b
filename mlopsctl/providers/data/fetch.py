"""Brings a dataset's bytes into the step's own folder, and believes them only by their git or DVC id."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...adapters.dvcfile import (
    Pin,
    cache_path,
    cache_root,
    find_dvc,
    folder_object,
    parse_folder_object,
    parse_pin,
)
from ...adapters.statcache import Hashes, changed_while_reading
from ...adapters.store import copy_hashed, files_below, storage_error
from ...errors import ProviderError
from ...gitobjects import object_id
from ...provider import Context
from ...types import TreeFile


@dataclass(frozen=True)
class Fetched:
    """A private copy of the data: a file or a folder, and its bytes in number."""

    path: Path
    size: int


def fetch(path: str, sources: Mapping[str, TreeFile], ctx: Context) -> Fetched:
    """Copies what ``sources`` name to the scratch folder.

    Raises ProviderError: bytes are not here, differ from their id, or change while they are read.
    """
    target = ctx.scratch / "data" / PurePosixPath(path).name
    target.parent.mkdir(parents=True)
    pin_name = path + ".dvc"
    try:
        if pin_name in sources:
            text = ctx.tree.read(pin_name)
            if object_id("blob", text) != sources[pin_name].oid:
                raise changed_while_reading(pin_name)
            pin = parse_pin(text, pin_name)
            return _pinned_folder(path, pin, target, ctx) if pin.folder else _pinned_file(path, pin, target, ctx)
        if path in sources:
            return Fetched(target, _tracked_file(path, sources[path], target, ctx))
        size = 0
        for name, item in sources.items():
            place = target / PurePosixPath(name).relative_to(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            size += _tracked_file(name, item, place, ctx)
        return Fetched(target, size)
    except OSError as error:
        raise storage_error(error, ctx.scratch) from error


def _tracked_file(path: str, item: TreeFile, target: Path, ctx: Context) -> int:
    try:
        source = ctx.tree.open_path(path)
    except FileNotFoundError:
        raise changed_while_reading(path) from None
    found = copy_hashed(source, target)
    if found.blob != item.oid:
        raise changed_while_reading(path)
    return found.size


def _pinned_file(path: str, pin: Pin, target: Path, ctx: Context) -> Fetched:
    found = _pinned(path, pin.md5, ctx.root / path, target, ctx)
    return Fetched(target, found.size)


def _pinned_folder(path: str, pin: Pin, target: Path, ctx: Context) -> Fetched:
    dvc = find_dvc(ctx.root)
    listing = cache_path(cache_root(dvc), pin.md5) if dvc else None
    target.mkdir()
    if listing is not None and listing.is_file():
        text = listing.read_bytes()
        if _md5(text) + ".dir" != pin.md5:
            raise _corrupt(listing)
        pairs = parse_folder_object(text, str(listing))
        size = 0
        for name, md5 in pairs:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            size += _pinned(f"{path}/{name}", md5, ctx.root / path / name, place, ctx).size
        return Fetched(target, size)
    folder = ctx.root / path
    if folder.is_dir() and not folder.is_symlink():
        pairs, size = [], 0
        for name, file in files_below(folder):
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            hashes = copy_hashed(file, place)
            pairs.append((name, hashes.md5))
            size += hashes.size
        if _md5(folder_object(pairs)) + ".dir" == pin.md5:
            return Fetched(target, size)
        shutil.rmtree(target)
    raise _absent(path)


def _pinned(path: str, md5: str, working: Path, target: Path, ctx: Context) -> Hashes:
    """One file by its md5: from DVC's cache, else from the working folder where that still is the pinned version."""
    dvc = find_dvc(ctx.root)
    cached = cache_path(cache_root(dvc), md5) if dvc else None
    if cached is not None and cached.is_file():
        found = copy_hashed(cached, target)
        if found.md5 != md5:
            raise _corrupt(cached)
        return found
    if working.is_file() and working.resolve().is_relative_to(ctx.root.resolve()):
        found = copy_hashed(working, target)
        if found.md5 == md5:
            return found
        target.unlink()
    raise _absent(path)


def _md5(text: bytes) -> str:
    import hashlib

    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _absent(path: str) -> ProviderError:
    return ProviderError(
        f"the pinned version of '{path}' is not here: neither in DVC's cache nor as the working file",
        hint="dvc pull or mlopsctl pull fetches it; if the working file is the new version: mlopsctl data add",
        code="MLO1103",
    )


def _corrupt(place: Path) -> ProviderError:
    return ProviderError(
        f"{place} is corrupt: its bytes are not what its name says",
        hint=f"rm -f {place} and fetch it again: dvc pull",
        code="MLO1106",
    )
