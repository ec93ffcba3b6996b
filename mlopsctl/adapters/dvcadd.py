"""Pins a file or folder for DVC: cache, ``.dvc`` file and ``.gitignore``, as ``dvc add`` leaves them behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MlopsError
from .dvcfile import (
    Pin,
    cache_root,
    folder_object,
    keep_file,
    keep_text,
    parse_pin,
    pin_text,
    prepare,
    write_atomic,
)
from .git import Repo
from .store import check_name, files_below


@dataclass(frozen=True)
class Added:
    """What ``add`` did: the pin, the ``.dvc`` file, whether anything changed, and the files that git should commit."""

    pin: Pin
    file: Path
    changed: bool
    to_commit: tuple[Path, ...]


def add(repo: Repo, path: Path, tell: Callable[[str], None]) -> Added:
    """Pins ``path``; running it again on unchanged data changes nothing.

    Raises MlopsError: the path is missing, outside, a link, empty or tracked by git; the disk is full.
    """
    place = _inside(repo, path)
    relative = place.relative_to(repo.root).as_posix()
    check_name(relative)
    if repo.git("ls-files", "-z", "--", f":(literal){relative}"):
        raise MlopsError(
            f"{relative} is tracked by git, so git pins it already",
            hint=f"leave it as it is; or hand it over to DVC: git rm -r --cached {relative} && git commit, then run this again",
            code="MLO1122",
        )
    dvc = prepare(repo.root)
    pin = _keep(cache_root(dvc), place, tell)
    file = place.with_name(place.name + ".dvc")
    changed = not (file.is_file() and parse_pin(file.read_bytes(), file.name) == pin)
    if changed:
        write_atomic(file, pin_text(pin).encode())
    ignored = _ignore(place)
    to_commit = [file, place.parent / ".gitignore", dvc / "config", dvc / ".gitignore"]
    return Added(pin, file, changed or ignored, tuple(one for one in to_commit if one.is_file()))


def _inside(repo: Repo, path: Path) -> Path:
    """The path in full, where it is data of this repository."""
    place = path.parent.resolve() / path.name

    def refuse(why: str, hint: str) -> MlopsError:
        return MlopsError(f"{path} can not be added: {why}", hint=hint, code="MLO1123")

    if place.is_symlink():
        raise refuse("it is a link", "add the file that it points to, or copy it here")
    if not place.exists():
        raise refuse("there is nothing of that name", "check the path")
    if not place.is_file() and not place.is_dir():
        raise refuse("it is a device or a pipe", "write its content to a file first")
    if not place.is_relative_to(repo.root) or place == repo.root:
        raise refuse("it lies outside this repository", "copy it in, for example to data/")
    if {".git", ".dvc"} & set(place.relative_to(repo.root).parts):
        raise refuse("it belongs to git or DVC", "choose a data file or folder")
    if place.name.endswith(".dvc"):
        raise refuse("it is itself a pin", f"add the data beside it: {path.with_suffix('')}")
    if place.is_dir() and not any(place.iterdir()):
        raise refuse("the folder is empty", "put the data there first")
    return place


def _keep(cache: Path, place: Path, tell: Callable[[str], None]) -> Pin:
    if not place.is_dir():
        tell_later = _Pace(tell, 1, place.stat().st_size)
        found = keep_file(cache, place)
        tell_later.done(found.size)
        return Pin(found.md5, found.size, place.name)
    files = files_below(place)
    pace = _Pace(tell, len(files), sum(file.stat().st_size for _, file in files))
    pairs, size = [], 0
    for name, file in files:
        found = keep_file(cache, file)
        pairs.append((name, found.md5))
        size += found.size
        pace.done(found.size)
    md5 = keep_text(cache, folder_object(pairs), ".dir")
    return Pin(md5, size, place.name, len(pairs))


class _Pace:
    """Says how far a long copy is, once a second."""

    def __init__(self, tell: Callable[[str], None], files: int, size: int) -> None:
        self._tell, self._files, self._size = tell, files, size
        self._next, self._done, self._read = time.monotonic() + 1, 0, 0
        if size > 256 << 20:
            tell(f"hashing and copying {size / 2**20:,.0f} MiB")

    def done(self, size: int) -> None:
        self._done += 1
        self._read += size
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            self._tell(f"{self._done:,} of {self._files:,} files, {self._read >> 20:,} of {self._size >> 20:,} MiB")


def _ignore(place: Path) -> bool:
    """Adds the data to the ``.gitignore`` beside it; whether that changed the file."""
    file = place.parent / ".gitignore"
    name = "".join("\\" + letter if letter in "\\*?[]! #" else letter for letter in place.name)
    text = file.read_text(encoding="utf-8", errors="surrogateescape") if file.is_file() else ""
    if f"/{name}" in text.splitlines():
        return False
    gap = "" if not text or text.endswith("\n") else "\n"
    write_atomic(file, f"{text}{gap}/{name}\n".encode(errors="surrogateescape"))
    return True
