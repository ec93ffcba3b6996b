"""EC P-256 keys in PKCS#8 PEM files of mode 0600, plain or encrypted with a passphrase.

An encrypted one is PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914), which OpenSSL reads too. The cost, N = 2^14,
r = 8, p = 5, is one of OWASP's equivalents for passphrases that stays within the memory OpenSSL allows (16 MiB): the
cryptography library by itself would write PBKDF2 with 2,048 rounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..verifiers import public_key
from .passphrase import KEY_FILE, secret

ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_SCRYPT = {"n": 2**14, "r": 8, "p": 5}
_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT_OID = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC = bytes.fromhex("60864801650304012a")


def generate(passphrase: bytes = b"") -> tuple[bytes, str]:
    """A new private key as PEM, encrypted where a passphrase is given, and its public half as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = _pem("ENCRYPTED PRIVATE KEY", _encrypted(der, passphrase)) if passphrase else _pem("PRIVATE KEY", der)
    return made, _public_pem(private)


def opened(path: Path, key: str) -> Callable[[bytes], bytes]:
    """What signs with the private key at ``path``: DER ECDSA over SHA-256. ``key`` is the public half it has to have.

    Raises EvidenceError: MLO7103 for a key that cannot be used, MLO7130 and MLO7131 for its passphrase.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    private = _private_key(path)
    if public_key(_public_pem(private)) != key:
        raise EvidenceError(
            f"{path.with_suffix('.pub')} is the public half of another key",
            hint="remove it: the public half is taken from the private key then",
            code="MLO7103",
        )
    algorithm = ec.ECDSA(hashes.SHA256())

    def sign(message: bytes) -> bytes:
        signature: bytes = private.sign(message, algorithm)
        return signature

    return sign


def public_half(path: Path) -> str:
    """The public key, in the spelling of ``verifiers``, from the private one. Raises EvidenceError."""
    return public_key(_public_pem(_private_key(path)))


def is_encrypted(path: Path) -> bool:
    """Whether a passphrase is needed to sign with the key at ``path``; False where that cannot be seen."""
    with suppress(OSError), path.open("rb") as stream:
        return stream.read(len(ENCRYPTED)) == ENCRYPTED
    return False


def read_private(path: Path) -> bytes:
    """The file of a private key. Raises EvidenceError where it is gone, or others can read it."""
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise EvidenceError(
                    f"the private key {path} can be read by others (mode {mode:o})",
                    hint=f"chmod 600 {path}, and make a new key if others may have read it",
                    code="MLO7103",
                )
            return stream.read()
    except OSError as error:
        raise EvidenceError(
            f"the private key {path} cannot be read: {error.strerror}",
            hint="mount what it lies on, or check who owns it",
            code="MLO7103",
        ) from None


def _private_key(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = read_private(path)
    encrypted = data.startswith(ENCRYPTED)
    what = f"the passphrase of {path}"
    passphrase = secret(KEY_FILE, f"passphrase of the key '{path.stem}': ", what) if encrypted else None
    try:
        private = serialization.load_pem_private_key(data, passphrase)
    except (ValueError, TypeError) as error:
        if encrypted:
            raise EvidenceError(
                f"{what} is another one, or the file is damaged", hint="run the command again", code="MLO7131"
            ) from None
        openssh = data.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
        raise EvidenceError(
            f"{path} holds no usable private key: {'it is an OpenSSH key' if openssh else error}",
            hint=f"mlopsctl key import NAME {path}" if openssh else "mlopsctl key new NAME makes one",
            code="MLO7103",
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.key_size != 256:
        raise EvidenceError(f"{path} is no EC P-256 key", hint="mlopsctl key new NAME makes one", code="MLO7103")
    return private


def _public_pem(private: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode()


def _encrypted(der: bytes, passphrase: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958) around a private key's DER form."""
    import hashlib

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    salt, nonce = os.urandom(16), os.urandom(16)
    secret_key = hashlib.scrypt(passphrase, salt=salt, dklen=32, maxmem=2**26, **_SCRYPT)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(secret_key), modes.CBC(nonce)).encryptor()
    data = encryptor.update(padder.update(der) + padder.finalize()) + encryptor.finalize()
    cost = b"".join(_der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in _SCRYPT.values())
    derivation = _der(0x30, _der(0x06, _SCRYPT_OID), _der(0x30, _der(0x04, salt), cost))
    cipher = _der(0x30, _der(0x06, _AES_256_CBC), _der(0x04, nonce))
    scheme = _der(0x30, _der(0x06, _PBES2), _der(0x30, derivation, cipher))
    return _der(0x30, scheme, _der(0x04, data))


def _der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def _pem(label: str, der: bytes) -> bytes:
    from base64 import b64encode

    text = b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
