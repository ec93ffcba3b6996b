"""What a verb found, in no format yet: the nouns that every written format is made from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from ..errors import ManifestError, MlopsError
from ..manifest.findings import without_secrets
from ..types import Json, Where
from .text import printable


class Level(IntEnum):
    """How bad a remark is; the worst sorts first."""

    ERROR = 0
    WARNING = 1
    NOTE = 2


class Remark(NamedTuple):
    """One thing that somebody should read; ``code`` can be looked up with ``mlopsctl explain``."""

    level: Level
    code: str
    message: str
    fix: str = ""
    address: str = ""
    where: Where | None = None


class Result(IntEnum):
    """How one case ended, in the words of JUnit."""

    PASSED = 0
    SKIPPED = 1
    FAILED = 2
    ERROR = 3


class Case(NamedTuple):
    """One resource, file or check and how it ended; ``seconds`` is 0 where nothing was timed."""

    name: str
    result: Result = Result.PASSED
    text: str = ""
    seconds: float = 0.0
    group: str = ""


class Report(NamedTuple):
    """What one run of a verb has to say."""

    verb: str
    title: str
    remarks: tuple[Remark, ...] = ()
    cases: tuple[Case, ...] = ()
    documents: tuple[Json, ...] | None = None
    """What ``--format json`` prints, a line each where there are several; None where the verb came to none."""
    body: tuple[str, ...] = ()
    """Markdown below the title and the remarks."""
    counts: Mapping[str, int] | None = None
    """How many resources are created, updated and deleted; None for a verb that plans nothing."""


def worst_first(remarks: Iterable[Remark]) -> list[Remark]:
    """Errors, then warnings, then notes, otherwise in the order they were found; without secrets and control characters."""
    return [
        one._replace(message=clean(one.message), fix=clean(one.fix), address=clean(one.address))
        for one in sorted(remarks, key=lambda remark: remark.level)
    ]


def of_errors(errors: Sequence[MlopsError]) -> tuple[Remark, ...]:
    """One remark an error; what a ManifestError brings along is flattened."""
    flat: list[MlopsError] = []
    for error in errors:
        flat.append(error)
        if isinstance(error, ManifestError):
            flat += error.others
    return tuple(Remark(Level.ERROR, one.code, one.message, one.hint, where=one.where) for one in flat)


def clean(text: str) -> str:
    """A text of others without secrets and without characters that move a cursor."""
    return printable(without_secrets(text))
