"""Folders that are handed to others: written whole or not at all, each file under its sha256 in ``SHA256SUMS``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..errors import EvidenceError, ProviderError, UsageError
from ..gitobjects import object_id
from ..types import TreeFile
from .store import check_name, files_below, hash_file, sync_folder

SUMS = "SHA256SUMS"


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """An empty folder that becomes ``destination`` at the end of the block, with ``SHA256SUMS``; nothing on failure.

    Raises UsageError where something stands there already.
    """
    if destination.exists() or destination.is_symlink():
        raise UsageError(f"{destination} exists already", hint="name a folder that does not exist", code="MLO7241")
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}-{os.urandom(6).hex()}")
    try:
        temporary.mkdir()
        yield temporary
        sums = "".join(f"{hash_file(path)[7:]}  {name}\n" for name, path in files_below(temporary))
        with (temporary / SUMS).open("xb") as stream:
            stream.write(sums.encode())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(destination)
        sync_folder(destination.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def put(folder: Path, name: str, body: bytes, executable: bool = False) -> None:
    """Writes one file of a new folder. Raises ProviderError for a name that would leave it or not be portable."""
    check_name(name)
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as stream:
        stream.write(body)
        os.fchmod(stream.fileno(), 0o755 if executable else 0o644)


def sums_digest(folder: Path) -> str:
    """``sha256:`` of ``SHA256SUMS``: one value that stands for the whole folder."""
    return str(hash_file(folder / SUMS))


class Folder(NamedTuple):
    """A folder that was read: ``wrong`` are (code, file, message); only plain files are looked at."""

    path: Path
    files: dict[str, Path]
    wrong: list[tuple[str, str, str]]

    def below(self, prefix: str) -> dict[str, Path]:
        """Files below ``prefix/`` by the rest of their name."""
        return {name[len(prefix) + 1 :]: path for name, path in self.files.items() if name.startswith(prefix + "/")}

    def read(self, name: str) -> bytes | None:
        return self.files[name].read_bytes() if name in self.files else None


def read_folder(path: Path) -> Folder:
    """Compares every file with ``SHA256SUMS``. Raises EvidenceError where ``path`` is no folder that was exported."""
    try:
        found = dict(files_below(path))
        listed = _parse((path / SUMS).read_bytes())
    except (OSError, ProviderError, ValueError) as error:
        words = error.message if isinstance(error, ProviderError) else str(error)
        words = error.strerror or words if isinstance(error, OSError) else words
        raise EvidenceError(
            f"{path} is no folder that mlopsctl exported: {words}",
            hint="mlopsctl audit export --folder DIR writes one; it holds plain files only",
            code="MLO7233",
        ) from None
    found.pop(SUMS)
    wrong = [("MLO7231", name, "SHA256SUMS lists this file, and it is gone") for name in listed if name not in found]
    wrong += [("MLO7232", name, "SHA256SUMS does not list this file") for name in found if name not in listed]
    for name, file in found.items():
        if name in listed and hash_file(file)[7:] != listed[name]:
            wrong.append(("MLO7230", name, "it has another sha256 than SHA256SUMS lists: it was changed"))
    return Folder(path, found, wrong)


def _parse(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.decode("utf-8").splitlines():
        digest, gap, name = line[:64], line[64:66], line[66:]
        if gap != "  " or len(bytes.fromhex(digest)) != 32 or not name or name in found:
            raise ValueError(f"SHA256SUMS has a line of another form: {line[:80]!r}")
        found[name] = digest
    return found


def tree_files(files: dict[str, Path]) -> dict[str, TreeFile]:
    """Files on disk as git would list them."""
    return {
        name: TreeFile("100755" if path.stat().st_mode & 0o100 else "100644", object_id("blob", path.read_bytes()))
        for name, path in files.items()
    }
