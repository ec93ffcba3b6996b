"""One table cell: when it is missing, what kind it is, and its typed canonical text.

The canonical text is the same for a CSV cell and for the typed value that Parquet holds: 1, 1.0 and "1" are one value,
and so are true and True, an empty cell, NaN and null, and one moment written in two ways.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Literal

Kind = Literal["int", "float", "bool", "str"]

MISSING = frozenset({"", "NA", "N/A", "n/a", "nan", "NaN", "NAN", "-nan", "null", "NULL", "None"})
"""Texts that stand for no value; in a column of words only the first of them and NaN do."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9:]{2,6})?)?"
)
_TRUTH = {"true": True, "false": False}


@lru_cache(maxsize=1 << 16)
def canonical_cell(text: str) -> str:
    """The canonical text of a cell; "" where it is missing."""
    text = text.strip()
    if text in MISSING:
        return ""
    if _WHOLE.fullmatch(text):
        return str(int(text))
    if _NUMBER.fullmatch(text):
        value = float(text)
        return str(int(value)) if value.is_integer() else repr(value)
    if text.lower() in _TRUTH:
        return text.lower()
    if _MOMENT.fullmatch(text):
        return _moment(text)
    return unicodedata.normalize("NFC", text)


def _moment(text: str) -> str:
    """ISO 8601 in UTC where a zone is given, without a time of day that is midnight."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = ""
    if value.tzinfo is not None:
        value, zone = value.astimezone(UTC).replace(tzinfo=None), "Z"
    return (value.date().isoformat() if value.time() == time() and not zone else value.isoformat()) + zone


def cell_text(value: object) -> str:
    """The text of a typed value, as a CSV file would hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


class RowKey:
    """All cells of a row as unambiguous bytes, the same in whatever order the columns stand."""

    def __init__(self, names: Sequence[str]) -> None:
        order = sorted((name, index) for index, name in enumerate(names))
        self._heads = [(f"{len(name)}:{name}", index) for name, index in order]

    def __call__(self, texts: Sequence[str]) -> bytes:
        parts = []
        for head, index in self._heads:
            text = canonical_cell(texts[index])
            parts.append(f"{head}{len(text)}:{text}")
        return "".join(parts).encode("utf-8", "surrogatepass")


def kind_of(texts: Iterable[str]) -> Kind:
    """The narrowest kind that holds every cell that is not missing; ``str`` for none at all."""
    found: Kind | None = None
    for text in texts:
        if text in MISSING:
            continue
        kind = _kind(text.strip())
        if found is None or kind == found:
            found = kind
        elif {kind, found} == {"int", "float"}:
            found = "float"
        else:
            return "str"
    return found or "str"


def _kind(text: str) -> Kind:
    if _WHOLE.fullmatch(text):
        return "int" if -(2**63) <= int(text) < 2**63 else "float"
    if _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text):
        return "float"
    return "bool" if text.lower() in _TRUTH else "str"


def typed(text: str, kind: Kind) -> str | int | float | bool:
    """A cell that is not missing, as a value of its column's kind."""
    text = text if kind == "str" else text.strip()
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    return _TRUTH[text.lower()] if kind == "bool" else text
