"""A client of the SSH agent: which keys it holds, and signatures by them.

Source: draft-ietf-sshm-ssh-agent. A message is a length, a type and fields as RFC 4251 writes strings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..verifiers import pack, unpack

_FAILURE, _REQUEST_IDENTITIES, _IDENTITIES_ANSWER, _SIGN_REQUEST, _SIGN_RESPONSE = 5, 11, 12, 13, 14
_RSA_SHA2_512 = 4
_LONGEST = 256 * 1024
PATIENCE = 120.0
"""Seconds: the agent may wait for a person to touch a hardware key or to confirm."""


def agent_keys() -> list[bytes]:
    """The public blobs of the keys that the agent holds. Raises EvidenceError (MLO7132) where none can be asked."""
    answer = _asked(bytes([_REQUEST_IDENTITIES]), _IDENTITIES_ANSWER)
    try:
        # A count, then blob and comment of each key.
        return unpack(answer[4:])[::2]
    except ValueError as error:
        raise _failure(f"the SSH agent answered something else than keys: {error}") from None


def agent_sign(blob: bytes, data: bytes) -> bytes:
    """The agent's signature (type and bytes, packed) over ``data``. Raises EvidenceError (MLO7132)."""
    request = bytes([_SIGN_REQUEST]) + pack(blob, data) + _RSA_SHA2_512.to_bytes(4, "big")
    answer = _asked(request, _SIGN_RESPONSE)
    try:
        return unpack(answer, 1)[0]
    except ValueError as error:
        raise _failure(f"the SSH agent answered something else than a signature: {error}") from None


def _asked(request: bytes, wanted: int) -> bytes:
    """The body of the answer of the wanted type."""
    import socket

    place = os.environ.get("SSH_AUTH_SOCK", "")
    if not place or not Path(place).exists():
        raise EvidenceError(
            "no SSH agent runs here" if not place else f"there is no SSH agent at {place}, which SSH_AUTH_SOCK names",
            hint='start one and give it the key: eval "$(ssh-agent)" && ssh-add PATH_OF_THE_KEY',
            code="MLO7132",
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(place)
            connection.sendall(pack(request))
            size = int.from_bytes(_exactly(connection, 4), "big")
            if not 0 < size <= _LONGEST:
                raise _failure(f"the SSH agent answered {size} bytes")
            answer = _exactly(connection, size)
    except OSError as error:
        raise _failure(f"the SSH agent cannot be asked: {error}") from None
    if answer[0] != wanted:
        refused = answer[0] == _FAILURE and wanted == _SIGN_RESPONSE
        raise _failure("the SSH agent refused to sign" if refused else f"the SSH agent answered with type {answer[0]}")
    return answer[1:]


def _exactly(connection: Any, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise _failure("the SSH agent hung up")
        found += more
    return found


def _failure(message: str) -> EvidenceError:
    return EvidenceError(
        message, hint="ssh-add -l shows what the agent holds; ssh-add -T PATH tries a key", code="MLO7132"
    )
