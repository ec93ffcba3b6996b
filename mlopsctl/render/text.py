"""Text of others, made safe to print: entries may be written by strangers."""

from __future__ import annotations

from unicodedata import category


def printable(text: str) -> str:
    """``text`` with control characters spelt out, so that it cannot move a cursor, change colours or turn its own order.

    Line breaks and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter in "\n\t" or not _hidden(letter) else _spelt(letter) for letter in text)


def one_line(text: str) -> str:
    """``text`` made safe as above and in one line: what begins a line may be a command to the log of a CI."""
    return printable(text).replace("\n", " ")


def short(text: str) -> str:
    """A digest with its algorithm and the head of its value; any other text as it is."""
    algorithm, colon, rest = text.partition(":")
    return f"{algorithm}:{rest[:12]}" if colon and len(rest) >= 40 else text


def _hidden(letter: str) -> bool:
    return category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _spelt(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
