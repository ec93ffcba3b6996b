"""``shell: true``: the text of ``run:`` as a script of the POSIX shell, and what it names.

No value ever stands in the script: a placeholder becomes a quoted variable, so that nothing in a value is read as code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...errors import ManifestError
from .command_line import filled_in

ARGV = ("sh", "-e", "-c")
"""Ends with the first command that fails, as a list of commands does."""

_VARIABLE = "MLOPS_VALUE_{}"
_BETWEEN = "();<>|&\n"
_BEFORE = frozenset(
    ("if", "then", "elif", "else", "while", "until", "do", "!", "{", "exec", "time", "env", "nice", "nohup")
)
"""Words after which a command begins."""


def scripts(run: str | Sequence[str]) -> list[str]:
    """The texts of ``run:``, each of which a shell runs. Raises ManifestError where there is none."""
    found = [text for text in ([run] if isinstance(run, str) else run) if text.strip()]
    if not found:
        raise ManifestError("run: holds no command", hint="write run: python train.py", code="MLO1201")
    return found


def commands_in(run: str | Sequence[str]) -> list[list[str]]:
    """The single commands of the scripts as words, to look for code in."""
    found: list[list[str]] = []
    for text in scripts(run):
        words: list[str] = []
        for word in [*_words(re.sub(r"\\\n", " ", text)), "\n"]:
            if not set(word) <= set(_BETWEEN):
                words.append(word)
            elif words := _command(words):
                found.append(words)
                words = []
    return found


def _words(text: str) -> list[str]:
    import shlex

    lexer = shlex.shlex(text, posix=True, punctuation_chars=_BETWEEN)
    lexer.whitespace, lexer.whitespace_split = " \t\r", True
    try:
        return list(lexer)
    except ValueError:
        # A quotation mark inside a here-document opens nothing; whether one is left open the shell says.
        return text.split()


def _command(words: Sequence[str]) -> list[str]:
    """The words from the program on: without what a shell reads before it."""
    rest = list(words)
    while rest and (rest[0] in _BEFORE or re.match(r"[A-Za-z_][A-Za-z0-9_]*=", rest[0])):
        rest.pop(0)
    return rest


def started(run: str | Sequence[str], values: Mapping[str, str]) -> tuple[list[list[str]], dict[str, str]]:
    """What is started for each script, and the variables that hold the values of its placeholders."""
    names = {name: _VARIABLE.format(number) for number, name in enumerate(values, 1)}
    quoted = {name: f'"${{{variable}}}"' for name, variable in names.items()}
    texts = [filled_in(text, quoted) for text in scripts(run)]
    return [[*ARGV, text] for text in texts], {names[name]: value for name, value in values.items()}
