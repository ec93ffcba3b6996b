"""Places outside of the trail that remember it: one module a kind, one line in ``KINDS``.

A module has ``leave(place, setup, checkpoint) -> Left`` and ``seen(place, setup) -> Held``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

from ...errors import MlopsError, UsageError
from ..git import Repo

KINDS = {"s3": "s3", "tsa": "tsa", "file": "file", "tag": "tag"}
"""How a place begins, before the first colon -> the module here."""


class Setup(NamedTuple):
    """What every kind may use. ``config`` is the user's own folder, ``known`` tells ids that the trail here has."""

    log: str
    repo: Repo
    config: Path
    known: Callable[[str], bool]
    retain_days: int = 365


class Checkpoint(NamedTuple):
    """What is left outside. ``message`` are the signed bytes; ``receipt`` gives the body, with tokens of authorities."""

    id: str
    seq: int
    tips: tuple[str, ...]
    message: bytes
    receipt: Callable[[Sequence[bytes]], bytes]
    reason: str = ""

    def file_name(self) -> str:
        """Sorts as the checkpoints do."""
        return f"{self.seq:012d}-{self.id}.json"


class Left(NamedTuple):
    """What was done: where the receipt is, what is to be said of it, (code, text) warnings, tokens for the trail."""

    where: str
    says: str = ""
    warnings: tuple[tuple[str, str], ...] = ()
    tokens: tuple[bytes, ...] = ()


class Claim(NamedTuple):
    """What was seen outside: that the trail had these entries. Where ``body`` is given, that receipt says which."""

    where: str
    log: str = ""
    tips: tuple[str, ...] = ()
    body: bytes = b""
    says: str = ""
    authority: str = ""
    """The time-stamping authority that must have stamped the receipt, "" for none."""


class Held(NamedTuple):
    """All that a place holds about a log, and (code, text) of what is wrong with the place itself."""

    claims: tuple[Claim, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


class Kind(Protocol):
    """What a module here answers."""

    def leave(self, place: str, setup: Setup, checkpoint: Checkpoint) -> Left:
        """Leaves a receipt. Raises MlopsError where that fails."""

    def seen(self, place: str, setup: Setup) -> Held:
        """What the place holds about the log. Raises Unreachable where it can't be asked now."""


class Unreachable(MlopsError):
    """An anchor that cannot be asked now."""

    code = "MLO7182"


def kind_of(place: str) -> Kind:
    """The module for a place. Raises UsageError for an unknown kind."""
    scheme, colon, rest = place.partition(":")
    if scheme not in KINDS or not colon or not rest:
        raise UsageError(
            f"'{place}' is no place for an anchor",
            hint="s3://BUCKET/PREFIX, tsa:URL, file:PATH or tag:NAME; see mlopsctl explain MLO7187",
            code="MLO7187",
        )
    module: Kind = import_module(f"{__name__}.{KINDS[scheme]}")
    return module


def cannot_leave(place: str, why: object, hint: str) -> MlopsError:
    """The error of a receipt that could not be left."""
    return MlopsError(f"no receipt could be left at {place}: {why}", hint=hint, code="MLO7188")
