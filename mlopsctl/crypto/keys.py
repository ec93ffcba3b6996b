"""Whether a signature holds under a key: DER ECDSA under an EC key, SSHSIG under an OpenSSH key."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..verifiers import is_identity, is_ssh
from . import sshsig


def holds(key: str, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is by ``key`` (spelled as in ``verifiers``) over ``message``; an identity is no key."""
    return sshsig.verify(key, message, signature) if is_ssh(key) else verify_ec(key, message, signature)


def verify_ec(key: str, message: bytes, signature: bytes) -> bool:
    """Whether a DER ECDSA signature holds under the base64 public key (hash: SHA-256/384/512 by curve).

    Under a key that is none (no point on its curve), no signature holds.
    """
    return _holds(key, message, signature, 0)


def holds_over(key: str, digest: bytes, signature: bytes) -> bool | None:
    """Whether the signature holds over the message with this SHA-256; None where the key has the message hashed otherwise."""
    if is_ssh(key) or is_identity(key) or not _hashes_with_sha256(key):
        return None
    return _holds(key, digest, signature, 1)


def _holds(key: str, signed: bytes, signature: bytes, how: int) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        public, *ways = _loaded(key)
        public.verify(signature, signed, ways[how])
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


@lru_cache(maxsize=64)
def _hashes_with_sha256(key: str) -> bool:
    try:
        return bool(_loaded(key)[0].curve.key_size == 256)
    except (ValueError, TypeError):
        return False


@lru_cache(maxsize=64)
def _loaded(key: str) -> tuple[Any, Any, Any]:
    """The key, and how it signs a message and a digest of one."""
    from binascii import a2b_base64

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    public = serialization.load_der_public_key(a2b_base64(key))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise TypeError("no EC key")
    algorithm = hash_of(public.curve.key_size)
    return public, ec.ECDSA(algorithm), ec.ECDSA(Prehashed(algorithm))


def hash_of(size: int) -> Any:
    """The hash that goes with a curve of this many bits. Raises ValueError for other curves than P-256/384/521."""
    from cryptography.hazmat.primitives import hashes

    by_size: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    if size not in by_size:
        raise ValueError(f"no curve of {size} bits signs here")
    return by_size[size]
