"""The words of a command: the model's folder filled in, and the interpreter that ``python`` means."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

PYTHON = r"python(3(\.[0-9]+)?)?"
_MODEL = r"\{\{|\}\}|\{model\}"
_HERE = r"<<-?[ \t]*[\\'\"]?([A-Za-z_][\w.-]*)['\"]?"
"""How a here-document begins; a shift of numbers, ``1<<2``, is none."""


def split_words(text: str, *, posix: bool = True) -> list[str]:
    """``shlex.split``; a text without quotations is cut at its blanks, which takes a fiftieth of the time.

    Raises ValueError where a quotation is left open.
    """
    if any(mark in text for mark in "\"'\\"):
        import shlex

        return shlex.split(text, posix=posix)
    return [word for word in re.split(r"[ \t\r\n]+", text) if word]


def in_quotes(text: str, offset: int) -> bool:
    """Whether a place in the text of a shell script is not read as a word of its own: between quotation marks, after a
    backslash or in a here-document. Comments and here-documents hold no marks."""
    quote, position, ends = "", 0, list[str]()
    while position < offset:
        mark = text[position]
        if mark == "\\" and quote != "'":
            position += 1
        elif quote:
            quote = "" if mark == quote else quote
        elif mark in "\"'":
            quote = mark
        elif mark == "#" and (position == 0 or text[position - 1] in " \t\n;&|("):
            position = _line_end(text, position) - 1
        elif here := re.compile(_HERE).match(text, position):
            ends.append(here[1])
            position = here.end() - 1
        elif mark == "\n" and ends:
            position = _after_documents(text, position + 1, ends) - 1
            if position >= offset:
                return True
            ends.clear()
        position += 1
    return bool(quote) or (position > offset and text[offset - 1] == "\\")


def _line_end(text: str, position: int) -> int:
    found = text.find("\n", position)
    return found if found >= 0 else len(text)


def _after_documents(text: str, position: int, ends: Sequence[str]) -> int:
    """Where a script goes on after the here-documents that begin at ``position``, each with the line that ends it."""
    for end in ends:
        found = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(text, position)
        position = min(found.end() + 1, len(text)) if found else len(text)
    return position


def fill_model(words: Sequence[str], folder: Path) -> list[str]:
    """The words of ``predict:`` with ``{model}`` as the folder's path; ``{{`` and ``}}`` are braces."""
    values = {"{{": "{", "}}": "}", "{model}": str(folder)}
    return [re.sub(_MODEL, lambda match: values[match[0]], word) for word in words]


def find_python(word: str, root: Path | None) -> str | None:
    """The interpreter that a command's first word means: the one of the ``.venv`` below ``root``, of ``$VIRTUAL_ENV``
    or mlopsctl's own. None where the word is no Python, or a version of it that is in neither environment.
    """
    if not re.fullmatch(PYTHON, word):
        return None
    named = os.environ.get("VIRTUAL_ENV", "")
    for home in [*([root / ".venv"] if root else []), *([Path(named)] if named else [])]:
        if os.access(home / "bin" / word, os.X_OK):
            return str(home / "bin" / word)
    return sys.executable if word in ("python", "python3") else None
