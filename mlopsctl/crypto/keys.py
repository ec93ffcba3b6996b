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
    from cryptography.exceptions import InvalidSignature

    try:
        public, algorithm = _loaded(key)
        public.verify(signature, message, algorithm)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def holds_over(key: str, digest: bytes, signature: bytes) -> bool | None:
    """Whether the signature holds over the message with this SHA-256; None where the key has the message hashed otherwise."""
    known = _over_digests(key)
    if known is None:
        return None
    verify, way, refusals = known
    try:
        verify(signature, digest, way)
    except refusals:
        return False
    return True


@lru_cache(maxsize=64)
def _over_digests(key: str) -> tuple[Any, Any, tuple[type[Exception], ...]] | None:
    """How to check a digest under the key, and what says that it does not hold; None for keys that need the message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    if is_ssh(key) or is_identity(key):
        return None
    try:
        public = _loaded(key)[0]
    except (ValueError, TypeError):
        return None
    algorithm = hash_of(public.curve.key_size)
    way = ec.ECDSA(Prehashed(algorithm))
    return (public.verify, way, (InvalidSignature, ValueError, TypeError)) if algorithm.name == "sha256" else None


@lru_cache(maxsize=64)
def _loaded(key: str) -> tuple[Any, Any]:
    from binascii import a2b_base64

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = serialization.load_der_public_key(a2b_base64(key))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise TypeError("no EC key")
    return public, ec.ECDSA(hash_of(public.curve.key_size))


def can_verify(key: str) -> bool:
    """Whether an EC key is whole and lies on its curve, which its beginning does not say."""
    try:
        return bool(_loaded(key))
    except (ValueError, TypeError):
        return False


def hash_of(size: int) -> Any:
    """The hash that goes with a curve of this many bits. Raises ValueError for other curves than P-256/384/521."""
    from cryptography.hazmat.primitives import hashes

    by_size: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    if size not in by_size:
        raise ValueError(f"no curve of {size} bits signs here")
    return by_size[size]
