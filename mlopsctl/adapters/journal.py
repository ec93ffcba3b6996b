"""Entries that are signed but not yet in the notes ref: one synced line each, part of the trail for every reader.

``entries.jsonl`` goes into the notes in groups; ``local.jsonl`` holds own results by a key without the role and
never leaves this machine. One lock serialises the writers of a clone; the kernel frees it however they end.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .files import write_atomically


@dataclass
class Journal:
    """The journal below ``folder``."""

    folder: Path
    _depth: int = field(default=0, repr=False)

    @property
    def shared(self) -> Path:
        return self.folder / "entries.jsonl"

    @property
    def local(self) -> Path:
        return self.folder / "local.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Waits for the other writers of this clone; may be taken again by its holder.

        Raises OSError where the clone cannot be written, before anything under the lock is done.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._depth = 1
            yield
        finally:
            self._depth = 0
            os.close(descriptor)

    def stamp(self) -> tuple[int, int]:
        """Sizes in bytes of the shared and the local file."""
        return _size(self.shared), _size(self.local)

    def read(self, path: Path, start: int = 0) -> tuple[list[bytes], int]:
        """The whole lines from byte ``start``, and where they end; a torn last line was never acknowledged."""
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                body = stream.read()
        except FileNotFoundError:
            return [], 0
        end = body.rfind(b"\n") + 1
        return [line for line in body[:end].split(b"\n") if line], start + end

    def append(self, path: Path, line: bytes) -> None:
        """Adds a line durably; call under the lock. Raises OSError with the file as it was."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            start = _whole(descriptor)
            try:
                _write_all(descriptor, line + b"\n", start)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
        finally:
            os.close(descriptor)

    def set_aside(self, lines: Sequence[bytes]) -> None:
        """Keeps lines that are no valid entries where nothing reads them as such."""
        for line in lines:
            self.append(self.folder / "rejected.jsonl", line)

    def drop(self, end: int) -> None:
        """Forgets the shared lines up to byte ``end`` once they are in the notes; call under the lock."""
        descriptor = os.open(self.shared, os.O_RDWR | os.O_CLOEXEC)
        try:
            rest = os.pread(descriptor, max(os.fstat(descriptor).st_size - end, 0), end)
            if rest.strip():
                raise RuntimeError("the journal grew under its lock")
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


class AnchorFile(NamedTuple):
    """The high-water mark: the newest tips seen here, against a trail that was cut or rolled back since."""

    path: Path

    def read(self) -> dict[str, Any] | None:
        """What was seen last; None where there is no mark or it cannot be read."""
        try:
            seen = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        return seen if isinstance(seen, dict) and isinstance(seen.get("tips"), list) else None

    def write(self, seen: Mapping[str, Any]) -> None:
        write_atomically(self.path, json.dumps(dict(seen), indent=1, sort_keys=True).encode() + b"\n")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _whole(descriptor: int) -> int:
    """Cuts a torn last line off and returns where the next one starts."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    body = os.pread(descriptor, size, 0)
    end = body.rfind(b"\n") + 1
    os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, at)
        data, at = data[done:], at + done
