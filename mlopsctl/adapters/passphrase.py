"""Passphrases and PINs: asked for on the terminal, or read from a file that nobody else can read; never an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import EvidenceError

KEY_FILE, PIN_FILE = "MLOPS_KEY_PASSPHRASE_FILE", "MLOPS_PKCS11_PIN_FILE"
"""Environment variables that name a file with the passphrase of a key, and with the PIN of a token."""


def secret(variable: str, question: str, what: str) -> bytes:
    """The secret from the file that the environment variable names, else from the person at the terminal.

    Raises EvidenceError (MLO7130) where there is neither, and for a file that others can read.
    """
    named = os.environ.get(variable, "")
    if named:
        return _from_file(Path(named), variable)
    if not _terminal():
        raise EvidenceError(
            f"{what} is needed, and there is no terminal to ask for it",
            hint=f"run it in a terminal, or set {variable} to a file of mode 600 that holds it",
            code="MLO7130",
        )
    return _asked(question)


def new_secret(variable: str, question: str, what: str) -> bytes:
    """``secret`` for one that is chosen now: asked twice. Raises EvidenceError where the two differ or are empty."""
    given = secret(variable, question, what)
    if not os.environ.get(variable) and _asked("the same again: ") != given:
        raise EvidenceError("the two differ, so nothing was made", hint="run the command again", code="MLO7131")
    if not given:
        raise EvidenceError(
            f"{what} is empty and would protect nothing", hint="choose one of several words", code="MLO7131"
        )
    return given


def _terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and not os.environ.get("CI")


def _asked(question: str) -> bytes:
    from getpass import getpass

    try:
        return getpass(question).encode()
    except EOFError:
        raise EvidenceError("nothing was typed", hint="run the command again", code="MLO7130") from None


def _from_file(path: Path, variable: str) -> bytes:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & 0o077:
                raise EvidenceError(
                    f"{path}, which {variable} names, can be read by others (mode {mode & 0o777:o})",
                    hint=f"chmod 600 {path}",
                    code="MLO7130",
                )
            return stream.read().rstrip(b"\r\n")
    except OSError as error:
        raise EvidenceError(
            f"{path}, which {variable} names, cannot be read: {error.strerror}",
            hint=f"correct {variable}, or unset it to be asked on the terminal",
            code="MLO7130",
        ) from None
