"""The how-manieth model it is that is measured on the same rows. Pure.

A bar that many models were held against on the same rows is cleared by luck in the end: the test set becomes one more
thing that was fitted (Dwork et al., The reusable holdout, 2015).
"""

from __future__ import annotations

from typing import Protocol

from .provider import Inputs
from .types import Observed

_WORDS = {1: "first", 2: "second", 3: "third"}


class Asked(Protocol):
    """What is asked of the world here; see ``plan.World``."""

    def measured(self, data: Observed, view: str) -> tuple[str, ...]: ...


def nth_model(inputs: Inputs, world: Asked) -> int | None:
    """The place of the model in the order in which models were measured on these rows; a new one comes last.

    None where the rows are not known yet, or no rows are asked for.
    """
    data = next((item for item in inputs if item.role == "data"), None)
    model = next((item for item in inputs if item.role == "model"), None)
    if data is None or data.seen is None or model is None:
        return None
    before = world.measured(data.seen, data.need.output)
    return before.index(model.digest) + 1 if model.digest in before else len(before) + 1


def ordinal(number: int) -> str:
    """``first``, ``second``, ``third``, ``4th``, ``21st``."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    end = "th" if number % 100 in (11, 12, 13) else ends.get(number % 10, "th")
    return _WORDS.get(number, f"{number}{end}")


def looks(number: int | None) -> tuple[str, ...]:
    """One line about it; none where nobody knows."""
    return (f"the {ordinal(number)} model measured on these rows",) if number else ()
