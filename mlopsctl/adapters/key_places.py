"""Where an imported key is: a PEM file, an OpenSSH key or the SSH agent, a PKCS#11 token.

A descriptor, ``NAME.json`` of mode 600, holds that and the public half; the private one stays where it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import EvidenceError, UsageError
from ..verifiers import is_hardware, public_key
from . import ec_key
from .files import write_atomically

PEM, OPENSSH, PKCS11 = "pem", "openssh", "pkcs11"


class KeyPlace(NamedTuple):
    """One of the kinds above, the public key as ``verifiers`` spell it, and a path, "agent" or a PKCS#11 URI."""

    kind: str
    key: str
    at: str


def find(source: str) -> KeyPlace:
    """The key that a person names, looked at where it is. Raises EvidenceError and UsageError."""
    if source.startswith("pkcs11:"):
        from . import pkcs11_key

        return KeyPlace(PKCS11, pkcs11_key.public_half(source), source)
    path = Path(source).expanduser()
    if not path.is_file():
        raise UsageError(
            f"there is no key at {source}",
            hint="mlopsctl key import NAME ~/.ssh/id_ed25519, FILE.pem or pkcs11:…",
            code="MLO6414",
        )
    from . import ssh_key

    if ssh_key.is_openssh(path):
        return KeyPlace(OPENSSH, *ssh_key.public_half(path))
    return KeyPlace(PEM, ec_key.public_half(path), str(path.resolve()))


def write(path: Path, place: KeyPlace) -> None:
    """Writes a descriptor, for its owner's eyes."""
    write_atomically(path, json.dumps({"version": 1, **place._asdict()}, indent=1).encode() + b"\n", 0o600)


def read(path: Path) -> KeyPlace:
    """Reads a descriptor. Raises EvidenceError (MLO7137) for one that is damaged."""
    try:
        found = json.loads(path.read_bytes())
        place = KeyPlace(found["kind"], public_key(found["key"]), str(found["at"]))
        if found["version"] != 1 or place.kind not in (PEM, OPENSSH, PKCS11):
            raise ValueError("a newer mlopsctl wrote it")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(
            f"{path} does not describe a key: {error}",
            hint=f"remove it and import the key again: mlopsctl key import {path.stem} SOURCE",
            code="MLO7137",
        ) from None
    return place


def words(place: KeyPlace) -> str:
    """The kind and place of a key, for people."""
    if place.kind == OPENSSH:
        what = "OpenSSH hardware key" if is_hardware(place.key) else "OpenSSH key"
        return f"{what} in the SSH agent" if place.at == "agent" else f"{what} {place.at}"
    return f"PKCS#11 token, {place.at}" if place.kind == PKCS11 else f"EC P-256 file {place.at}"


def opened(place: KeyPlace) -> Callable[[bytes], bytes]:
    """What signs with the key; may ask for a passphrase or PIN. Raises EvidenceError."""
    if place.kind == PKCS11:
        from . import pkcs11_key

        return pkcs11_key.opened(place.at, place.key)
    if place.kind == OPENSSH:
        from . import ssh_key

        return ssh_key.opened(place.at, place.key)
    return ec_key.opened(Path(place.at), place.key)
