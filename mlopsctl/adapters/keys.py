"""Signing keys: EC P-256, a PKCS#8 PEM file of mode 0600 outside of the repository.

Beside ``name.pem`` lies ``name.pub``, so that naming a key needs no cryptography library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import EvidenceError, UsageError
from ..verifiers import key_id
from .files import write_atomically

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def config_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own folder for keys and pins, outside of every repository."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "mlops"


def key_file(name: str) -> Path:
    """Where the key of this name is kept. Raises UsageError for a name that is no plain word."""
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"'{name}' is no name for a key",
            hint="use letters, digits, dots, dashes and underscores, for example: mlopsctl key new alice",
            code="MLO6414",
        )
    return config_folder() / "keys" / f"{name}.pem"


@dataclass
class Signer:
    """A key that signs. ``key`` is the base64 of its public DER form, as trust policies write it."""

    name: str
    path: Path
    public_key_pem: str
    _private: Any = field(default=None, repr=False)

    @property
    def key(self) -> str:
        return "".join(line for line in self.public_key_pem.splitlines() if not line.startswith("-----"))

    @property
    def key_id(self) -> str:
        """sha256 of the public key's DER form, in hex."""
        return key_id(self.key)

    def sign(self, message: bytes) -> bytes:
        """A DER ECDSA signature over SHA-256 of ``message``. Raises EvidenceError where the key can't be used."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if self._private is None:
            private = _private_key(self.path)
            if Signer(self.name, self.path, _public_pem(private.public_key())).key != self.key:
                raise EvidenceError(
                    f"{self.path.with_suffix('.pub')} is the public half of another key",
                    hint="remove it: the public half is taken from the private key then",
                    code="MLO7103",
                )
            self._private = private
        signature: bytes = self._private.sign(message, ec.ECDSA(hashes.SHA256()))
        return signature

    def seal(self, message: bytes) -> tuple[bytes, None]:
        """``sign``, in the form that the trail asks for: a key needs no material beside its signature."""
        return self.sign(message), None


def new_key(path: Path) -> Signer:
    """Makes a key pair at ``path`` (``….pem``) and ``….pub``. Raises EvidenceError where one is already there."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise EvidenceError(
            f"there already is a key at {path}, and it is not overwritten",
            hint="take another name, or use the key that is there: mlopsctl key show",
            code="MLO7101",
        ) from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)
        stream.flush()
        os.fsync(stream.fileno())
    public = _public_pem(private.public_key())
    write_atomically(path.with_suffix(".pub"), public.encode())
    return Signer(path.stem, path, public, private)


def load_signer(path: Path) -> Signer:
    """The key at ``path``; the private half is read when it first signs. Raises EvidenceError."""
    if not path.is_file():
        raise EvidenceError(
            f"there is no signing key at {path}",
            hint=f"mlopsctl key new {path.stem}, or set MLOPS_KEY to the path of your key",
            code="MLO7102",
        )
    beside = path.with_suffix(".pub")
    if beside.is_file():
        return Signer(path.stem, path, beside.read_text(encoding="ascii"))
    private = _private_key(path)
    return Signer(path.stem, path, _public_pem(private.public_key()), private)


def default_key(preferred: str = "", environ: Mapping[str, str] | None = None) -> Path | None:
    """The key to sign with: $MLOPS_KEY, the preferred name, or the only key there is; else None."""
    env = os.environ if environ is None else environ
    if env.get("MLOPS_KEY"):
        return Path(env["MLOPS_KEY"])
    if preferred and key_file(preferred).is_file():
        return key_file(preferred)
    folder = config_folder(env) / "keys"
    found = sorted(folder.glob("*.pem")) if folder.is_dir() else []
    return found[0] if len(found) == 1 else None


def verify_ec(key: str, message: bytes, signature: bytes) -> bool:
    """Whether a DER ECDSA signature holds under the base64 public key (hash: SHA-256/384/512 by curve).

    Under a key that is none (no point on its curve), no signature holds.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        public, algorithm = _loaded(key)
        public.verify(signature, message, algorithm)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=64)
def _loaded(key: str) -> tuple[Any, Any]:
    from binascii import a2b_base64

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = serialization.load_der_public_key(a2b_base64(key))
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.key_size not in (256, 384, 521):
        raise EvidenceError("only EC keys on P-256, P-384 or P-521 can sign", code="MLO7103", hint="mlopsctl key new")
    by_size: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    return public, ec.ECDSA(by_size[public.curve.key_size])


def _private_key(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    mode = path.stat().st_mode & 0o077
    if mode:
        raise EvidenceError(
            f"the private key {path} can be read by others (mode {path.stat().st_mode & 0o777:o})",
            hint=f"chmod 600 {path}, and make a new key if others may have read it",
            code="MLO7103",
        )
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise EvidenceError(
            f"{path} holds no usable private key: {error}", hint="mlopsctl key new NAME makes one", code="MLO7103"
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.key_size != 256:
        raise EvidenceError(f"{path} is no EC P-256 key", hint="mlopsctl key new NAME makes one", code="MLO7103")
    return private


def _public_pem(public: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()
