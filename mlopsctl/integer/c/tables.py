"""Numbers as C tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TYPES: Mapping[str, str] = {"int8": "int8_t", "uint8": "uint8_t", "uint16": "uint16_t", "int32": "int32_t"}
"""The type of C of each type of tensor."""
_A_LINE = 20


def table(kind: str, name: str, numbers: Iterable[int | str]) -> list[str]:
    """A constant array; a C array has at least one element, so an empty one holds a zero that nobody reads."""
    # C reads -2147483648 as minus a number that is too large.
    words = ["-2147483647 - 1" if number == -(2**31) else str(number) for number in numbers] or ["0"]
    lines = ["    " + ", ".join(words[at : at + _A_LINE]) + "," for at in range(0, len(words), _A_LINE)]
    return [f"static const {kind} {name}[] = {{", *lines, "};"]


def smallest(numbers: Iterable[int]) -> str:
    """The narrowest type of C that holds all the numbers."""
    known = list(numbers)
    low, high = min(known, default=0), max(known, default=0)
    for bits in (8, 16, 32):
        if low >= 0 and high < 1 << bits:
            return f"uint{bits}_t"
        if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1):
            return f"int{bits}_t"
    raise OverflowError(f"{low} to {high} has no type of 32 bits")
