"""One writer at a time in a clone: a lock that the kernel releases however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..errors import StaleError
from ..serving.processes import is_alive, start_mark
from .times import lasting
from .watch import taking

_TRIES, _MOMENT = 10, 0.01
"""How often, and after how many seconds, a lock is tried again of which nobody here can be seen to have it."""


class Holder(NamedTuple):
    """Who has the lock, by what it wrote into it; ``mark`` tells its process from a later one of the same number."""

    command: str = ""
    pid: int = 0
    host: str = ""
    since: str = ""
    mark: str = ""

    def lives(self) -> bool | None:
        """Whether its process is at work; None where that cannot be seen from here."""
        if self.host != socket.gethostname() or not self.mark:
            return None
        # A container sees its own processes only, and shares the name of its host at times.
        return is_alive(self.pid, self.mark) or None

    def __str__(self) -> str:
        if not self.pid:
            return "a process that did not say who it is"
        return f"'{self.command}', process {self.pid} on {self.host}, since {self.since}{self._age()}"

    def _age(self) -> str:
        with suppress(ValueError):
            return f" ({lasting(time.time() - datetime.fromisoformat(self.since).timestamp())})"
        return ""


@contextmanager
def locked(path: Path, command: str, does: str = "works in this clone") -> Iterator[None]:
    """Holds ``path`` for the block. Raises StaleError that names the holder when another process has it."""
    with taking(path):
        descriptor = _taken(path, command, does)
    try:
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _taken(path: Path, command: str, does: str) -> int:
    """The descriptor of the lock, with our name in it. Raises as ``locked`` does."""
    descriptor = _open(path)
    tries = _TRIES
    try:
        while not _try_lock(descriptor) or not _is_at(descriptor, path):
            if _is_at(descriptor, path):
                found = _read(descriptor)
                if tries and not found.lives():
                    # Whoever asks who has the lock takes it for a moment, and leaves no name in it.
                    tries -= 1
                    time.sleep(_MOMENT)
                    continue
                raise StaleError(
                    f"another mlopsctl {does}: {found}",
                    hint="wait until it is done and try again, or end it: mlopsctl cancel",
                    code="MLO6001",
                )
            # Somebody broke the lock between our opening and our locking it.
            os.close(descriptor)
            descriptor = _open(path)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(command, os.getpid(), socket.gethostname(), now, start_mark(os.getpid()))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder._asdict()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still is the one that the path names."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _read(descriptor: int) -> Holder:
    try:
        held = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(
            str(held["command"]), int(held["pid"]), str(held["host"]), str(held["since"]), str(held.get("mark", ""))
        )
    except (ValueError, KeyError, TypeError):
        return Holder()


def holder(path: Path) -> Holder | None:
    """Who has the lock now; None where it is free. Nothing is written, so that it can be asked of a read-only clone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _try_lock(descriptor) else _read(descriptor)
    finally:
        os.close(descriptor)


def break_lock(path: Path) -> None:
    """Puts the lock aside, so that the next who asks gets a new one. Two may write then, if its holder lives."""
    path.unlink(missing_ok=True)


def terminate(found: Holder) -> bool:
    """Sends SIGTERM to exactly this holder; False where it ended meanwhile. Raises PermissionError."""
    try:
        handle = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return False
    try:
        # Looked at after the handle was taken: from here on the number cannot become another process's.
        if not is_alive(found.pid, found.mark):
            return False
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
