"""PKCS#11 URIs (RFC 7512): which token, which key in it, and which library to load. A PIN in one is refused."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from ..errors import EvidenceError
from .passphrase import PIN_FILE

SCHEME = "pkcs11:"
_PATH = {"token", "serial", "manufacturer", "model", "object", "id", "type"}
_TOKEN = {"token": "label", "serial": "serial", "manufacturer": "manufacturer_id", "model": "model"}


class Place(NamedTuple):
    """Where a key is: the library to load, attributes of the token, label and id of the key."""

    module: str
    token: dict[str, str]
    label: str
    id: bytes


def read_uri(uri: str) -> Place:
    """Reads ``pkcs11:token=…;object=…?module-path=…``. Raises EvidenceError (MLO7134), also for a PIN inside it."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    attributes, asked = _attributes(path, ";"), _attributes(query, "&")
    if asked.keys() & {"pin-value", "pin-source"}:
        raise EvidenceError(
            "the URI holds a PIN or where one is, and it would be recorded",
            hint=f"leave pin-value and pin-source out; {PIN_FILE} names a file that holds the PIN",
            code="MLO7134",
        )
    unknown = sorted(attributes.keys() - _PATH) + sorted(asked.keys() - {"module-path"})
    if unknown:
        raise _bad(f"it has {unknown[0]}=, which is not known here")
    if attributes.get("type", "private") != "private":
        raise _bad(f"type={attributes['type']} is no private key")
    module = unquote(asked.get("module-path", ""))
    if not module.startswith("/"):
        raise _bad("module-path is no absolute path of a PKCS#11 library")
    token = {_TOKEN[name]: unquote(value) for name, value in attributes.items() if name in _TOKEN}
    label, key_id = unquote(attributes.get("object", "")), unquote_to_bytes(attributes.get("id", ""))
    if not token or not (label or key_id):
        raise _bad("it names no token, or no key in it")
    return Place(module, token, label, key_id)


def _attributes(text: str, separator: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if not equals or name in found or not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise _bad(f"'{part.partition('=')[0]}' stands twice or has no value")
        found[name] = value
    return found


def _bad(why: str) -> EvidenceError:
    return EvidenceError(
        f"the PKCS#11 URI cannot be used: {why}",
        hint="pkcs11:token=NAME;object=KEY?module-path=/usr/lib/softhsm/libsofthsm2.so",
        code="MLO7134",
    )
