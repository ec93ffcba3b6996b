"""The words for what a step costs, and the time that it took and may take."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from mlopsctl.costs import cost, expected, times
from mlopsctl.provider import Provider
from mlopsctl.types import Action, Address, Change, Cost, Digest, Entry, Observed, Reason, Resource

LIVE = Resource(Address("deployments", "live"), "deployments/simple", None)
RUNS = Observed(Digest("sha256:00"), {})
ARTIFACT = Reason("targets.cpu changed", (Change("input artifact", "a", "b"),))
MOVED = Reason("to changed", (Change("input artifact", "a", "b"), Change("to", "a", "b")))


def by_name(switches: bool) -> Provider:
    module = ModuleType("simple")
    module.SWITCHES = switches  # type: ignore[attr-defined]
    return cast(Provider, module)


@pytest.mark.parametrize(
    ("switches", "action", "reason", "seen", "word"),
    [
        (True, Action.UPDATE, ARTIFACT, RUNS, Cost.POINTER),
        (True, Action.UPDATE, MOVED, RUNS, Cost.REDEPLOY),
        (True, Action.UPDATE, ARTIFACT, RUNS._replace(drift="the server process is gone"), Cost.REDEPLOY),
        (True, Action.UPDATE, Reason("waits for targets.cpu"), RUNS, Cost.REDEPLOY),
        (True, Action.CREATE, ARTIFACT, None, Cost.REDEPLOY),
        (False, Action.UPDATE, ARTIFACT, RUNS, Cost.REDEPLOY),
        (True, Action.NOOP, Reason("up to date"), RUNS, Cost.NOTHING),
    ],
)
def test_only_another_artifact_for_a_running_server_is_a_pointer_swap(
    switches: bool, action: Action, reason: Reason, seen: Observed | None, word: Cost
) -> None:
    assert cost(LIVE, by_name(switches), action, reason, seen) is word


@pytest.mark.parametrize(
    ("took", "budget", "said"),
    [
        (None, None, ()),
        (None, 1800.0, ("budget: 30 m",)),
        ("754.2", None, ("took 12 m the last time",)),
        ("754.2", 1800.0, ("took 12 m the last time, budget: 30 m",)),
        ("0.4", None, ("took less than 1 s the last time",)),
        (
            "2000",
            1800.0,
            ("took 33 m the last time, budget: 30 m, at which it would be ended: raise budget.time or make it faster",),
        ),
    ],
)
def test_how_long_it_took_and_may_take(took: str | None, budget: float | None, said: tuple[str, ...]) -> None:
    facts: dict[str, Any] = {"usage": {"seconds": took}} if took else {}
    last = Entry("e", 1, (), "2026-11-25T00:00:00Z", "ada", "result", "train.m", facts=facts)
    spec = SimpleNamespace(budget=SimpleNamespace(time=budget))
    assert times(*expected(spec, lambda: last)) == said
