"""A shell's command line as words that run without a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import NamedTuple

from ..adapters.argv import in_quotes
from .proposal import NeedsShell, NotUnderstood

MARK = "\x02"
"""Stands around the name of a setting while a command is split."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SIMPLE = re.compile(r"[\w@%+=:,./{}-]+")
_PLACEHOLDER = r"((?<!\{)\{(?:train\.[^{}]+|out)\}(?!\}))"
_SHELL_VERBS = (
    "cd",
    "export",
    "source",
    ".",
    "set",
    "if",
    "for",
    "while",
    "eval",
    "exec",
    "test",
    "[",
    "ulimit",
    "trap",
)


class Line(NamedTuple):
    """What a command line runs, in order, and the variables that it sets for it."""

    commands: tuple[tuple[str, ...], ...]
    env: dict[str, str]


def read_line(text: str) -> Line:
    """Splits a shell's command line at ``&&`` and line ends.

    Raises NeedsShell for whatever only a shell can do: pipes, redirections, variables, patterns, ``cd``.
    """
    commands: list[tuple[str, ...]] = []
    env: dict[str, str] = {}
    for part in _parts(re.sub(r"\\\n[ \t]*", " ", text)):
        try:
            words = shlex.split(part, comments=True)
        except ValueError as error:
            raise NotUnderstood(f"its command cannot be split into words ({str(error).lower()})") from None
        while words and _ASSIGNMENT.match(words[0]):
            name, _, value = words.pop(0).partition("=")
            if env.setdefault(name, value) != value:
                raise NotUnderstood(f"its commands set {name} to different values")
        if not words:
            continue
        if words[0] in _SHELL_VERBS:
            raise NeedsShell(words[0])
        if re.search(r"/bin/python[0-9.]*$", words[0]):
            words[0] = "python"
        commands.append(tuple(words))
    if not commands:
        raise NotUnderstood("it runs no command")
    return Line(tuple(commands), env)


def _parts(text: str) -> list[str]:
    """The commands of a line, as they are written. Raises NotUnderstood."""
    parts, start, quote, position = [], 0, "", 0
    while position < len(text):
        mark = text[position]
        if mark == "\\" and quote != "'":
            position += 2
            continue
        if quote:
            quote = "" if mark == quote else quote
            if quote == '"' and mark in "$`":
                raise NeedsShell(mark)
        elif mark in "'\"":
            quote = mark
        elif mark == "#" and (position == 0 or text[position - 1].isspace()):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        elif mark == "\n" or text.startswith("&&", position):
            parts.append(text[start:position])
            position += 1 if mark == "\n" else 2
            start = position
            continue
        elif mark in "|<>;&$`*?()" or (mark == "~" and (position == 0 or text[position - 1].isspace())):
            raise NeedsShell(mark)
        position += 1
    return [part for part in [*parts, text[start:]] if part.strip()]


def in_script(text: str, value: Callable[[str], str]) -> str:
    """A shell's text with its marked settings as placeholders, its other braces doubled.

    In quotation marks no placeholder can stand, and the value is written there. Raises NotUnderstood for one that could
    be read as code.
    """

    def put(match: re.Match[str]) -> str:
        if not in_quotes(match.string, match.start()):
            return f"{{params.{match[1]}}}"
        if not _SIMPLE.fullmatch(found := value(match[1])):
            raise NotUnderstood(f"{match[1]} stands in quotation marks, where its value could be read as code")
        return doubled(found)

    return re.sub(f"{MARK}(.*?){MARK}", put, doubled(text))


def as_run(words: tuple[str, ...]) -> str:
    """Words as ``run:`` reads them."""
    return " ".join(word if _SIMPLE.fullmatch(word) else shlex.quote(word) for word in words)


def as_script(words: tuple[str, ...]) -> str:
    """Words as a shell reads them: a placeholder becomes a quoted variable there, and stands outside of quotation marks."""
    return " ".join("".join(_part(part) for part in re.split(_PLACEHOLDER, word)) for word in words)


def _part(text: str) -> str:
    plain = not text or re.fullmatch(_PLACEHOLDER, text) or _SIMPLE.fullmatch(text)
    return text if plain else shlex.quote(text)


def doubled(text: str) -> str:
    """The text with braces that are none of ours doubled."""
    return text.replace("{", "{{").replace("}", "}}")
