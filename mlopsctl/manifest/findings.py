"""Collects what is wrong with one file, so that a person mends all of it in one go."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import ManifestError
from ..types import Where

MOST = 50
"""More findings than this help nobody; the first ones are the cause."""

_SECRETS = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS access key
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20}"
    r"|xox[abprs]-[\w-]{10,}|hf_[A-Za-z0-9]{30,}|sk-[\w-]{20,}|AIza[\w-]{35}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"  # JSON web token
    r"|://[^/\s:@]+:[^/\s@]+@"  # URL with a password
)
_MARKS = (
    "AKIA", "ASIA", "PRIVATE KEY", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "hf_", "sk-",
    "AIza", "eyJ", "://",
)  # fmt: skip
"""One of these is in every text that holds a secret; the expression is compiled only where one is found."""


def holds_secret(text: str) -> bool:
    """Whether the text looks like a key, a token or a URL with a password."""
    return any(mark in text for mark in _MARKS) and re.search(_SECRETS, text) is not None


def without_secrets(text: str) -> str:
    """The text with everything that looks like a secret taken out."""
    return re.sub(_SECRETS, "…", text) if holds_secret(text) else text


class Findings:
    """The findings of one file, in the order of their places."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")
        self._found: list[ManifestError] = []
        self._hidden: set[int] = set()

    def __len__(self) -> int:
        return len(self._found)

    def add(self, code: str, message: str, at: tuple[int, int], *, hint: str = "") -> None:
        """Notes one finding; ``at`` is (line, column), counted from 1."""
        message = without_secrets(message)
        # An alias shows the same fault at every place that repeats it.
        if any(known.where == Where(self.path, *at) and known.message == message for known in self._found):
            return
        self._found.append(ManifestError(message, hint=hint, where=Where(self.path, *at), code=code))

    def hide(self, line: int) -> None:
        """Keeps a line that holds a secret out of every message."""
        self._hidden.add(line)

    def line(self, number: int) -> str:
        """The text of a line, or a word that stands for it where it holds a secret."""
        text = self._lines[number - 1].rstrip("\r") if 0 < number <= len(self._lines) else ""
        if number in self._hidden or holds_secret(text):
            return "(a line with a secret, not shown)"
        return text[:200]

    def close(self) -> None:
        """Raises the first finding with the others inside it; nothing found, nothing happens."""
        if not self._found:
            return
        self._found.sort(key=lambda item: (item.where.line, item.where.column) if item.where else (0, 0))
        for item in self._found:
            item.line = self.line(item.where.line) if item.where else ""
        first, *others = self._found[:MOST]
        first.others = tuple(others)
        raise first


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'metric'?`` or, where nothing is near, the list of what is known."""
    import difflib

    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known are: " + ", ".join(names) if names else ""
