"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, body: bytes, mode: int = 0o644) -> None:
    """Writes ``body`` to ``path`` by a synced temporary file beside it and a rename. Raises OSError.

    A device or pipe (``/dev/null``, ``/dev/stdout``) is written to, never replaced.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(body)
        return
    # Imported here because it loads every compressor, which a plan would feel.
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
