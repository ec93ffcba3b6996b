"""What changed since the last result, in words for people; pure."""

from __future__ import annotations

from collections.abc import Sequence

from .provider import UNKNOWN
from .types import Change, Json, Resource

_FEW, _SHORT = 3, 40
"""How many settings of one field are told, and how many letters a value may have."""


def is_unknown(change: Change) -> bool:
    """Whether the new value still has to be made, so that nobody knows whether it will differ."""
    return isinstance(change.new, list) and UNKNOWN in change.new


def in_words(want: Resource, changes: Sequence[Change], files: Sequence[Change]) -> str:
    """What changed since the last result; ``files`` are those of the code that differ."""
    words = []
    for change in changes:
        if change.field == "code":
            names = ", ".join(file.field for file in files[:3])
            more = f" and {len(files) - 3} more" if len(files) > 3 else ""
            unnamed = "the data" if want.address.section == "data" else "code"
            words.append(f"{names or unnamed}{more} changed")
        elif change.field.startswith("input "):
            words.append(f"{_upstream(want, change.field[6:])} changed")
        elif change.field in ("provider", "version"):
            words.append(f"{change.field} {change.old} -> {change.new}")
        else:
            words += _values(change)
    return ", ".join(words)


def _values(change: Change) -> list[str]:
    """What a setting was and is, where that is short; of parameters and their like each one that differs."""
    old, new = change.old, change.new
    if isinstance(old, dict | None) and isinstance(new, dict | None) and "float" not in {*(old or {}), *(new or {})}:
        before, after = old or {}, new or {}
        keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
        words = [_value(f"{change.field}.{key}", before.get(key), after.get(key)) for key in keys[:_FEW]]
        if words and all(words):
            return [*words, f"{len(keys) - _FEW} more"] if len(keys) > _FEW else words
    return [_value(change.field, old, new) or f"{change.field} changed"]


def _value(name: str, old: Json, new: Json) -> str:
    """``seed 3 -> 7``; without one of them where the default stands, which a fingerprint leaves out; "" for long ones."""
    before, after = _short(old), _short(new)
    if before is None or after is None:
        return ""
    if old is None or new is None:
        return f"{name} now {after}" if old is None else f"{name} no longer {before}"
    return f"{name} {before} -> {after}"


def _short(item: Json) -> str | None:
    """A value that fits into a line with others, or None."""
    if isinstance(item, dict) and set(item) == {"float"}:
        return str(item["float"])
    if isinstance(item, bool):
        return str(item).lower()
    text = str(item)
    # Commands name their inputs by numbers here, which would say nothing to people.
    plain = isinstance(item, str | int | None) and not any(mark in text for mark in "{\n")
    return text if plain and len(text) <= _SHORT else None


def _upstream(want: Resource, role: str) -> str:
    names = sorted({str(need.address) for need in want.needs if need.role == role})
    return ", ".join(names) or role
