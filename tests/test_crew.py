"""Steps beside each other: the order, the trail and the screen stay with one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.children import Cancelled, check_cancelled, watched
from mlopsctl.apply import Walk
from mlopsctl.crew import Crew
from mlopsctl.errors import EvidenceError
from mlopsctl.provider import Context, Inputs
from mlopsctl.slots import Machine
from mlopsctl.types import Address, Outcome, Resource
from mlopsctl.workshop import Event
from tests import simple
from tests.simulator import PROVIDERS, Simulator, need, resource

A, B = Address("train", "a"), Address("train", "b")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    from mlopsctl import registry

    monkeypatch.setattr(registry, "PROVIDERS", PROVIDERS)
    registry.provider.cache_clear()
    return Simulator(tmp_path)


Apply = Callable[[Resource, Inputs, Context], Outcome]


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> Callable[[Apply], Apply]:
    """Puts something into the place of what the simple provider does; returns what it did."""

    def put(work: Apply) -> Apply:
        real: Apply = simple.apply
        monkeypatch.setattr(simple, "apply", work)
        return real

    return put


def walk(project: Simulator, *resources: Resource, **manner: Any) -> list[Event]:
    project.applied.clear()
    return list(Walk(project.plan(*resources), resources, project, **manner))


TRAIN = [resource(f"train.m{number}", text=f"model {number}") for number in range(4)]


def test_two_steps_run_at_the_same_time(project: Simulator, working: Callable[[Apply], Apply]) -> None:
    """Each waits for the other: one after the other they would wait for ever."""
    both = threading.Barrier(2, timeout=30)

    def meet(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        both.wait()
        return real(want, inputs, ctx)

    real = working(meet)
    events = walk(project, *TRAIN[:2], jobs=2)
    assert [event.event for event in events] == ["start", "start", "done", "done"]
    assert len(project.entries) == 2


def test_never_more_than_asked_for_and_never_more_than_fit(
    project: Simulator, working: Callable[[Apply], Apply]
) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def count(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        made = real(want, inputs, ctx)
        with lock:
            running -= 1
        return made

    real = working(count)
    assert len(walk(project, *TRAIN, jobs=4, machine=Machine(1, 0))) == 8
    assert most == 1


def test_questions_words_and_entries_come_from_the_thread_that_walks(
    project: Simulator, working: Callable[[Apply], Apply], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, threads = threading.current_thread(), []

    def noted(name: str) -> None:
        real = getattr(project, name)

        def note(*args: Any, **named: Any) -> Any:
            threads.append(threading.current_thread())
            return real(*args, **named)

        monkeypatch.setattr(project, name, note)

    for name in ("entry", "tell", "record"):
        noted(name)

    def ask(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        assert threading.current_thread() is not mine
        ctx.tell("asking")
        assert ctx.trail.entry("nothing") is None
        return real(want, inputs, ctx)

    real = working(ask)
    walk(project, *TRAIN, jobs=3)
    assert project.told == ["asking"] * 4
    assert set(threads) == {mine}


def test_an_error_of_a_question_reaches_who_asked(project: Simulator, working: Callable[[Apply], Apply]) -> None:
    def ask(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        with pytest.raises(AttributeError):
            ctx.trail.no_such_question()  # type: ignore[attr-defined]
        return real(want, inputs, ctx)

    real = working(ask)
    assert [event.event for event in walk(project, TRAIN[0])] == ["start", "done"]


def test_after_a_failure_what_runs_comes_to_its_end_and_nothing_new_starts(
    project: Simulator, working: Callable[[Apply], Apply]
) -> None:
    failed = threading.Event()

    def work(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        if want.spec.text == "model 1":
            assert failed.wait(30)
        return real(want, inputs, ctx)

    real = working(work)
    broken = resource("train.broken", text="explode")
    events = []
    for event in Walk(project.plan(broken, *TRAIN[1:3]), (broken, *TRAIN[1:3]), project, jobs=2):
        events.append((event.event, event.address))
        if event.event == "fail":
            failed.set()
    assert events == [
        ("start", "train.broken"), ("start", "train.m1"), ("fail", "train.broken"), ("skip", "train.m2"), ("done", "train.m1"),
    ]  # fmt: skip


def test_what_fails_before_it_begins_takes_no_room(
    project: Simulator, working: Callable[[Apply], Apply], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other two meet, for which both places are needed."""
    both = threading.Barrier(2, timeout=10)

    def meet(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        both.wait()
        return real(want, inputs, ctx)

    def refuse(want: Resource, sources: object) -> None:
        if want == TRAIN[0]:
            raise EvidenceError("it seems to hold a secret", code="MLO7120")

    real = working(meet)
    monkeypatch.setattr(project, "admit", refuse)
    events = walk(project, *TRAIN[:3], jobs=2, keep_going=True)
    assert [event.event for event in events] == ["start", "fail", "start", "start", "done", "done"]


def test_what_waited_for_room_is_skipped_after_a_failure_and_so_is_what_needs_it(project: Simulator) -> None:
    broken, live = resource("train.broken", text="explode"), resource("deployments.live", text="live")
    events = walk(project, broken, live, resource("gates.after", need("model", "deployments.live"), text="x"), jobs=2)
    assert [(event.event, event.address) for event in events] == [
        ("start", "train.broken"), ("fail", "train.broken"), ("skip", "deployments.live"), ("skip", "gates.after"),
    ]  # fmt: skip


def test_keep_going_leaves_out_only_what_needs_the_failure(project: Simulator) -> None:
    broken = resource("train.broken", text="explode")
    gate = resource("gates.g", need("model", "train.broken"), text="x")
    events = walk(project, broken, gate, *TRAIN[:2], keep_going=True)
    assert [(event.event, event.address) for event in events if event.event != "start"] == [
        ("fail", "train.broken"), ("skip", "gates.g"), ("done", "train.m0"), ("done", "train.m1"),
    ]  # fmt: skip


def test_a_deployment_has_nothing_beside_it(project: Simulator, working: Callable[[Apply], Apply]) -> None:
    running: set[str] = set()

    def work(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        running.add(str(want.address))
        if want.address.section == "deployments":
            assert running == {str(want.address)}
            assert threading.current_thread() is threading.main_thread()
        made = real(want, inputs, ctx)
        running.discard(str(want.address))
        return made

    real = working(work)
    live = resource("deployments.live", text="live")
    events = walk(project, TRAIN[0], live, *TRAIN[1:], jobs=4)
    assert sum(event.event == "done" for event in events) == 5


def test_who_stops_listening_ends_what_runs(project: Simulator, working: Callable[[Apply], Apply]) -> None:
    ended = []

    def work(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        try:
            while True:
                check_cancelled()
                threading.Event().wait(0.01)
        finally:
            ended.append(str(want.address))

    working(work)
    project.working = lambda address, cancelled: watched(cancelled, lambda pid: None)  # type: ignore[method-assign]
    walking = Walk(project.plan(*TRAIN[:2]), TRAIN[:2], project, jobs=2)
    events = iter(walking)
    assert [next(events).event, next(events).event] == ["start", "start"]
    walking.close()
    assert ended == ["train.m0"], "the second was announced and not begun"
    assert project.entries == []


def test_whoever_asks_while_all_is_cancelled_gets_no_answer_and_does_not_hang() -> None:
    crew, asked = Crew(), threading.Event()
    seen: list[type[BaseException]] = []

    def work() -> None:
        asked.wait(30)
        try:
            crew.ask(lambda: 1)
        except BaseException as error:
            seen.append(type(error))
            raise

    crew.start(A, work)
    crew.cancelled.set()
    asked.set()
    crew.close()
    assert seen == [Cancelled]


def test_what_cannot_be_cancelled_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopsctl.crew._PATIENCE", 0.0)
    crew, over = Crew(), threading.Event()
    crew.start(A, over.wait)
    crew.close()
    monkeypatch.setattr("mlopsctl.crew._PATIENCE", 15.0)
    monkeypatch.setattr(crew, "_said", None)
    crew.close()
    monkeypatch.undo()
    over.set()
