"""Signing with an EC key inside a PKCS#11 token: a smart card, an HSM, or SoftHSM.

The token is named by a URI (RFC 7512). The PIN comes from a file or the terminal, and is tried once: tokens lock themselves
after a few wrong ones. CKM_ECDSA signs a digest and gives r and s side by side; they become DER here, so that what
comes out is what any EC key gives.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..crypto.keys import verify_ec
from ..errors import EvidenceError, MlopsError
from ..verifiers import public_key
from .passphrase import PIN_FILE, secret
from .pkcs11_uri import Place, read_uri

# By the length of a public key in base64: P-256, P-384, P-521.
_HASHES = {124: hashlib.sha256, 160: hashlib.sha384, 212: hashlib.sha512}


def public_half(uri: str) -> str:
    """The public key, in the spelling of ``verifiers``; asks for no PIN. Raises EvidenceError."""
    place = read_uri(uri)
    library = _library()
    with _errors(place), _token(library, place).open() as session:
        found = _one(session, place, library.ObjectClass.PUBLIC_KEY, library)
        try:
            return public_key(b64encode(library.util.ec.encode_ec_public_key(found)).decode())
        except ValueError as error:
            raise EvidenceError(
                f"the key in the token cannot sign here: {error}",
                hint="make one on P-256: pkcs11-tool --keypairgen --key-type EC:prime256v1",
                code="MLO7135",
            ) from None


def opened(uri: str, key: str) -> Callable[[bytes], bytes]:
    """What signs by the key in the token; it stays logged in while the process lives. Raises EvidenceError."""
    place = read_uri(uri)
    if public_half(uri) != key:
        raise EvidenceError(
            "the token holds another key under this name than the one that was imported",
            hint="insert the token that was imported, or import this one under another name: mlopsctl key import",
            code="MLO7135",
        )
    library = _library()
    pin = secret(PIN_FILE, f"PIN of the token '{place.token.get('label', '')}': ", "the PIN of the PKCS#11 token")
    with _errors(place):
        try:
            session = _token(library, place).open(user_pin=pin.decode())
        except library.PinIncorrect:
            raise EvidenceError(
                "the token refused the PIN; after a few wrong ones it locks itself",
                hint=f"correct the PIN (in the file that {PIN_FILE} names) before you try again",
                code="MLO7131",
            ) from None
        private = _one(session, place, library.ObjectClass.PRIVATE_KEY, library)

    def sign(message: bytes) -> bytes:
        with _errors(place):
            raw = private.sign(_HASHES[len(key)](message).digest(), mechanism=library.Mechanism.ECDSA)
            der: bytes = library.util.ec.encode_ecdsa_signature(raw)
        if not verify_ec(key, message, der):
            raise EvidenceError(
                "the private key in the token is not the other half of the public one of its name",
                hint="name the key by its id= in the URI",
                code="MLO7135",
            )
        return der

    return sign


def _library() -> Any:
    try:
        return import_module("pkcs11")
    except ImportError:
        raise EvidenceError(
            "the package for PKCS#11 is not installed", hint="pip install 'mlopsctl[pkcs11]'", code="MLO7136"
        ) from None


def _token(library: Any, place: Place) -> Any:
    """The one token that is meant. Raises EvidenceError for none or several."""
    if not Path(place.module).is_file():
        raise EvidenceError(
            f"there is no PKCS#11 library at {place.module}",
            hint="install the token's driver, or correct module-path",
            code="MLO7136",
        )
    tokens = list(library.lib(place.module).get_tokens())
    found = [token for token in tokens if all(_text(token, name) == value for name, value in place.token.items())]
    if len(found) != 1:
        names = ", ".join(sorted(filter(None, (_text(token, "label") for token in tokens)))) or "none"
        raise EvidenceError(
            f"the URI means {len(found)} tokens; there are: {names}",
            hint="insert the token, or name its serial too",
            code="MLO7135",
        )
    return found[0]


def _text(token: Any, name: str) -> str:
    value = getattr(token, name, "")
    return value.decode(errors="replace").strip() if isinstance(value, bytes) else str(value).strip()


def _one(session: Any, place: Place, kind: Any, library: Any) -> Any:
    """The one EC key of this class that is meant. Raises EvidenceError for none or several."""
    wanted = {library.Attribute.CLASS: kind, library.Attribute.KEY_TYPE: library.KeyType.EC}
    if place.label:
        wanted[library.Attribute.LABEL] = place.label
    if place.id:
        wanted[library.Attribute.ID] = place.id
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        what = "public" if kind == library.ObjectClass.PUBLIC_KEY else "private"
        raise EvidenceError(
            f"the token holds {len(found)} {what} EC keys of this name",
            hint="pkcs11-tool --list-objects shows what it holds; id= tells keys of one name apart",
            code="MLO7135",
        )
    return found[0]


@contextmanager
def _errors(place: Place) -> Iterator[None]:
    """Errors of the token in our words."""
    library = _library()
    try:
        yield
    except MlopsError:
        raise
    except (library.PKCS11Error, UnicodeDecodeError, RuntimeError) as error:
        raise EvidenceError(
            f"the token ({place.module}) failed: {type(error).__name__} {error}".rstrip(),
            hint="insert the token again; a locked PIN is unlocked by its vendor's tool",
            code="MLO7135",
        ) from None
