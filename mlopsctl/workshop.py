"""What an apply tells, and where it makes steps and records them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from typing import Protocol

from .errors import MlopsError
from .provider import Context, Inputs
from .types import Address, Digest, Json, Observed, Outcome, Resource, TreeFile, Verdict
from .world import World


@dataclass(frozen=True)
class Event:
    """What happened to one address: ``start``, ``done``, ``skip``, ``block``, ``wait``, ``fail``, ``hold``, ``restore``, ``verdict``,
    ``stale``, or ``soak`` where the step is blocked by nothing but time."""

    event: str
    address: str
    action: str = ""
    text: str = ""
    seconds: float = 0.0
    entry: str = ""
    error: MlopsError | None = None
    verdict: Verdict | None = None


class Workshop(Protocol):
    """Where steps are made and recorded."""

    @property
    def world(self) -> World: ...

    def context(self, address: Address, inputs: Inputs = ()) -> Context:
        """A context with a fresh empty scratch folder, which ``release`` takes away, and the key behind the artifact."""

    def release(self, address: Address) -> None:
        """Takes the scratch folder of a step away."""

    def started(self, address: Address, made_from: Digest) -> None:
        """Remembers for the next apply that a step is under way, until something is recorded for it."""

    def working(self, address: Address, cancelled: Signal) -> AbstractContextManager[None]:
        """Surrounds a step in the thread that makes it; what it starts ends when ``cancelled`` is set."""

    def alive(self) -> None:
        """Called about once a second while steps run."""

    def admit(self, want: Resource, sources: Mapping[str, TreeFile]) -> None:
        """Raises EvidenceError, before hours of work, for code that the trail would refuse to keep."""

    def keep(self, outputs: Mapping[str, Path | Digest]) -> dict[str, Digest]:
        """Takes outputs over into the store and signs every folder among them (``NAME.sig``)."""

    def record(
        self,
        kind: str,
        want: Resource,
        *,
        status: str = "",
        made_from: Digest | None = None,
        parts: Mapping[str, Json] | None = None,
        outputs: Mapping[str, Digest] | None = None,
        outcome: Outcome | None = None,
        facts: Mapping[str, Json] | None = None,
        sources: Mapping[str, TreeFile] | None = None,
        held: bool = False,
    ) -> Observed:
        """Signs one entry and puts it into the journal, durably.

        A deployment that is ``held`` was approved by nobody this time: the controls in force stay what they are.
        """

    def here(self, digest: Digest) -> bool:
        """Whether the bytes can be had from the local store or a mirror (fetching them from there)."""

    def tell(self, address: Address, line: str) -> None: ...
