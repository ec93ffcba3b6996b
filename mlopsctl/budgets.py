"""``budget:``, ``resources:`` and ``priority:`` of a step: what it may cost and use, how it ends then, and who goes first."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

from .adapters.share import Share
from .errors import GateError
from .provider import policy, run
from .slots import PRIORITY
from .types import Resource


@dataclass(frozen=True)
class Budget:
    """What a step may cost at most; what exceeds it is ended and exit code 4."""

    time: float | None = policy(None, doc="The time of all attempts together.", quantity="duration", looser="higher")


@dataclass(frozen=True)
class Resources:
    """What a step may use of this machine: it starts when that is free, and gets no more."""

    cpu: int | None = run(None, doc="Processor cores it may run on.", minimum=1)
    memory: int | None = run(None, doc="Private memory of each of its processes.", quantity="size")
    gpu: int | None = run(None, doc="Graphics cards that are its own while it runs; 0 hides all.", minimum=0)


def resources_field() -> Any:
    """The field ``resources:`` of a Spec."""
    return run(None, doc="What it may use of this machine.")


def share_of(want: Resource, cards: tuple[str, ...] | None) -> Share:
    """What a gate or a target, and with it each model that it runs, is held to; a training command is by its sandbox.

    ``cards`` are its own, None where nobody shares them out.
    """
    asked = getattr(want.spec, "resources", None)
    if asked is None or want.address.section not in ("gates", "targets"):
        return Share()
    return Share(asked.cpu, asked.memory, () if asked.gpu == 0 else cards if asked.gpu else None)


def budget() -> Any:
    """The field ``budget:`` of a Spec."""
    return policy(None, doc="What the step may cost at most.", looser=Budget)


def priority_field() -> Any:
    """The field ``priority:`` of a Spec."""
    doc = "Who starts first where not all can run at once: the highest."
    return run(PRIORITY, doc=doc, minimum=0, maximum=100)


def allowed(want: Resource) -> float | None:
    """The seconds that a step may take, None where nothing limits them."""
    return getattr(getattr(want.spec, "budget", None), "time", None)


class Deadline(Event):
    """Tells what a step waits for to end: when the apply is cancelled, or when the step's time is used up."""

    def __init__(self, cancelled: Event, seconds: float | None):
        super().__init__()
        self._cancelled = cancelled
        self._until = monotonic() + seconds if seconds is not None else None

    def is_set(self) -> bool:
        return self._cancelled.is_set() or (self._until is not None and monotonic() >= self._until)


def used_up(want: Resource) -> GateError:
    """The error of a step that was ended because of its budget."""
    return GateError(
        f"{want.address} was ended: it would have taken longer than its budget of {allowed(want):g} s",
        hint="make the work smaller, or raise budget: {time: …}",
        code="MLO6006",
    )
