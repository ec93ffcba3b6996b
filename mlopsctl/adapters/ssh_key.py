"""Signing with the user's OpenSSH key: an unencrypted file here, everything else through the SSH agent.

A key that is encrypted, or that lies in a hardware key (``sk-…``), signs once ``ssh-add`` gave it to the agent.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..crypto import sshsig
from ..crypto.keys import hash_of
from ..errors import EvidenceError
from ..verifiers import is_ssh, mpint, pack, public_key
from .ec_key import read_private
from .ssh_agent import agent_keys, agent_sign

AGENT = "agent"
_PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----"


def opened(at: str, key: str) -> Callable[[bytes], bytes]:
    """What signs by the OpenSSH key ``key``; ``at`` is the private file, or "agent". Raises EvidenceError."""
    blob = a2b_base64(key.partition(" ")[2])
    private = _unencrypted(Path(at), key) if at != AGENT else None
    if private is not None:
        return lambda message: sshsig.wrap(blob, _signed(private, key, sshsig.signed_bytes(message)))
    if blob not in agent_keys():
        raise EvidenceError(
            f"the SSH agent does not hold the key {key[:40]}…",
            hint=f"ssh-add {at if at != AGENT else 'PATH_OF_THE_KEY'}",
            code="MLO7132",
        )

    def sign(message: bytes) -> bytes:
        signature = sshsig.wrap(blob, agent_sign(blob, sshsig.signed_bytes(message)))
        if not sshsig.verify(key, message, signature):
            raise EvidenceError(
                "the SSH agent gave a signature that does not hold: by SHA-1, or without a touch",
                hint="use an agent of OpenSSH 8.2 or newer, and a key that was not made with no-touch-required",
                code="MLO7132",
            )
        return signature

    return sign


def public_half(source: Path) -> tuple[str, str]:
    """(public key, where it signs) of ``id_…`` or ``id_….pub``, the latter by the agent. Raises EvidenceError."""
    public = source if source.suffix == ".pub" else source.with_name(source.name + ".pub")
    try:
        key = public_key(public.read_text(encoding="utf-8"))
        if not is_ssh(key):
            raise ValueError("it is no OpenSSH key")
    except FileNotFoundError:
        raise EvidenceError(
            f"the public half of the key is missing: {public}",
            hint=f"ssh-keygen -y -f {source} > {public}" if source != public else "check the path",
            code="MLO7133",
        ) from None
    except (OSError, ValueError) as error:
        raise EvidenceError(
            f"{public} holds no key that can sign here: {error}",
            hint="ssh-keygen -t ed25519 makes one that can",
            code="MLO7133",
        ) from None
    return key, AGENT if source == public else str(source.resolve())


def is_openssh(source: Path) -> bool:
    """Whether the file is an OpenSSH key, private or public."""
    with source.open("rb") as stream:
        return stream.read(len(_PRIVATE)) == _PRIVATE or source.suffix == ".pub"


def _unencrypted(path: Path, key: str) -> Any:
    """The private key in the file; None where only the agent can use it. Raises EvidenceError (MLO7133)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if not path.is_file() or key.startswith("sk-"):
        return None
    data = read_private(path)
    try:
        private = serialization.load_ssh_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    if public_key(public.decode()) != key:
        raise EvidenceError(
            f"{path} is another key than the one that was imported",
            hint=f"mlopsctl key import NAME {path} imports it under another name",
            code="MLO7133",
        )
    return private


def _signed(private: Any, key: str, data: bytes) -> bytes:
    """Type and signature, packed, of a private key of the cryptography library over ``data``."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    kind = key.partition(" ")[0]
    if kind == "ssh-rsa":
        return pack(sshsig.RSA, private.sign(data, padding.PKCS1v15(), hashes.SHA512()))
    if kind == "ssh-ed25519":
        return pack(kind.encode(), private.sign(data))
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hash_of(private.curve.key_size))))
    return pack(kind.encode(), pack(mpint(r), mpint(s)))
