"""Which trust root identities are checked against: the user's choice, never a repository's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ..errors import EvidenceError
from .keys import config_folder

TRUST = "MLOPS_SIGSTORE_TRUST"


class Source(NamedTuple):
    """Where the trust root comes from: a client trust config, or "" for the public Sigstore; and its stamp."""

    path: str = ""
    stamp: tuple[int, int] = (0, 0)


def trust_source(given: Path | None = None) -> Source:
    """The client trust config to use: the one given, $MLOPS_SIGSTORE_TRUST, ``sigstore.json`` in the user's folder
    for keys and pins, or none: the public Sigstore. Raises EvidenceError (MLO7153).
    """
    named = os.environ.get(TRUST, "")
    if given is None and named and not Path(named).is_absolute():
        raise EvidenceError(
            f"{TRUST}={named} is no absolute path, and a repository must not choose what is trusted",
            hint=f"name the file in full: export {TRUST}=/path/to/trust.json",
            code="MLO7153",
        )
    path = given or (Path(named) if named else config_folder() / "sigstore.json")
    try:
        status = path.stat()
    except FileNotFoundError:
        if given or named:
            raise unreadable(str(path), "there is no such file") from None
        return Source()
    return Source(str(path.resolve()), (status.st_mtime_ns, status.st_size))


def trust_stamp() -> str:
    """Changes with the choice and its file; what was verified under another one is verified anew. Raises nothing."""
    try:
        source = trust_source()
    except (EvidenceError, OSError):
        return os.environ.get(TRUST, "") or "unreadable"
    return f"{source.path} {source.stamp}" if source.path else ""


def unreadable(what: str, why: str) -> EvidenceError:
    """That the trust root cannot be read, and what to do."""
    return EvidenceError(
        f"what Sigstore's signatures are checked against cannot be read: {what}: {why.splitlines()[0] if why else ''}",
        hint=f"{TRUST} names a client trust config (JSON); unset it for the public Sigstore",
        code="MLO7153",
    )
