"""What a step would cost: the word for it, and how long it took the last time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .adapters.times import in_words, lasting
from .provider import COSTS, Provider
from .trials import seconds
from .types import Action, Cost, Entry, Observed, Reason, Resource


def cost(want: Resource, by_name: Provider, action: Action, reason: Reason, seen: Observed | None) -> Cost:
    """The word for a step; a running server that only gets another artifact is told where that lies."""
    if action is Action.NOOP:
        return Cost.NOTHING
    swaps = getattr(by_name, "SWITCHES", False) and action is Action.UPDATE and seen is not None and not seen.drift
    fields = [change.field for change in reason.changes]
    if swaps and fields and all(field.startswith("input ") for field in fields):
        return Cost.POINTER
    return COSTS[want.address.section]


def expected(spec: Any, last: Callable[[], Entry | None]) -> tuple[float | None, float | None]:
    """The seconds that a step took the last time, and those that it may take; None where nobody knows, or says."""
    return seconds(last()) or None, getattr(getattr(spec, "budget", None), "time", None) or None


def times(took: float | None, budget: float | None) -> tuple[str, ...]:
    """One line about the time that the step will take, and the time that it is allowed; none where nobody knows."""
    allowed = f"budget: {lasting(budget)}" if budget else ""
    if not took:
        return (allowed,) if allowed else ()
    if budget and took > budget:
        allowed += ", at which it would be ended: raise budget.time or make it faster"
    return (f"took {in_words(took)} the last time" + (f", {allowed}" if allowed else ""),)
