"""The user's signing keys, outside of every repository: ``keys/NAME.pem``, or ``NAME.json`` that says where a key is.

Beside ``NAME.pem`` lies ``NAME.pub``, and a descriptor holds the public half, so that naming a key needs no library and
asks for nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ..errors import EvidenceError, UsageError
from ..verifiers import asks_for_identity, key_id, pem, public_key, scheme
from . import ec_key, key_places
from .files import write_atomically

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def config_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own folder for keys and pins, outside of every repository."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "mlops"


def key_file(name: str) -> Path:
    """Where the key of this name is kept, or described. Raises UsageError for a name that is no plain word."""
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"'{name}' is no name for a key",
            hint="use letters, digits, dots, dashes and underscores, for example: mlopsctl key new alice",
            code="MLO6414",
        )
    folder = config_folder() / "keys"
    described = folder / f"{name}.json"
    return described if described.is_file() else folder / f"{name}.pem"


def key_path(text: str) -> Path:
    """The key that a person names by a path or by a name."""
    return Path(text) if "/" in text or text.endswith((".pem", ".json")) else key_file(text)


def key_files() -> list[Path]:
    """All keys in the user's folder."""
    folder = config_folder() / "keys"
    return sorted([*folder.glob("*.pem"), *folder.glob("*.json")]) if folder.is_dir() else []


@dataclass
class Signer:
    """A key that signs. ``key`` is spelled as in ``verifiers``, ``kind`` is for people, ``path`` is its file here.

    ``opening`` gives what signs, and may ask for a passphrase or PIN: it is called for the first signature only.
    """

    name: str
    path: Path
    key: str
    kind: str
    opening: Callable[[], Callable[[bytes], bytes]] = field(repr=False)
    _signing: Callable[[bytes], bytes] | None = field(default=None, repr=False)

    @property
    def key_id(self) -> str:
        """As in ``verifiers``: sha256 of the public key's DER form or OpenSSH blob, in hex."""
        return key_id(self.key)

    @property
    def public_key_pem(self) -> str:
        """The public half as people pass it on: PEM, or a line of OpenSSH's."""
        return pem(self.key)

    @property
    def scheme(self) -> str:
        """The form of its signatures, in words."""
        return scheme(self.key)

    def ready(self) -> Callable[[bytes], bytes]:
        """What signs; asks for a passphrase or PIN now where one is needed. Raises EvidenceError."""
        if self._signing is None:
            self._signing = self.opening()
        return self._signing

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA, or an SSHSIG, over ``message``. Raises EvidenceError where the key can't be used."""
        return self.ready()(message)

    def seal(self, message: bytes) -> tuple[bytes, None]:
        """``sign``, in the form that the trail asks for: a key needs no material beside its signature."""
        return self.sign(message), None


def new_key(path: Path, passphrase: bytes = b"") -> Signer:
    """Makes a key pair at ``path`` (``….pem``) and ``….pub``. Raises EvidenceError where one is already there."""
    _refuse_overwriting(path)
    private, public = ec_key.generate(passphrase)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise _exists(path) from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(private)
        stream.flush()
        os.fsync(stream.fileno())
    write_atomically(path.with_suffix(".pub"), public.encode())
    return load_signer(path)


def import_key(name: str, source: str) -> Signer:
    """Records where a key is under a name; no private key is copied. Raises EvidenceError and UsageError.

    ``source`` is a PKCS#11 URI, an OpenSSH private key, its ``.pub`` (the agent signs then), or a PEM file.
    """
    path = key_file(name).with_suffix(".json")
    _refuse_overwriting(path)
    place = key_places.find(source)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_places.write(path, place)
    return load_signer(path)


def _refuse_overwriting(path: Path) -> None:
    for there in (path.with_suffix(".pem"), path.with_suffix(".json")):
        if there.exists():
            raise _exists(there)


def _exists(path: Path) -> EvidenceError:
    return EvidenceError(
        f"there already is a key at {path}, and it is not overwritten",
        hint="take another name, or use the key that is there: mlopsctl key show",
        code="MLO7101",
    )


def load_signer(path: Path) -> Signer:
    """The key at ``path``, a PEM file or a descriptor; it is opened when it first signs. Raises EvidenceError.

    The same Signer while the files stay the same: nobody is asked for a passphrase twice.
    """
    if not path.is_file():
        raise EvidenceError(
            f"there is no signing key at {path}",
            hint=f"mlopsctl key new {path.stem}, or set MLOPS_KEY to the path or name of your key",
            code="MLO7102",
        )
    return _loaded(path, (_stamp(path), _stamp(path.with_suffix(".pub"))))


def public_half(path: Path) -> str:
    """The public key of the key at ``path``, where it is written down; "" where it is not: nobody is asked for it."""
    if not path.is_file() or (path.suffix != ".json" and not path.with_suffix(".pub").is_file()):
        return ""
    return load_signer(path).key


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=16)
def _loaded(path: Path, stamps: object) -> Signer:
    return _described(path) if path.suffix == ".json" else _pem_signer(path)


def _pem_signer(path: Path) -> Signer:
    beside = path.with_suffix(".pub")
    if not beside.is_file():
        key = ec_key.public_half(path)
    else:
        try:
            key = public_key(beside.read_text(encoding="ascii"))
        except ValueError as error:
            raise EvidenceError(
                f"{beside} holds no public key: {error}",
                hint="remove it: the public half is taken from the private key then",
                code="MLO7103",
            ) from None
    kind = "EC P-256 file, encrypted" if ec_key.is_encrypted(path) else "EC P-256 file"
    return Signer(path.stem, path, key, kind, lambda: ec_key.opened(path, key))


def _described(path: Path) -> Signer:
    place = key_places.read(path)
    return Signer(path.stem, path, place.key, key_places.words(place), lambda: key_places.opened(place))


def default_key(preferred: str = "", environ: Mapping[str, str] | None = None) -> Path | None:
    """The key to sign with: $MLOPS_KEY (a path or a name), the preferred name, or the only key there is; else None.

    None too where $MLOPS_KEY asks for an identity: see ``keyless_signer``.
    """
    env = os.environ if environ is None else environ
    if asks_for_identity(env.get("MLOPS_KEY", "")):
        return None  # Nobody's key is taken silently where an identity was asked for.
    if env.get("MLOPS_KEY"):
        return key_path(env["MLOPS_KEY"])
    if preferred and key_file(preferred).is_file():
        return key_file(preferred)
    found = key_files()
    return found[0] if len(found) == 1 else None
