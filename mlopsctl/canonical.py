"""Canonical JSON (RFC 8785 without floats) and the digests made of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .types import Digest, Json


def canonical(value: Json) -> bytes:
    """The one byte string that stands for ``value``: keys sorted by UTF-16 code units, no white space, UTF-8.

    Raises TypeError for floats (write decimals as strings) and for anything else JSON cannot hold.
    Source: RFC 8785, section 3.2.
    """
    return json.dumps(_ordered(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _ordered(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) > 2**53 - 1:
            raise TypeError(f"{value} is too large for a JSON number: write it as a string")
        return value
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a JSON key must be text, not {key!r}")
        # ASCII has one order in every encoding, and Python knows whether a text is ASCII.
        order = None if all(map(str.isascii, value)) else _utf16
        return {key: _ordered(value[key]) for key in sorted(value, key=order)}
    raise TypeError(f"{type(value).__name__} has no canonical JSON form: {value!r}")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def plain(value: Any) -> Json:
    """``value`` with floats as ``{"float": shortest repr}`` and tuples as lists, ready for ``canonical``."""
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def digest_of(value: Json) -> Digest:
    """``sha256:`` of the canonical JSON of ``value``."""
    return Digest("sha256:" + hashlib.sha256(canonical(value)).hexdigest())


def decimal(value: float, places: int = 6) -> str:
    """A decimal as signed entries hold it: a string without exponent or trailing zeros."""
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
