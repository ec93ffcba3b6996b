"""What steps ask of a machine, and who may start beside whom; pure."""

from __future__ import annotations

from typing import NamedTuple

from .types import Address, Resource

PRIORITY = 50
"""The priority of a step that states none; from 0 to 100, the highest starts first."""


class Demand(NamedTuple):
    """What one step takes while it runs: cores, bytes of memory, graphics cards."""

    cpu: int = 1
    memory: int = 0
    gpu: int = 0


EVERYTHING = Demand(1 << 30, 1 << 62, 1 << 30)
"""What a step takes that may have nothing beside it."""


class Machine(NamedTuple):
    """What there is: cores, bytes of memory, and the names of graphics cards as CUDA_VISIBLE_DEVICES spells them."""

    cpu: int
    memory: int
    gpus: tuple[str, ...] = ()


def demand(want: Resource) -> Demand:
    """What ``resources:`` of a step says; one core where it says nothing."""
    asked = getattr(want.spec, "resources", None)
    return Demand(
        getattr(asked, "cpu", None) or 1, getattr(asked, "memory", None) or 0, getattr(asked, "gpu", None) or 0
    )


def together(*wanted: Demand) -> Demand:
    """What several steps take that run one after the other."""
    return Demand(*map(max, zip(*wanted, strict=True)))


def priority(want: Resource) -> int:
    """``priority:`` of a step."""
    return int(getattr(want.spec, "priority", PRIORITY))


def lacks(wanted: Demand, machine: Machine) -> tuple[str, ...]:
    """What of the whole machine is too little for the step, one line each, as what holds the step up."""
    found = []
    if wanted.cpu > machine.cpu:
        found.append(f"this machine's {_many(machine.cpu, 'core')} (it asks for {wanted.cpu})")
    if wanted.memory > machine.memory:
        asked, there = wanted.memory / 2**30, machine.memory / 2**30
        found.append(f"this machine's {there:.1f} GiB of memory (it asks for {asked:.1f})")
    if wanted.gpu > len(machine.gpus):
        found.append(f"this machine's {_many(len(machine.gpus), 'GPU')} (it asks for {wanted.gpu})")
    return tuple(found)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count != 1 else "")


class Slots:
    """Shares a machine out among at most ``jobs`` steps at a time.

    A step that does not fit yet keeps what is free for itself: smaller ones that come later cannot overtake it for ever.
    """

    def __init__(self, machine: Machine, jobs: int):
        self._machine = machine
        self._jobs = jobs
        self._taken: dict[Address, tuple[Demand, tuple[str, ...]]] = {}
        self._kept: list[Demand] = []

    def open(self) -> bool:
        """Whether one more step could start at all."""
        return len(self._taken) < self._jobs and (not self._taken or self._free().cpu > 0)

    def empty(self) -> bool:
        """Whether nothing runs."""
        return not self._taken

    def _free(self) -> Demand:
        taken = [held for held, _ in self._taken.values()]
        left = [
            there - sum(held[part] for held in taken)
            for part, there in enumerate((self._machine.cpu, self._machine.memory, len(self._machine.gpus)))
        ]
        for kept in self._kept:
            left = [max(there - held, 0) for there, held in zip(left, kept, strict=True)]
        return Demand(*left)

    def take(self, address: Address, wanted: Demand) -> tuple[str, ...] | None:
        """The graphics cards that the step got, none for most; None where it has to wait, and is first when it can go on.

        A step larger than the machine runs alone: what a plan bars never comes here.
        """
        if self._taken and not all(there >= asked for there, asked in zip(self._free(), wanted, strict=True)):
            self._kept.append(wanted)
            return None
        used = {name for _, names in self._taken.values() for name in names}
        cards = tuple(name for name in self._machine.gpus if name not in used)[: wanted.gpu]
        self._taken[address] = (wanted, cards)
        return cards

    def give_back(self, address: Address) -> None:
        """The step ended: what waited is asked again."""
        del self._taken[address]
        self._kept.clear()
