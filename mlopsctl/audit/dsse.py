"""One line of the trail: a DSSE envelope, read strictly.

Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md). A line is the canonical JSON of
``{"v": 1, "dsse": {...}, "material": {...}}``; ``material`` holds what a verifier needs besides the keys: ``sigstore``, the
bundle around a signature by an identity, and ``timestamps``, tokens of time-stamping authorities over the entry.
"""

from __future__ import annotations

import hashlib
import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from ..canonical import canonical
from ..types import Json

VERSION = 1
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_PAYLOAD = 8192
"""Bytes of one statement; longer lists belong into the store, by digest."""
MAX_SIGNATURES = 16
MAX_MATERIAL = 65536
"""Bytes of the material of one line."""
MATERIAL = frozenset({"sigstore", "timestamps"})

FEW = 300
"""Lines that are read with the standard library, before a parser that takes longer to import pays."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
# The line as ``encode`` writes it for one signature, cut at its quotes: what has this form is canonical by its very form.
_FORM = (
    f'{{"dsse":{{"payload":"","payloadType":"{PAYLOAD_TYPE}","signatures":[{{"keyid":"","sig":""}}]}},"v":1}}'
).encode().split(b'"')  # fmt: skip
_PAYLOAD, _KEYID, _SIG = (number for number, part in enumerate(_FORM) if not part)
_PAE_HEAD = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} ".encode()


def no_float(text: str) -> NoReturn:
    """What a parser does with a float."""
    raise ValueError(f"{text} is no integer; decimals are written as text")


def _small_int(text: str) -> int:
    value = int(text) if len(text) <= 17 else 2**53
    if abs(value) >= 2**53:
        raise ValueError(f"{text} is too large for a JSON number")
    return value


# A number that is too large has sixteen digits in a row; digests have them too, but nothing that ends like a number.
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_SIXTEEN = b"0" * 16
_LARGE = rb"[:,\[]-?\d{16,}[,\]}]"
_DECODER = json.JSONDecoder(parse_int=_small_int, parse_float=no_float, parse_constant=no_float)


class BadLine(ValueError):
    """A line that is no entry; ``code`` is the stable code of the finding."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Envelope(NamedTuple):
    """A decoded line. ``signatures`` are pairs of key id (a hint only) and signature; ``material`` as in the line."""

    id: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    material: Json = None


def pae(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of payload type and payload."""
    return b"%b%d %b" % (_PAE_HEAD, len(payload), payload)


def entry_id(payload: bytes) -> str:
    """The name of an entry everywhere: sha256 of the PAE, in hex."""
    return hashlib.sha256(pae(payload)).hexdigest()


def encode(payload: bytes, signatures: Sequence[tuple[str, bytes]], material: Json = None) -> bytes:
    """The line, without its newline, that carries ``payload`` under these signatures."""
    line: dict[str, Json] = {
        "v": VERSION,
        "dsse": {
            "payload": _b64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": keyid, "sig": _b64(sig)} for keyid, sig in signatures],
        },
    }
    if material is not None:
        line["material"] = material
    return canonical(line)


def decode(line: bytes) -> Envelope:
    """Reads a line strictly. Raises BadLine with a code for every other form than the one ``encode`` writes."""
    usual = _usual(line)
    if usual is not None:
        return usual
    try:
        outer = strict_json(line)
    except ValueError as error:
        raise BadLine("MLO7001", f"the line is no canonical JSON: {error}") from None
    if not isinstance(outer, dict) or type(outer.get("v")) is not int:
        raise BadLine("MLO7001", "the line is no entry of a trail")
    if outer["v"] != VERSION:
        raise BadLine("MLO7002", f"the line has version {outer['v']}: a newer mlopsctl wrote this")
    if not outer.keys() <= {"v", "dsse", "material"}:
        raise BadLine("MLO7001", "the line has unknown members")
    return _envelope(outer.get("dsse"))._replace(material=_material(outer))


def _usual(line: bytes) -> Envelope | None:
    """The fast way for nearly every line: cut at its quotes instead of parsed; None for any other form."""
    parts = line.split(b'"')
    if len(parts) != len(_FORM):
        return None
    text, hint, sig = parts[_PAYLOAD], parts[_KEYID], parts[_SIG]
    parts[_PAYLOAD] = parts[_KEYID] = parts[_SIG] = b""
    if parts != _FORM or len(hint) != 64 or not hint.isalnum():
        return None
    payload = _checked_size(_bytes(text, "MLO7001", "payload"))
    return Envelope(entry_id(payload), payload, ((hint.decode(), _bytes(sig, "MLO7004", "signature")),))


def _envelope(dsse: Any) -> Envelope:
    if not isinstance(dsse, dict) or dsse.keys() != {"payload", "payloadType", "signatures"}:
        raise BadLine("MLO7001", "the line holds no DSSE envelope")
    if dsse["payloadType"] != PAYLOAD_TYPE:
        raise BadLine("MLO7003", f"payload type {dsse['payloadType']!r} is not {PAYLOAD_TYPE}")
    payload = _checked_size(_bytes(dsse["payload"], "MLO7001", "payload"))
    found = dsse["signatures"]
    if not isinstance(found, list) or not 0 < len(found) <= MAX_SIGNATURES:
        raise BadLine("MLO7004", "the entry carries no signature, or too many")
    signatures = []
    for item in found:
        # DSSE leaves the algorithm to the key: a line that names one tries to choose it.
        if not isinstance(item, dict) or item.keys() != {"keyid", "sig"} or not isinstance(item["keyid"], str):
            raise BadLine("MLO7004", "a signature has another form than key id and signature")
        signatures.append((item["keyid"], _bytes(item["sig"], "MLO7004", "signature")))
    return Envelope(entry_id(payload), payload, tuple(signatures))


def _material(outer: dict[str, Any]) -> Json:
    """What a verifier needs besides the keys; it is not signed itself, and proves itself or nothing."""
    if "material" not in outer:
        return None
    found = outer["material"]
    if not isinstance(found, dict) or not found or not found.keys() <= MATERIAL:
        raise BadLine("MLO7001", "the line's material has another form")
    if len(canonical(found)) > MAX_MATERIAL:
        raise BadLine("MLO7007", f"the line's material has more than {MAX_MATERIAL} bytes")
    return found


def _checked_size(payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise BadLine("MLO7007", f"the entry has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    return payload


def strict_json(data: bytes) -> Any:
    """The value of canonical JSON. Raises ValueError for floats, duplicate keys and every second spelling."""
    global _seen
    _seen += 1
    if _seen > FEW:
        value = _quickly(data)
        if value is not None:
            return value
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        # The C encoder with sorted keys gives RFC 8785 but for astral characters in keys: then ask the slow one.
        if _ENCODER.encode(value).encode("utf-8") != data and canonical(value) != data:
            raise ValueError("not in canonical form")
    except (TypeError, RecursionError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    return value


_seen = 0


def _quickly(data: bytes) -> Any:
    """The value, by a parser five times as fast; None for whatever is not plain, which the slow one then judges."""
    decode, encode = _quick_parser()
    try:
        value = decode(data)
        plain = encode(value) == data and data.isascii() and small_numbers(data)
    except (ValueError, RecursionError):
        return None
    return value if plain else None


def small_numbers(data: bytes) -> bool:
    """Whether no number in canonical JSON is too large to be written as one."""
    return _SIXTEEN not in data.translate(_AS_ZEROS) or re.search(_LARGE, data) is None


@lru_cache(maxsize=1)
def _quick_parser() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    import msgspec

    decoder = msgspec.json.Decoder(float_hook=no_float)
    return decoder.decode, msgspec.json.Encoder(order="sorted").encode


def fast_canonical(value: Json) -> bytes:
    """``canonical`` for a value that ``strict_json`` has read: the C encoder, unless a key holds astral characters."""
    if _seen > FEW:
        data = _quick_parser()[1](value)
        return data if data.isascii() else canonical(value)
    text = _ENCODER.encode(value)
    return text.encode("utf-8") if text.isascii() else canonical(value)


def _b64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _bytes(text: Any, code: str, what: str) -> bytes:
    try:
        raw = text if isinstance(text, bytes) else text.encode("ascii")
        data = a2b_base64(raw, strict_mode=True)
    except (AttributeError, UnicodeError, Base64Error):
        raise BadLine(code, f"the {what} is no base64") from None
    # Beyond what the strict mode refuses, only the unused bits of a last group with padding can differ.
    if raw.endswith(b"=") and b2a_base64(data[-(len(data) % 3) :], newline=False) != raw[-4:]:
        raise BadLine(code, f"the {what} is written in a second way")
    return data
