"""What changed since the last result, in words for people; pure."""

from __future__ import annotations

from collections.abc import Sequence

from .provider import UNKNOWN
from .types import Change, Resource


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
            words.append(f"{change.field} changed")
    return ", ".join(words)


def _upstream(want: Resource, role: str) -> str:
    names = sorted({str(need.address) for need in want.needs if need.role == role})
    return ", ".join(names) or role
