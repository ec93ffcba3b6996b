"""What an apply of this clone is doing right now, or left undone when it was killed: for ``status``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..adapters.lock import Holder, holder
from ..adapters.steps import Left, StepJournal
from ..adapters.times import lasting
from ..types import Json


class AtWork(NamedTuple):
    """Who has the lock of the clone (None for nobody), and the steps that were begun and have not ended."""

    by: Holder | None = None
    steps: Sequence[Left] = ()

    def lines(self) -> list[str]:
        """One line for people; none where nothing is under way."""
        now = time.time()
        if self.by is not None:
            running = [f"{one.address} for {lasting(now - one.at)}" for one in self.steps]
            return [f"at work: {self.by}" + (f": {', '.join(running)}" if running else "")]
        names = ", ".join(one.address for one in self.steps)
        return [f"interrupted: {names}; the next apply goes on from there"] if names else []

    def as_json(self) -> Json:
        """The same for programs; ``by`` is None where whoever began the steps was killed."""
        by = self.by._asdict() if self.by is not None else None
        if by is not None:
            del by["mark"]
        return {"by": by, "steps": [one.address for one in self.steps]}


def at_work(state: Path) -> AtWork:
    """Reads the lock and the journal of a clone; where they cannot be read, nothing is said."""
    try:
        by = holder(state / "lock")
        return AtWork(by, StepJournal(state / "steps.jsonl").left())
    except OSError:
        return AtWork()
