"""OpenSSF model signatures, by whoever signs: a key (``model_signature``) or an identity (``model_keyless``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..verifiers import is_identity
from .keyless_signer import IdentitySigner
from .keys import Signer


def sign_folder(folder: Path, signer: Signer | IdentitySigner, signature: Path) -> None:
    """Writes the OpenSSF signature of a folder (or one file) to ``signature``, atomically. Raises EvidenceError."""
    from . import model_keyless, model_signature

    if isinstance(signer, IdentitySigner):
        model_keyless.sign_folder(folder, signer, signature)
    else:
        model_signature.sign_folder(folder, signer, signature)


def sign_files(name: str, files: Mapping[str, str], signer: Signer | IdentitySigner) -> bytes:
    """The OpenSSF signature of a folder of this name with these files (path -> sha256 in hex). Raises EvidenceError."""
    from . import model_keyless, model_signature

    if isinstance(signer, IdentitySigner):
        return model_keyless.sign_files(name, files, signer)
    return model_signature.sign_files(name, files, signer)


def verify_folder(folder: Path, signature: Path, who: str) -> None:
    """Checks that ``signature`` is by ``who``, as ``verifiers.pem`` writes it, and covers exactly the files of ``folder``.

    Raises EvidenceError: MLO7110 other bytes or signer, MLO7111 no readable signature, MLO7112 links and the like.
    """
    from . import model_keyless, model_signature

    if is_identity(who):
        model_keyless.verify_folder(folder, signature, who.strip())
    else:
        model_signature.verify_folder(folder, signature, who)
