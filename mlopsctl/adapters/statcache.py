"""Hashes of files, remembered by what ``stat`` says, so that an unchanged file is read once.

A file counts as unchanged while size, mtime, inode and ctime are the same (mtime alone can be set back). An entry made
within the clock's grain of the file's last change is "racily clean", as git calls it, and is never trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .facts import GRAIN_NS
from .files import write_atomically

CHUNK = 1 << 20


class Hashes(NamedTuple):
    """One file's content ids, each in bare hex: DVC's md5, our sha256 and git's blob id; "" for one not asked for."""

    size: int
    md5: str
    sha256: str
    blob: str


def changed_while_reading(path: Path | str) -> ProviderError:
    """The error for a file that somebody writes while it is read."""
    return ProviderError(
        f"{path} changed while it was read",
        hint="wait until whatever writes it is done, then run the command again",
        code="MLO1104",
    )


def hash_once(path: Path, each: Callable[[bytes], object] | None = None, *, only_blob: bool = False) -> Hashes:
    """All hashes of a file in one read; ``each`` is given every chunk (a copy, a progress bar).

    ``only_blob`` computes git's id alone, which takes a third of the time.

    Raises OSError, and ProviderError MLO1104 where the file changed meanwhile.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    sha256 = hashlib.sha256()
    with path.open("rb") as source:
        before = os.fstat(source.fileno())
        blob = hashlib.sha1(f"blob {before.st_size}\0".encode(), usedforsecurity=False)
        size = 0
        while chunk := source.read(CHUNK):
            blob.update(chunk)
            if not only_blob:
                md5.update(chunk)
                sha256.update(chunk)
            size += len(chunk)
            if size > before.st_size:
                raise changed_while_reading(path)
            if each is not None:
                each(chunk)
        after = os.fstat(source.fileno())
    if size != before.st_size or signature(after)[:2] != signature(before)[:2]:
        raise changed_while_reading(path)
    if only_blob:
        return Hashes(size, "", "", blob.hexdigest())
    return Hashes(size, md5.hexdigest(), sha256.hexdigest(), blob.hexdigest())


def signature(stat: os.stat_result) -> tuple[int, int, int, int]:
    """What must stay the same for the content to count as unchanged: size, mtime, inode, ctime."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns


class StatCache:
    """Remembers the hashes of files; kept in ``file`` where one is given, else for this process only.

    Whoever can write ``file`` can vouch for any bytes, so it lies in ``.git/mlops`` and never in a shared store.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known: dict[str, tuple[tuple[int, int, int, int], int, Hashes]] = {}
        self._dirty = False
        if file is not None:
            self._known = _load(file)

    def hashes(self, path: Path, each: Callable[[bytes], object] | None = None) -> Hashes:
        """The hashes of a file, from memory where its stat is unchanged. Raises as ``hash_once`` does."""
        found = self.get(path)
        if found is None or not found.sha256:
            stat, now = path.stat(), time.time_ns()
            found = hash_once(path, each)
            self.remember(path, stat, found, now)
        return found

    def blob(self, path: Path) -> str:
        """Git's id of a file, from memory where its stat is unchanged. Raises as ``hash_once`` does."""
        found = self.get(path)
        if found is None:
            stat, now = path.stat(), time.time_ns()
            found = hash_once(path, only_blob=True)
            self.remember(path, stat, found, now)
        return found.blob

    def get(self, path: Path) -> Hashes | None:
        """What is remembered of a file, or None where it is unknown, changed or racily clean."""
        known = self._known.get(str(path.absolute()))
        if known is None:
            return None
        stat, checked, found = known
        now = signature(path.stat())
        if now != stat or max(now[1], now[3]) + GRAIN_NS >= checked:
            return None
        return found

    def remember(self, path: Path, stat: os.stat_result, found: Hashes, checked: int) -> None:
        """Keeps hashes read at or after ``checked`` (ns since the epoch), when the file had this stat."""
        self._known[str(path.absolute())] = (signature(stat), checked, found)
        self._dirty = True

    def save(self) -> None:
        """Writes the memory to its file; files that are gone are dropped. A folder that cannot be written is no error."""
        if self._file is None or not self._dirty:
            return
        alive = {
            path: [*stat, checked, found.size, found.md5, found.sha256, found.blob]
            for path, (stat, checked, found) in self._known.items()
            if Path(path).exists()
        }
        # Where it cannot be written only time is lost: the next command hashes again.
        with suppress(OSError):
            write_atomically(self._file, json.dumps(alive).encode(), 0o600)
            self._dirty = False


def _load(file: Path) -> dict[str, tuple[tuple[int, int, int, int], int, Hashes]]:
    """An unreadable memory is an empty one."""
    try:
        raw: Mapping[str, list[int | str]] = json.loads(file.read_bytes())
        return {
            path: (
                (int(v[0]), int(v[1]), int(v[2]), int(v[3])),
                int(v[4]),
                Hashes(int(v[5]), str(v[6]), str(v[7]), str(v[8])),
            )
            for path, v in raw.items()
        }
    except (OSError, ValueError, AttributeError, IndexError, TypeError):
        return {}
