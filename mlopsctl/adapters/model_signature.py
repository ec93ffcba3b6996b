"""OpenSSF model signatures over artifact folders: signing with any key, and the check that refuses all else.

What a signature is stands in ``mlopsctl.crypto.model_signature``; here are the files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from ..crypto import model_signature as openssf
from ..errors import EvidenceError
from ..verifiers import public_key
from .files import write_atomically

HINT = "do not use this model; sign it anew where it was made, or fetch it again: mlopsctl pull"
_HINTS = {
    "MLO7111": "--signature names another file; mlopsctl sign PATH makes one",
    "MLO7113": "sign the folder with mlopsctl sign, which covers every file",
}


class KeySigner(Protocol):
    """Somebody who signs with a key."""

    @property
    def key(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


def sign_folder(folder: Path, signer: KeySigner, signature: Path) -> None:
    """Writes the model signature of a folder (or one file) to ``signature``, atomically.

    Every file counts, git's own names too. Any OpenSSF tool can check it, unless an OpenSSH key signs. Raises
    EvidenceError for links, for a signature inside the folder, and where the key can't sign.
    """
    check_signable(folder, signature)
    write_atomically(signature, sign_files(folder.resolve().name, files_of(folder), signer))


def sign_files(name: str, files: Mapping[str, str], signer: KeySigner) -> bytes:
    """The model signature of a folder of this name with these files (path -> sha256). Raises EvidenceError."""
    return openssf.sign(name, files, signer.key, signer.sign)


def check_signable(folder: Path, signature: Path) -> None:
    """Raises EvidenceError (MLO7112) for links in the folder, and for a signature inside of it."""
    only_files(folder)
    if signature.resolve().is_relative_to(folder.resolve()):
        raise EvidenceError(
            "a signature cannot lie inside the folder that it signs",
            hint=f"choose a place beside it: {folder}.sig",
            code="MLO7112",
        )


def verify_folder(folder: Path, signature: Path, key: str) -> None:
    """Checks that ``signature`` is by this key and covers exactly the files of ``folder`` (or the one file).

    ``key`` is spelled as in ``mlopsctl.verifiers``, or as its ``pem`` gives it. Raises EvidenceError: MLO7110 other bytes
    or key, MLO7111 no readable signature or key, MLO7112 links and the like, MLO7113 files left out.
    """
    if not folder.exists():
        raise EvidenceError(f"there is nothing at {folder}", hint="check the path", code="MLO7110")
    only_files(folder)
    try:
        signed = openssf.read(read_signature(signature))
        openssf.check_key(signed, _spelled(key))
        openssf.check_files(signed, files_of(folder))
    except openssf.Unacceptable as error:
        raise refusal(folder, error) from None


def signed_files(signature: Path) -> dict[str, str]:
    """Name -> sha256 of the files that a signature lists; nothing is verified here. Raises EvidenceError."""
    try:
        return dict(openssf.read(read_signature(signature)).files)
    except openssf.Unacceptable as error:
        raise refusal(signature, error) from None


def refusal(path: Path, error: openssf.Unacceptable) -> EvidenceError:
    """The error for people, with what to do."""
    return EvidenceError(f"{path}: {error.message}", hint=_HINTS.get(error.code, HINT), code=error.code)


def _spelled(key: str) -> str:
    try:
        return public_key(key)
    except ValueError as error:
        raise openssf.Unacceptable("MLO7111", f"there is no key to verify with: {error}") from None


def files_of(folder: Path) -> dict[str, str]:
    """Path below the folder -> sha256 of every file; a single file is called ``.``."""
    if folder.is_file():
        return {openssf.ONE_FILE: _digest(folder)}
    return {path.relative_to(folder).as_posix(): _digest(path) for path in _walk(folder) if path.is_file()}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def only_files(folder: Path) -> None:
    """Links and devices are refused: what they stand for is not covered, and may be exchanged. Names are UTF-8."""
    for path in (folder, *(() if folder.is_file() else _walk(folder))):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise EvidenceError(
                f"{path} is a link or no ordinary file; a signature covers plain files only",
                hint="replace it by the file it stands for",
                code="MLO7112",
            )
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise EvidenceError(
                f"{str(path)!a} has a name that is no UTF-8, and cannot be written into a signature",
                hint="rename it",
                code="MLO7112",
            ) from None


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below the folder. Raises EvidenceError where a part of it cannot be looked into."""

    def stop(error: OSError) -> None:
        raise EvidenceError(f"{error.filename} cannot be read: {error.strerror}", hint="check its mode", code="MLO7112")

    for place, folders, files in os.walk(folder, onerror=stop):
        yield from (Path(place) / name for name in (*folders, *files))


def read_signature(signature: Path) -> bytes:
    """The bytes of a signature file. Raises EvidenceError (MLO7111)."""
    try:
        return signature.read_bytes()
    except OSError as error:
        raise EvidenceError(
            f"the signature {signature} cannot be read: {error.strerror}", hint=_HINTS["MLO7111"], code="MLO7111"
        ) from None
