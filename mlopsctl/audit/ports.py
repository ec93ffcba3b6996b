"""What the trail needs of the outside world; adapters satisfy these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ..types import Json, TreeFile

IndexRow = tuple[int, str, int, str, str, str, str, str, str, str, str, str, bytes]
"""n (its payload's), id, seq, at, signer, kind, address, status, made_from, policy, state, key, proof.

``key`` and ``proof`` are those of a signature that is checked only when the entry is relied on, else empty.
"""
OwedRow = tuple[str, str, bytes]
"""id, key, proof of an entry whose signature nobody has checked yet."""


class Signer(Protocol):
    """Somebody who signs; ``key`` is the spelling of ``mlopsctl.verifiers``, ``key_id`` its id there."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def key_id(self) -> str: ...

    def seal(self, message: bytes) -> tuple[bytes, Json]:
        """The signature, and the material that a verifier needs beside it (None for a key).

        Raises EvidenceError where it cannot sign now.
        """


class Log(Protocol):
    """Where the lines of the trail live: notes by the object they are about."""

    def tip(self, ref: str = "") -> str: ...

    def notes(self, tip: str) -> dict[str, str]: ...

    def blobs(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]: ...

    def history(self, old: str, new: str) -> Iterator[tuple[str, str, str, str]]: ...

    def tracking(self) -> dict[str, str]:
        """Remote -> tip of its trail as last fetched."""

    def remotes(self) -> list[str]: ...

    def code_names(self, tip: str) -> set[str]: ...

    def code_files(self, oid: str) -> dict[str, TreeFile]: ...

    def keep_objects(self, objects: Sequence[tuple[str, bytes]]) -> None: ...

    def add(
        self,
        tip: str,
        lines: Mapping[str, Sequence[bytes]],
        code: Iterable[str] = (),
        merged: str = "",
        message: str = ...,
    ) -> tuple[str, dict[str, str]] | None: ...

    def move(self, old: str, new: str, ref: str = "") -> bool: ...

    def is_ancestor(self, old: str, new: str) -> bool: ...

    def fetch(self, remote: str) -> tuple[str, str]: ...

    def push(self, remote: str, tip: str) -> str:
        """ "" once it is there, the words of the rejection where somebody was faster."""

    def is_cut(self) -> bool: ...

    def remembered(self) -> list[str]:
        """Commits at which the trail stood before, newest first."""


class Journal(Protocol):
    """Signed lines that are not in the log yet."""

    @property
    def shared(self) -> Path: ...

    @property
    def local(self) -> Path: ...

    def lock(self) -> AbstractContextManager[None]: ...

    def stamp(self) -> tuple[int, int]: ...

    def read(self, path: Path, start: int = 0) -> tuple[list[bytes], int]: ...

    def append(self, path: Path, line: bytes) -> None: ...

    def set_aside(self, lines: Sequence[bytes]) -> None: ...

    def drop(self, end: int) -> None: ...


class Anchor(Protocol):
    """The newest state of the trail that was seen here."""

    def read(self) -> dict[str, Json] | None: ...

    def write(self, seen: Mapping[str, Json]) -> None: ...


class Index(Protocol):
    """Judged entries, found fast.

    ``vouch`` is called with the entries of an answer whose signatures nobody has checked yet, before it is given; it
    says False where one did not hold and the index was made anew.
    """

    vouch: Callable[[Sequence[OwedRow]], bool]
    edges_at: tuple[str, str]
    """Where payloads have the digests of what entries were made from, and of what they made."""

    def change(self) -> AbstractContextManager[None]: ...

    def load(self) -> AbstractContextManager[None]: ...

    def reset(self, *, signatures: bool = False) -> None: ...

    def set_meta(self, key: str, value: Any) -> None: ...

    def meta(self, key: str, default: str = "") -> str: ...

    def add(self, rows: Iterable[IndexRow], superseded: Iterable[tuple[str, str]]) -> None: ...

    def add_payloads(self, payloads: Iterable[tuple[int, bytes]]) -> None: ...

    def last_row(self) -> int: ...

    def add_findings(self, findings: Iterable[tuple[str, str, str]]) -> None: ...

    def add_policy(self, digest: str, previous: str, content: str) -> None: ...

    def set_notes(self, notes: Iterable[tuple[str, str]]) -> None: ...

    def add_lines(self, lines: Iterable[tuple[str, bytes]]) -> None: ...

    def remember(self, checked: Iterable[tuple[str, str, bytes]], *, holds: bool) -> None: ...

    def set_settled(self) -> None: ...

    def follow(self) -> None: ...

    def owes(self) -> bool: ...

    def owed(self) -> Iterator[OwedRow]: ...

    def failed(self) -> set[tuple[str, str, bytes]]: ...

    def add_code(self, trees: Iterable[tuple[str, str]]) -> None: ...

    def place(self, entry: str) -> tuple[int, str, str, str] | None: ...

    def policy(self, digest: str) -> tuple[str, str] | None: ...

    def payload(self, entry: str) -> bytes | None:
        """The payload of an entry as it stands, whether its signature was checked or not."""

    def signers(self) -> list[tuple[str, str]]:
        """The pairs of (policy, signer) that entries have."""

    def set_retired(
        self, policy: str, signer: str, kept: Sequence[str], good: set[str], among: Sequence[str] | None
    ) -> None:
        """Valid entries of this pair become retired, but for ``kept`` kinds and ``good`` ids; ``among`` narrows it."""

    def restore_retired(self) -> None: ...

    def is_empty(self) -> bool: ...

    def is_new(self) -> bool: ...

    def has_code(self, tree: str) -> bool: ...

    def notes(self) -> dict[str, str]: ...

    def lines(self, journal: str) -> set[bytes]: ...

    def forget_journal(self) -> None: ...

    def findings(self) -> list[tuple[str, str, str]]: ...

    def counts(self, *states: str) -> list[int]: ...

    def one(self, where: str, values: Sequence[Any]) -> tuple[bytes, str] | None: ...

    def many(self, where: str, values: Sequence[Any]) -> Iterator[tuple[bytes, str]]: ...

    def results(self, where: str, values: Sequence[Any]) -> Iterator[tuple[str, bytes, str]]:
        """(made_from, payload, state) of all entries under a condition of our own making; their signatures hold."""

    def stamp(self) -> tuple[int, int]:
        """Another value after every change, whoever made it: equal stamps mean equal answers."""

    def members(self, where: str, values: Sequence[Any], paths: Sequence[str] = ()) -> Iterator[tuple[Any, ...]]: ...

    def edges(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Pairs of digest and entry id: what entries were made from, and what they made; of invalid entries too."""

    def code_trees(self) -> Iterator[tuple[str, str]]:
        """(entry id, code tree) of every valid entry that names one."""

    def addresses(self) -> list[str]: ...

    def ids(self, where: str, values: Sequence[Any] = ()) -> list[str]: ...

    def ids_like(self, prefix: str) -> list[str]: ...
