"""Long lines for a narrow terminal: broken between words, and what goes on stands under where the text began."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEAST = 30
"""Columns that the text of a folded line has at least; else it goes on nearer to the left edge."""


def fold(line: str, columns: int) -> list[str]:
    """The line in as many as it takes; colours take no room, and a word that is longer than a line stays whole.

    The text of a table's row begins after the last gap of two spaces or more in its first two thirds.
    """
    if len(line) <= columns or len(_COLOUR.sub("", line)) <= columns:
        return [line]
    hang = _hang(_COLOUR.sub("", line), columns)
    # What begins further to the right than it could go on begins there too.
    line = " " * min(hang, len(line) - len(line.lstrip(" "))) + line.lstrip(" ")
    lines, now, room = [], "", columns
    for word, gap in _words(line):
        wide = len(_COLOUR.sub("", word))
        if now.strip() and wide > room:
            lines.append(now.rstrip())
            now, room = " " * hang, columns - hang
        now += word + gap
        room -= wide + len(gap)
    return [*lines, now.rstrip()]


def _words(line: str) -> list[tuple[str, str]]:
    """Each word with the spaces behind it; what a line begins with is a word of no letters."""
    start = len(line) - len(line.lstrip(" "))
    return [("", line[:start]), *re.findall(r"(\S+)( *)", line[start:])]


def _hang(plain: str, columns: int) -> int:
    start = len(plain) - len(plain.lstrip(" "))
    gaps = [match.end() for match in re.finditer(r"(?<=\S) {2,}(?=\S)", plain) if match.end() <= columns * 2 // 3]
    hang = max(gaps, default=start + 2)
    return hang if columns - hang >= _LEAST else min(start + 4, columns // 2)
