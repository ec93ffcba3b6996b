"""Commitments: what stands in a signed entry in the place of a value that must not.

A commitment is HMAC-SHA-256 of the value's canonical JSON (RFC 2104, FIPS 198-1). Equal values under one key have equal
commitments, so that a fingerprint sees a change; without the key nobody can try values out. Where the key is made of
the very rows that the value comes from, every clone that has the rows computes the same, and deleting the rows
destroys the key.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from .canonical import canonical
from .types import Json

_CHUNK = 1 << 20


def commitment(key: bytes, value: Json) -> str:
    """``hmac-sha256:…`` of the value under the key."""
    return "hmac-sha256:" + hmac.new(key, canonical(value), hashlib.sha256).hexdigest()


def holds(text: str, key: bytes, value: Json) -> bool:
    """Whether ``text`` is the commitment to this value under this key."""
    return hmac.compare_digest(text, commitment(key, value))


def key_of(rows: Path, purpose: bytes) -> bytes:
    """A key for one purpose (at most 16 bytes), 32 bytes long, that whoever has the rows can make, and nobody else.

    It is BLAKE2b of the bytes, personalised (RFC 7693, section 2.8): the sha256 of the rows, which entries name openly,
    tells nothing about it.
    """
    total = hashlib.blake2b(digest_size=32, person=purpose)
    with rows.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.digest()
