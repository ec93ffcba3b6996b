"""Files written whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_DAY = 86_400.0


def write_atomically(path: Path, body: bytes, mode: int = 0o644) -> None:
    """Writes ``body`` to ``path`` by a synced temporary file beside it and a rename. Raises OSError.

    A device or pipe (``/dev/null``, ``/dev/stdout``) is written to, never replaced; what stands in its file stays.
    """
    if is_stream(path):
        with open(path, "ab") as stream:
            stream.write(body)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named before it is made, so that an interrupt at any moment leaves nothing behind.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}")
    try:
        with open(temporary, "xb", opener=private) as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe, or an open file of a process, as ``/dev/stdout`` and ``/dev/fd/63`` are.

    A shell may have led the last into a plain file.
    """
    if path.is_dir() or not path.exists():
        return False
    if not path.is_file():
        return True
    folder = path.parent.resolve()
    return folder in (Path("/dev"), Path("/dev/fd")) or folder.is_relative_to("/proc")


def left_behind(path: Path) -> bool:
    """Whether a temporary file or folder is a day old, by the clock of the place where it lies.

    Ours may just have been set, or a file server have another one: what somebody still writes is not to be taken away.
    Raises FileNotFoundError.
    """
    import tempfile

    changed = path.stat(follow_symlinks=False).st_mtime
    if time.time() - changed < _DAY:
        return False
    with tempfile.TemporaryFile(dir=path.parent) as probe:
        return os.fstat(probe.fileno()).st_mtime - changed > _DAY


def private(path: str, flags: int) -> int:
    """Opens a file that nobody else can read before it has its mode."""
    return os.open(path, flags, 0o600)


def start_of(path: Path, most: int) -> bytes:
    """The first bytes of a file, ``most`` of them: what is larger than it may be fills no memory. Raises OSError."""
    with open(path, "rb") as stream:
        return stream.read(most)


def plain_file(folder: Path, path: str) -> Path | None:
    """The file at a relative path with ``/``, where it is a plain one reached through plain folders inside ``folder``."""
    parts = path.split("/")
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        return None
    on_disk = folder
    for part in parts:
        on_disk = on_disk / part
        if on_disk.is_symlink():
            return None
    return on_disk if on_disk.is_file() else None


def reader(folder: Path) -> Callable[[str, int], bytes]:
    """Reads the first bytes of plain files inside ``folder``. What it returns raises FileNotFoundError for anything else."""

    def read(path: str, most: int) -> bytes:
        found = plain_file(folder, path)
        if found is None:
            raise FileNotFoundError(path)
        return start_of(found, most)

    return read
