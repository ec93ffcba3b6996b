"""SSHSIG: signatures by OpenSSH keys, as ``ssh-keygen -Y sign -n mlopsctl`` makes them, without the armour.

Source: PROTOCOL.sshsig and PROTOCOL.u2f of OpenSSH, RFC 5656 (ECDSA), RFC 8332 (RSA), RFC 8709 (Ed25519). Read strictly:
one namespace, one hash, nothing reserved, nothing trailing, no SHA-1, and hardware keys only with the person present.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64
from functools import lru_cache
from typing import Any

from ..verifiers import SSH_NAMESPACE, mpint, pack, unpack

MAGIC = b"SSHSIG"
VERSION = 1
HASH = b"sha512"
RSA = b"rsa-sha2-512"
USER_PRESENT = 1
"""The flag by which a hardware key says that somebody touched it."""


def signed_bytes(message: bytes) -> bytes:
    """What the key itself signs: the namespace, the hash and the digest of the message."""
    return MAGIC + pack(SSH_NAMESPACE.encode(), b"", HASH, hashlib.sha512(message).digest())


def wrap(blob: bytes, signature: bytes) -> bytes:
    """The SSHSIG around what the key with this public blob gave over ``signed_bytes``."""
    head = MAGIC + VERSION.to_bytes(4, "big")
    return head + pack(blob, SSH_NAMESPACE.encode(), b"", HASH, signature)


def verify(key: str, message: bytes, signature: bytes) -> bool:
    """Whether the SSHSIG is by this OpenSSH key (``ssh-ed25519 AAAA…``) over the message."""
    from cryptography.exceptions import InvalidSignature

    kind, _, text = key.partition(" ")
    try:
        blob = a2b_base64(text, strict_mode=True)
        _verify(kind, blob, signed_bytes(message), _opened(blob, signature))
    except (ValueError, LookupError, InvalidSignature):
        return False
    return True


def _opened(blob: bytes, signature: bytes) -> bytes:
    """The inner signature. Raises ValueError for another version, key, namespace or hash."""
    if not signature.startswith(MAGIC + VERSION.to_bytes(4, "big")):
        raise ValueError("no SSHSIG of version 1")
    found, namespace, reserved, algorithm, inner = unpack(signature[len(MAGIC) + 4 :], 5)
    if (found, namespace, reserved, algorithm) != (blob, SSH_NAMESPACE.encode(), b"", HASH):
        raise ValueError("another key, namespace or hash")
    return inner


def _verify(kind: str, blob: bytes, data: bytes, inner: bytes) -> None:
    """Raises ValueError or InvalidSignature where the inner signature does not hold."""
    hardware = kind.startswith("sk-")
    algorithm, raw = unpack(inner[:-5] if hardware else inner, 2)
    # The key decides the algorithm: RSA with SHA-1 or SHA-256 is refused, whatever the signature calls itself.
    if algorithm != (RSA if kind == "ssh-rsa" else kind.encode()):
        raise ValueError(f"the algorithm {algorithm!r} does not go with the key")
    if hardware:
        data = _touched(blob, data, inner[-5:])
    public, arguments = _loaded(kind, blob)
    public.verify(_der(raw) if "ecdsa" in kind else raw, data, *arguments)


def _touched(blob: bytes, data: bytes, tail: bytes) -> bytes:
    """What the hardware signed: flags and counter stand behind the signature, the application in the key."""
    if not tail[0] & USER_PRESENT:
        raise ValueError("nobody touched the hardware key")
    application = unpack(blob)[-1]
    return hashlib.sha256(application).digest() + tail + hashlib.sha256(data).digest()


def _der(raw: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    r, s = unpack(raw, 2)
    numbers = int.from_bytes(r, "big"), int.from_bytes(s, "big")
    if (mpint(numbers[0]), mpint(numbers[1])) != (r, s):
        raise ValueError("a number is written in a second way")
    return encode_dss_signature(*numbers)


@lru_cache(maxsize=64)
def _loaded(kind: str, blob: bytes) -> tuple[Any, tuple[Any, ...]]:
    """The public key, and what its ``verify`` takes besides signature and data."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    fields = unpack(blob)
    if "ed25519" in kind:
        return ed25519.Ed25519PublicKey.from_public_bytes(fields[1]), ()
    if kind == "ssh-rsa":
        numbers = rsa.RSAPublicNumbers(int.from_bytes(fields[1], "big"), int.from_bytes(fields[2], "big"))
        return numbers.public_key(), (padding.PKCS1v15(), hashes.SHA512())
    curves: dict[bytes, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
        b"nistp256": (ec.SECP256R1(), hashes.SHA256()),
        b"nistp384": (ec.SECP384R1(), hashes.SHA384()),
        b"nistp521": (ec.SECP521R1(), hashes.SHA512()),
    }
    curve, algorithm = curves[fields[1]]
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, fields[2]), (ec.ECDSA(algorithm),)
