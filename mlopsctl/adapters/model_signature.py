"""OpenSSF model signatures over artifact folders, with the library's soft spots closed.

The library decides what a signature is (any OpenSSF tool can check ours); what it would wave through is refused
here first: ignored paths chosen by the signer, weaker hashes, the pre-1.0 form, several or no signatures, links.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from .files import write_atomically
from .keys import Signer
from .signatures import verify_signature

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
_HINT = "do not use this model; sign it anew where it was made, or fetch it again: mlopsctl pull"


def sign_folder(folder: Path, signer: Signer, signature: Path) -> None:
    """Writes the OpenSSF signature of a folder (or one file) to ``signature``, atomically.

    Every file counts, git's own names too. Raises EvidenceError for links and for a signature inside the folder.
    """
    _only_files(folder)
    if signature.resolve().is_relative_to(folder.resolve()):
        raise EvidenceError(
            "a signature cannot lie inside the folder that it signs",
            hint=f"choose a place beside it: {folder}.sig",
            code="MLO7112",
        )
    signing: Any = import_module("model_signing.signing")
    config = signing.Config().set_hashing_config(_hashing()).use_elliptic_key_signer(private_key=signer.path)
    with tempfile.TemporaryDirectory(prefix="mlopsctl-") as place:
        made = Path(place) / "model.sig"
        config.sign(folder, made)
        write_atomically(signature, made.read_bytes())


def verify_folder(folder: Path, signature: Path, public_key_pem: str) -> None:
    """Checks that ``signature`` is by this key and covers exactly the files of ``folder`` (or the one file).

    Raises EvidenceError: MLO7110 other bytes or key, MLO7111 no readable signature, MLO7112 links and the like.
    """
    if not folder.exists():
        raise EvidenceError(f"there is nothing at {folder}", hint="check the path", code="MLO7110")
    _only_files(folder)
    bundle = _read_bundle(signature)
    _check_signature(bundle, public_key_pem)
    from cryptography.exceptions import InvalidSignature

    verifying: Any = import_module("model_signing.verifying")
    with tempfile.TemporaryDirectory(prefix="mlopsctl-") as place:
        key = Path(place) / "key.pub"
        key.write_text(public_key_pem, encoding="ascii")
        config = verifying.Config().set_hashing_config(_hashing()).use_elliptic_key_verifier(public_key=key)
        try:
            config.verify(folder, signature)
        except (ValueError, KeyError, IndexError, TypeError, InvalidSignature) as error:
            words = _differences(folder, signature) or str(error) or type(error).__name__
            raise EvidenceError(f"{folder} is not as it was signed: {words}", hint=_HINT, code="MLO7110") from None


def _differences(folder: Path, signature: Path) -> str:
    """What differs from the files that a (verified) signature lists, in words."""
    listed = signed_files(signature)
    paths = [folder] if folder.is_file() else [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    kinds = {
        "changed": [name for name in listed if name in found and found[name] != listed[name]],
        "missing": [name for name in listed if name not in found],
        "not signed": [name for name in found if name not in listed],
    }
    return "; ".join(f"{kind}: {', '.join(names[:5])}" for kind, names in kinds.items() if names)


def signed_files(signature: Path) -> dict[str, str]:
    """Name -> sha256 of the files that a signature lists; nothing is verified here. Raises EvidenceError."""
    predicate = _payload(_read_bundle(signature))["predicate"]
    return {item["name"]: item["digest"] for item in predicate["resources"]}


def _hashing() -> Any:
    hashing: Any = import_module("model_signing.hashing")
    # The library leaves .git, .gitignore and the like out unless told not to: then they could be swapped.
    return (
        hashing.Config()
        .use_file_serialization(hashing_algorithm="sha256")
        .set_ignored_paths(paths=[], ignore_git_paths=False)
    )


def _only_files(folder: Path) -> None:
    """Links and devices are refused here: the library's own switch for them is ignored when it verifies."""
    paths = [folder]
    for place, folders, files in os.walk(folder):
        paths += [Path(place) / name for name in (*folders, *files)]
    for path in paths:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise EvidenceError(
                f"{path} is a link or no ordinary file; a signature covers plain files only",
                hint="replace it by the file it stands for",
                code="MLO7112",
            )


def _read_bundle(signature: Path) -> dict[str, Any]:
    try:
        bundle = json.loads(signature.read_bytes())
    except OSError as error:
        raise EvidenceError(
            f"the signature {signature} cannot be read: {error.strerror}",
            hint="--signature names another file; mlopsctl sign PATH makes one",
            code="MLO7111",
        ) from None
    except ValueError:
        bundle = None
    if not isinstance(bundle, dict) or bundle.get("mediaType") != _MEDIA_TYPE:
        raise EvidenceError(f"{signature} is no model signature", hint="mlopsctl sign PATH makes one", code="MLO7111")
    return bundle


def _payload(bundle: dict[str, Any]) -> dict[str, Any]:
    from base64 import b64decode

    try:
        envelope = bundle["dsseEnvelope"]
        payload = json.loads(b64decode(envelope["payload"], validate=True))
        predicate = payload["predicate"]
        well_formed = (
            envelope["payloadType"] == _PAYLOAD_TYPE
            and payload["predicateType"] == _PREDICATE
            and len(envelope["signatures"]) == 1
            and bool(bundle["verificationMaterial"]["publicKey"]["hint"])
            and all(isinstance(item["name"], str) for item in predicate["resources"])
        )
    except (KeyError, TypeError, ValueError):
        well_formed, predicate = False, {}
    if not well_formed:
        raise EvidenceError(
            "the signature has another form than OpenSSF model signing 1.0 with one key", hint=_HINT, code="MLO7111"
        )
    if predicate.get("serialization") != _SERIALIZATION:
        raise EvidenceError(
            f"the signature leaves files out or hashes them otherwise: {predicate.get('serialization')}",
            hint="sign the folder with mlopsctl sign, which covers every file",
            code="MLO7113",
        )
    found: dict[str, Any] = payload
    return found


def _check_signature(bundle: dict[str, Any], public_key_pem: str) -> None:
    """The signature itself, over DSSE's encoding only: the library also takes a pre-1.0 form of it."""
    from base64 import b64decode

    _payload(bundle)
    envelope = bundle["dsseEnvelope"]
    payload = b64decode(envelope["payload"])
    message = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    key = "".join(line for line in public_key_pem.split("\n") if not line.startswith("-----")).strip()
    try:
        held = verify_signature(key, message, b64decode(envelope["signatures"][0]["sig"], validate=True))
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"the signature or the key is malformed: {error}", hint=_HINT, code="MLO7111") from None
    if not held:
        raise EvidenceError("the signature is not by this key, or was changed", hint=_HINT, code="MLO7110")
