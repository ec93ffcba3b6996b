"""OpenSSF model signatures by an identity: Sigstore bundles that any OpenSSF tool takes, checked here without a network.

The library would ask for the identity provider's configuration at each signature, and fetch a trust root at each check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..crypto import model_signature as openssf
from ..errors import EvidenceError
from ..verifiers import parts
from .files import write_atomically
from .keyless import verified, verifier
from .model_signature import HINT, check_signable, files_of, only_files, read_signature, refusal
from .sigstore_trust import trust_source

if TYPE_CHECKING:
    from .keyless_signer import IdentitySigner


def sign_folder(folder: Path, signer: IdentitySigner, signature: Path) -> None:
    """Writes the model signature of a folder (or one file) to ``signature``, atomically.

    Raises EvidenceError as ``model_signature.sign_folder`` and ``IdentitySigner.seal``.
    """
    check_signable(folder, signature)
    write_atomically(signature, sign_files(folder.resolve().name, files_of(folder), signer))


def sign_files(name: str, files: Mapping[str, str], signer: IdentitySigner) -> bytes:
    """The model signature of a folder of this name with these files (path -> sha256). Raises EvidenceError."""
    bundle = signer.sign_statement(openssf.statement(name, files))
    return json.dumps(bundle, separators=(",", ":")).encode()


def verify_folder(folder: Path, signature: Path, key: str, trust: Path | None = None) -> str:
    """Checks that the identity ``key`` signed exactly the files of ``folder`` (or the one file), without a network.

    ``trust`` is a client trust config to use instead of the user's. Returns the witnessed moment (RFC 3339, UTC).
    Raises EvidenceError: MLO7110 other bytes or identity, MLO7111 to MLO7113 as ``model_signature``, MLO7153.
    """
    if not folder.exists():
        raise EvidenceError(f"there is nothing at {folder}", hint="check the path", code="MLO7110")
    only_files(folder)
    data = read_signature(signature)
    checker = verifier(trust_source(trust))
    try:
        signed = openssf.read(data)
        if "certificate" not in signed.material:
            raise openssf.Unacceptable("MLO7111", "the signature is by a key and not by an identity")
        at = _identity(checker, key, data)
        openssf.check_files(signed, files_of(folder))
    except openssf.Unacceptable as error:
        raise refusal(folder, error) from None
    return at


def _identity(checker: object, key: str, data: bytes) -> str:
    try:
        return verified(checker, key, json.loads(data))
    except Exception as error:  # noqa: BLE001 - a stranger's bytes in a large library
        name, issuer = parts(key)
        why = " ".join(f"{error or type(error).__name__}".split())
        raise EvidenceError(
            f"the signature is not by {name} (of {issuer}), or was changed: {why}", hint=HINT, code="MLO7110"
        ) from None
