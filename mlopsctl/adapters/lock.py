"""One writer at a time in a clone: a lock that the kernel releases however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import StaleError


@contextmanager
def locked(path: Path, command: str) -> Iterator[None]:
    """Holds ``path`` for the block. Raises StaleError that names the holder when another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StaleError(_holder(descriptor), hint="wait until it is done and try again", code="MLO6001") from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "command": command}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 4096, 0))
        return (
            f"another mlopsctl works in this clone: '{held['command']}', process {held['pid']} "
            f"on {held['host']}, since {held['since']}"
        )
    except (ValueError, KeyError):
        return "another mlopsctl works in this clone"
