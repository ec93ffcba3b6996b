"""A trail that stands still: lines that were read once, as a Log without remotes. What was exported, or what stood then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from ..errors import EvidenceError
from ..gitobjects import object_id
from ..types import Json, TreeFile
from .ledger import Ledger
from .ports import Index, Signer
from .trail import TrailLog
from .verify import Check, Expected


@dataclass(frozen=True)
class FixedLog:
    """``bodies`` are notes with their lines by the object they are about; ``trees`` names the code trees that are kept."""

    bodies: Mapping[str, bytes]
    trees: frozenset[str]
    files: Callable[[str], dict[str, TreeFile]]
    """The files of a kept code tree."""

    @cached_property
    def _blobs(self) -> dict[str, bytes]:
        return {object_id("blob", body): body for body in self.bodies.values()}

    def tip(self, ref: str = "") -> str:
        return hashlib.sha256(repr(sorted(self.notes("").items())).encode()).hexdigest()

    def notes(self, tip: str) -> dict[str, str]:
        return {note: object_id("blob", body) for note, body in self.bodies.items()}

    def blobs(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        yield from ((oid, self._blobs[oid]) for oid in oids)

    def history(self, old: str, new: str) -> Iterator[tuple[str, str, str, str]]:
        return iter(())

    def tracking(self) -> dict[str, str]:
        return {}

    def remotes(self) -> list[str]:
        return []

    def remembered(self) -> list[str]:
        return []

    def is_cut(self) -> bool:
        return False

    def code_names(self, tip: str) -> set[str]:
        return set(self.trees)

    def code_files(self, oid: str) -> dict[str, TreeFile]:
        return self.files(oid)

    def is_ancestor(self, old: str, new: str) -> bool:
        return old == new

    def keep_objects(self, objects: Sequence[tuple[str, bytes]]) -> NoReturn:
        _no_writing()

    def add(
        self,
        tip: str,
        lines: Mapping[str, Sequence[bytes]],
        code: Iterable[str] = (),
        merged: str = "",
        message: str = "",
    ) -> NoReturn:
        _no_writing()

    def move(self, old: str, new: str, ref: str = "") -> NoReturn:
        _no_writing()

    def fetch(self, remote: str) -> NoReturn:
        _no_writing()

    def push(self, remote: str, tip: str) -> NoReturn:
        _no_writing()


class NoJournal:
    """Nothing waits to be written."""

    shared = local = Path("journal")

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stamp(self) -> tuple[int, int]:
        return 0, 0

    def read(self, path: Path, start: int = 0) -> tuple[list[bytes], int]:
        return [], 0

    def append(self, path: Path, line: bytes) -> NoReturn:
        _no_writing()

    def set_aside(self, lines: Sequence[bytes]) -> NoReturn:
        _no_writing()

    def drop(self, end: int) -> NoReturn:
        _no_writing()


class NoAnchor:
    """Nothing was seen before."""

    def read(self) -> None:
        return None

    def write(self, seen: Mapping[str, Json]) -> None:
        """There is no place to remember it in."""


def fixed_trail(log: FixedLog, expected: Expected, check: Check, index: Index) -> TrailLog:
    """The trail of these lines, judged anew in ``index``, which is empty; nothing can be appended to it."""
    return TrailLog(Ledger(log, NoJournal(), index, NoAnchor(), expected, check), _no_signer)


def _no_signer() -> Signer:
    _no_writing()


def _no_writing() -> NoReturn:
    raise EvidenceError(
        "nothing can be added to an exported trail or to one of the past",
        hint="run this in a clone of the project",
        code="MLO7239",
    )
