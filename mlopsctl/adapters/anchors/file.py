"""``file:PATH``: receipts as files, in a folder or one by one: on a stick, a share, in somebody else's mailbox."""

from __future__ import annotations

from pathlib import Path

from ..files import write_atomically
from . import Checkpoint, Claim, Held, Left, Setup, Unreachable, cannot_leave

MAX_BYTES = 1 << 20


def leave(place: str, setup: Setup, checkpoint: Checkpoint) -> Left:
    """Writes the receipt: a new file in the folder PATH, or the new file PATH; nothing is overwritten."""
    path = _path(place)
    if path.is_dir() or place.endswith("/"):
        path = path / setup.log / checkpoint.file_name()
    body = checkpoint.receipt(())
    try:
        if path.exists() and path.read_bytes() != body:
            raise cannot_leave(place, "another file stands there", "name a folder, or a file that is not there yet")
        write_atomically(path, body, 0o444)
    except OSError as error:
        raise cannot_leave(place, error.strerror, "name a folder that you can write to") from None
    return Left(str(path))


def seen(place: str, setup: Setup) -> Held:
    """The receipt in the file PATH, or all of this log in the folder PATH."""
    path = _path(place)
    try:
        # A folder may hold the receipts of many logs, each in a folder of its own.
        files = sorted((path / setup.log).glob("*.json")) if path.is_dir() else [path]
        return Held(tuple(Claim(str(file), body=_read(file)) for file in files))
    except OSError as error:
        raise Unreachable(f"{place} cannot be read: {error.strerror}") from None


def _path(place: str) -> Path:
    return Path(place.removeprefix("file:")).expanduser()


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES)
