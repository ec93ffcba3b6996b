"""DVC's files as DVC 3 writes them, without DVC: ``<path>.dvc``, the cache and the objects of folders.

Stock ``dvc status``, ``checkout``, ``push`` and ``pull`` work on what is written here; tests hold it against dvc itself.
"""

from __future__ import annotations

import configparser
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MlopsError, ProviderError
from .statcache import Hashes, hash_once
from .store import check_name, copy_hashed, storage_error

MAX_DVC_FILE = 1 << 20
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z][a-z0-9_.-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Pin:
    """What a ``.dvc`` file pins: DVC's md5 (of a file, or of a folder's listing object, then with ``.dir``)."""

    md5: str
    size: int
    path: str
    nfiles: int | None = None

    @property
    def folder(self) -> bool:
        return self.md5.endswith(".dir")


def parse_pin(text: bytes, name: str) -> Pin:
    """Reads a ``.dvc`` file. Raises ProviderError MLO1105 where it is broken or of a form that is not built."""
    import yaml

    def broken(why: str, hint: str = f"dvc add {name.removesuffix('.dvc')} writes it anew") -> ProviderError:
        return ProviderError(f"{name} can not be used: {why}", hint=hint, code="MLO1105")

    if len(text) > MAX_DVC_FILE:
        raise broken("it is larger than 1 MiB")
    try:
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # A date or a tag without a meaning fails with whatever Python says of it.
        words = str(error).partition("\n")[0] or type(error).__name__
        raise broken(f"it is not YAML ({words})") from None
    outs = loaded.get("outs") if isinstance(loaded, dict) else None
    if not isinstance(outs, list) or len(outs) != 1 or not isinstance(outs[0], dict):
        raise broken("it must list exactly one output under 'outs'")
    out = outs[0]
    md5, size, path, nfiles = out.get("md5"), out.get("size", 0), out.get("path"), out.get("nfiles")
    if out.get("hash") != "md5":
        raise broken("it is of DVC 2 or of a cloud version", "dvc cache migrate --dvc-files (DVC 3), then commit")
    if loaded.get("wdir", ".") != "." or path != Path(name).name.removesuffix(".dvc"):
        raise broken("it is for another path than the one beside it", "keep the .dvc file beside its data")
    if (
        not isinstance(md5, str)
        or len(md5.removesuffix(".dir")) != 32
        or set(md5.removesuffix(".dir")) - set("0123456789abcdef")
    ):
        raise broken("its md5 is none")
    if not isinstance(size, int) or not isinstance(nfiles, int | None):
        raise broken("its size is no number")
    return Pin(md5, size, path, nfiles)


def pin_text(pin: Pin) -> str:
    """The text of a ``.dvc`` file, as ``dvc add`` writes it."""
    lines = ["outs:", f"- md5: {pin.md5}", f"  size: {pin.size}"]
    if pin.nfiles is not None:
        lines.append(f"  nfiles: {pin.nfiles}")
    # JSON text is valid YAML text, whatever the name holds.
    path = pin.path if _PLAIN.fullmatch(pin.path) else json.dumps(pin.path, ensure_ascii=False)
    return "\n".join([*lines, "  hash: md5", f"  path: {path}", ""])


def find_dvc(folder: Path) -> Path | None:
    """The ``.dvc`` folder that rules ``folder``: its own or the nearest above, up to the repository's root."""
    for place in (folder, *folder.parents):
        if (place / ".dvc").is_dir():
            return place / ".dvc"
        if (place / ".git").exists():
            break
    return None


def cache_root(dvc: Path) -> Path:
    """DVC's cache: ``cache.dir`` of ``config.local`` or ``config`` (relative to ``.dvc``), else ``.dvc/cache``."""
    for name in ("config.local", "config"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(dvc / name, encoding="utf-8")
            found = parser.get("cache", "dir", fallback="")
        except (configparser.Error, UnicodeDecodeError) as error:
            words = str(error).splitlines()[0]
            raise ProviderError(
                f"{dvc / name} can not be read: {words}", hint="dvc config --list", code="MLO1105"
            ) from None
        if found:
            return (dvc / found).resolve()
    return dvc / "cache"


def cache_path(cache: Path, md5: str) -> Path:
    """Where DVC 3 keeps an object."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def folder_object(files: Sequence[tuple[str, str]]) -> bytes:
    """The object that stands for a folder, from (relative name, md5) pairs."""
    listed = [{"md5": md5, "relpath": name} for name, md5 in sorted(files)]
    return json.dumps(listed, sort_keys=True).encode()


def parse_folder_object(text: bytes, name: str) -> list[tuple[str, str]]:
    """The (relative name, md5) pairs of a folder's object. Raises ProviderError where it is none."""
    try:
        pairs = [(item["relpath"], item["md5"]) for item in json.loads(text)]
        for relative, md5 in pairs:
            check_name(relative)
            if len(bytes.fromhex(md5)) != 16:
                raise ValueError(md5)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProviderError(
            f"{name}: DVC's listing of the folder is broken ({error})", hint="dvc fetch --force", code="MLO1105"
        ) from None
    return pairs


def keep_file(cache: Path, source: Path) -> Hashes:
    """Copies a file into the cache, read-only, as DVC does; an object already there is left alone."""
    cache.mkdir(parents=True, exist_ok=True)
    temporary = cache / f".mlopsctl-{os.getpid()}-{os.urandom(6).hex()}"
    try:
        found = copy_hashed(source, temporary, 0o444)
        place = cache_path(cache, found.md5)
        if not place.is_file() or hash_once(place).md5 != found.md5:
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(place)
    except OSError as error:
        raise storage_error(error, cache) from error
    finally:
        temporary.unlink(missing_ok=True)
    return found


def keep_text(cache: Path, text: bytes, suffix: str) -> str:
    """Writes a small object into the cache and returns its md5 with ``suffix``."""
    import hashlib

    md5 = hashlib.md5(text, usedforsecurity=False).hexdigest() + suffix
    write_atomic(cache_path(cache, md5), text, 0o444)
    return md5


def write_atomic(place: Path, text: bytes, mode: int = 0o644) -> None:
    """Writes a whole file or nothing. Raises MlopsError where the disk is full or not writable."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as out:
            out.write(text)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        temporary.replace(place)
    except OSError as error:
        raise storage_error(error, place) from error
    finally:
        temporary.unlink(missing_ok=True)


def prepare(root: Path) -> Path:
    """The ``.dvc`` folder for a repository, made as ``dvc init`` makes it where there is none."""
    found = find_dvc(root)
    if found is not None:
        return found
    if (root / ".dvc").exists() or (root / ".dvc").is_symlink():
        raise MlopsError(
            f"{root / '.dvc'} is no folder", hint="move it away; DVC keeps its settings there", code="MLO1123"
        )
    dvc = root / ".dvc"
    write_atomic(dvc / ".gitignore", b"/config.local\n/tmp\n/cache\n")
    write_atomic(dvc / "config", b"")
    return dvc
