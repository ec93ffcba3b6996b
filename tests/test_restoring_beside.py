"""Lost outputs are made again while other steps go on, within what the machine has, and once for all who need them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsctl import apply as walking
from mlopsctl import restoring
from mlopsctl.apply import Walk
from mlopsctl.errors import ProviderError
from mlopsctl.provider import Context, Inputs
from mlopsctl.slots import Demand, Machine, together
from mlopsctl.types import Outcome, Resource
from mlopsctl.workshop import Event
from tests import simple
from tests.simulator import PROVIDERS, Simulator, need, resource

ONE, TWO = resource("data.one", text="one"), resource("data.two", text="two")
FIRST = resource("train.first", need("data", "data.one"), text="first")
SECOND = resource("train.second", need("data", "data.two"), text="second")
OTHER = resource("train.other", text="other")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    from mlopsctl import registry

    monkeypatch.setattr(registry, "PROVIDERS", PROVIDERS)
    registry.provider.cache_clear()
    return Simulator(tmp_path)


def lose(project: Simulator, *made: Resource) -> None:
    """Makes these, and then their bytes are gone."""
    project.apply(*made)
    project.bytes_here.clear()
    project.applied.clear()


def events(project: Simulator, *resources: Resource, **manner: Any) -> list[Event]:
    return list(Walk(project.plan(*resources), resources, project, **manner))


def walk(project: Simulator, *resources: Resource, **manner: Any) -> list[tuple[str, str]]:
    return [(one.event, one.address) for one in events(project, *resources, **manner)]


def put(monkeypatch: pytest.MonkeyPatch, work: Callable[[Resource, Context], Outcome | None]) -> None:
    """Has something happen before, or instead of, what the simple provider does."""
    real = simple.apply

    def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        return work(want, ctx) or real(want, inputs, ctx)

    monkeypatch.setattr(simple, "apply", apply)


def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps worked at the same time, each time that one began."""
    lock, seen, running = threading.Lock(), [], 0

    def work(want: Resource, ctx: Context) -> None:
        nonlocal running
        with lock:
            running += 1
            seen.append(running)
        threading.Event().wait(0.05)
        with lock:
            running -= 1

    put(monkeypatch, work)
    return seen


def test_two_are_made_again_beside_each_other_and_not_by_the_thread_that_walks(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(project, ONE, TWO)
    both = threading.Barrier(2, timeout=30)

    def meet(want: Resource, ctx: Context) -> None:
        assert threading.current_thread() is not threading.main_thread()
        if want.address.section == "data":
            both.wait()

    put(monkeypatch, meet)
    seen = walk(project, ONE, TWO, FIRST, SECOND, jobs=2)
    assert sorted(seen[:2]) == [("start", "train.first"), ("start", "train.second")]
    assert sorted(seen[2:4]) == [("restore", "data.one"), ("restore", "data.two")]
    assert sorted(seen[4:]) == [("done", "train.first"), ("done", "train.second")]


@pytest.mark.parametrize("manner", [{"jobs": 1}, {"jobs": 4, "machine": Machine(1, 1 << 40)}])
def test_never_more_at_a_time_than_asked_for_or_than_fit(
    project: Simulator, monkeypatch: pytest.MonkeyPatch, manner: dict[str, Any]
) -> None:
    lose(project, ONE, TWO)
    seen = count(monkeypatch)
    walk(project, ONE, TWO, FIRST, SECOND, OTHER, **manner)
    assert seen == [1] * 5 and len(project.applied) == 5


def test_a_step_takes_what_the_making_of_its_inputs_asks_for(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost one wants both cores and a card: nothing runs beside it, and the card is its own."""

    def demand(want: Resource) -> Demand:
        return Demand(2, 0, 1) if want == ONE else Demand()

    monkeypatch.setattr(walking, "demand", demand)
    monkeypatch.setattr(restoring, "demand", demand)
    lose(project, ONE)
    cards: dict[str, tuple[str, ...]] = {}
    put(monkeypatch, lambda want, ctx: cards.update({str(want.address): ctx.cards}))
    seen = count(monkeypatch)
    walk(project, ONE, FIRST, OTHER, jobs=2, machine=Machine(2, 1 << 40, ("7",)))
    assert seen == [1, 1, 1] and cards["data.one"] == ("7",)


def test_the_demands_of_what_runs_one_after_the_other_are_the_largest_of_each() -> None:
    assert together(Demand(1, 9, 0), Demand(4, 2, 0), Demand(2, 2, 1)) == Demand(4, 9, 1)


def test_what_two_steps_need_is_made_again_once(project: Simulator) -> None:
    lose(project, ONE)
    also = resource("train.also", need("data", "data.one"), text="also")
    seen = walk(project, ONE, FIRST, also, jobs=2)
    assert seen.count(("restore", "data.one")) == 1 and project.applied.count("data.one") == 1
    assert sum(event == "done" for event, _ in seen) == 2


def test_what_it_is_made_from_is_made_again_first(project: Simulator) -> None:
    lose(project, ONE, FIRST)
    top = resource("gates.top", need("model", "train.first"), text="top")
    assert walk(project, ONE, FIRST, top, jobs=2) == [
        ("start", "gates.top"), ("restore", "train.first"), ("restore", "data.one"), ("done", "gates.top"),
    ]  # fmt: skip
    assert project.applied == ["data.one", "train.first", "gates.top"]


def test_what_can_not_be_made_again_fails_who_needs_it_and_nobody_else(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(project, ONE)

    def refuse(want: Resource, ctx: Context) -> None:
        if want == ONE:
            raise ProviderError("no network", hint="wait", code="MLO1223")

    put(monkeypatch, refuse)
    seen = events(project, ONE, FIRST, OTHER, jobs=2, keep_going=True)
    assert [(one.address, one.error.code) for one in seen if one.error] == [("train.first", "MLO1223")]
    assert ("done", "train.other") in [(one.event, one.address) for one in seen]


def test_other_bytes_in_place_of_the_lost_ones_hold_back_all_who_were_to_get_those(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = resource("train.base", text="base", reproducible="none")
    users = [resource(f"targets.{name}", need("model", "train.base"), text=name) for name in ("a", "b")]
    lose(project, base)
    begun = threading.Event()

    def another(want: Resource, ctx: Context) -> Outcome | None:
        if want != base:
            return None
        begun.wait(0.2)  # the other one waits meanwhile
        made = ctx.scratch / "text"
        made.write_text("otherwise")
        return Outcome({"text": made}, {"text": "otherwise"})

    put(monkeypatch, another)
    seen = events(project, base, *users, jobs=2)
    assert [(one.event, one.address) for one in seen if one.event not in ("start", "restore")] in (
        [("stale", "targets.a"), ("stale", "targets.b")], [("stale", "targets.b"), ("stale", "targets.a")],
    )  # fmt: skip
    assert {one.error.code for one in seen if one.error} == {"MLO6017"} and project.applied.count("train.base") == 1
