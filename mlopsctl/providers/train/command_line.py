"""The words of ``run:`` and ``predict:``: split without a shell, placeholders filled in, programs found."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...adapters.argv import PYTHON, find_python, split_words
from ...errors import ManifestError, ProviderError

_PLACEHOLDER = r"\{\{|\}\}|\{([^{}]*)\}"
_BY_NAME = "env:"


def commands(run: str | Sequence[str]) -> list[list[str]]:
    """Each command of ``run:`` as its words. Raises ManifestError where a quotation is left open."""
    found = []
    for line in [run] if isinstance(run, str) else run:
        try:
            words = split_words(line)
        except ValueError as error:
            raise ManifestError(
                f"'{line}' cannot be split into words: {error}", hint="close the quotation", code="MLO1201"
            ) from None
        if words:
            found.append(words)
    if not found:
        raise ManifestError("run: holds no command", hint="write run: python train.py", code="MLO1201")
    return found


def check_inside(cwd: str) -> None:
    """Raises ManifestError for a ``cwd:`` that is no plain path below the project's folder."""
    plain = posixpath.normpath(cwd) if cwd else ""
    if (
        plain != cwd
        or plain == "."
        or plain.startswith(("/", "~"))
        or plain.split("/")[0] in ("..", ".git")
        or "\\" in cwd
        or not cwd.isprintable()
    ):
        raise ManifestError(
            f"cwd: {cwd!r} is no folder below the project's",
            hint="write it as git ls-files shows it, such as cwd: models/small; leave it out for the project's own folder",
            code="MLO1241",
        )


def references(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The resources that placeholders name, as (section, name), in order and once each."""
    found = [
        (section, name)
        for text in texts
        for match in re.finditer(_PLACEHOLDER, text)
        for section, dot, name in [(match[1] or "").partition(".")]
        if dot and section in ("data", "train")
    ]
    return list(dict.fromkeys(found))


def renamed(run: str | Sequence[str], places: Mapping[str, str]) -> Any:
    """The commands with other words for what placeholders name; a placeholder that is not among them stays."""

    def other(match: re.Match[str]) -> str:
        return places.get(match[1] or "", match[0])

    return re.sub(_PLACEHOLDER, other, run) if isinstance(run, str) else [renamed(line, places) for line in run]


def fill(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words with their placeholders filled in; each stays one argument. Raises ManifestError for an unknown one."""
    return [filled_in(word, values) for word in words]


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders filled in. Raises ManifestError for an unknown one."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        if match[1] not in values:
            raise ManifestError(
                f"the placeholder {match[0]} stands for nothing here",
                hint="it can be " + ", ".join(f"{{{name}}}" for name in values),
                code="MLO1202",
            )
        return values[match[1]]

    return re.sub(_PLACEHOLDER, value, text)


def as_text(value: Any) -> str:
    """A parameter as an argument: text as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_python(word: str) -> bool:
    """Whether a command's first word means a Python interpreter."""
    return re.fullmatch(PYTHON, word.rpartition("/")[2]) is not None


def find_program(word: str, root: Path, cwd: Path, path: str) -> str:
    """The program that a command's first word means.

    ``python`` is the one of the project's ``.venv``, of ``$VIRTUAL_ENV`` or mlopsctl's own; a word with a slash is a
    path from the working folder; any other is looked up on PATH. Raises ProviderError where there is none.
    """
    python = find_python(word, root)
    if python:
        return python
    if "/" in word:
        return str(cwd / word)
    # Imported here because it loads every compressor, which a plan would feel.
    import shutil

    found = shutil.which(word, path=path)
    if found is None:
        raise ProviderError(
            f"run: starts '{word}', and there is no such program on PATH",
            hint=f"install {word}, or write the path of the program; a script needs its interpreter: python {word}",
            code="MLO1209",
        )
    return found


def environment(declared: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The variables that ``env:`` declares with ``env:NAME`` resolved, and the secrets among their values.

    Raises ProviderError where a named variable is not set.
    """
    values, secrets = {}, []
    for name, text in declared.items():
        if text.startswith(_BY_NAME):
            source = text.removeprefix(_BY_NAME)
            if source not in os.environ:
                raise ProviderError(
                    f"env: {name} wants the secret {source}, which is not set here",
                    hint=f"set it before apply: export {source}=…",
                    code="MLO1208",
                )
            text = os.environ[source]
            secrets.append(text)
        values[name] = text
    return values, secrets
