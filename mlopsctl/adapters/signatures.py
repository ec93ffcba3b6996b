"""Whether a signature holds, by any of the ways to sign that a trust policy can name (see ``mlopsctl.verifiers``)."""

from __future__ import annotations

from ..crypto.keys import holds, holds_over
from ..verifiers import is_identity


def verify_signature(key: str, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is by ``key`` over ``message``; under something that is no key, none holds.

    ``signature`` is what the way to sign gives: DER for an EC key, an SSHSIG for an OpenSSH key, a proof of
    ``keyless`` for an identity.
    """
    if is_identity(key):
        from .keyless import verify_identity

        return verify_identity(key, message, signature)
    return holds(key, message, signature)


def verify_digest(key: str, digest: bytes, signature: bytes) -> bool | None:
    """The same for a message of which only the SHA-256 is at hand; None where that is not enough to say."""
    return holds_over(key, digest, signature)
