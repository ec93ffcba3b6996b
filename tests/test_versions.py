"""A deployment that names its version: what it is made of, and what of today still bars it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.apply import Walk
from mlopsctl.registry import PROVIDERS as REGISTRY
from mlopsctl.types import Action, Address, Entry, Resource, Status, Step, Verdict
from tests.simulator import PROVIDERS, Simulator, need, resource

GOOD = Address.parse("gates.good")
PASSED = Verdict(Status.PASSED, "well")


@pytest.fixture(autouse=True)
def _simple_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in PROVIDERS.items():
        monkeypatch.setitem(REGISTRY, name, module)


@pytest.fixture
def project(tmp_path: Path) -> Simulator:
    return Simulator(tmp_path)


def house(text: str, version: str = "", *gates: str) -> list[Resource]:
    """A model, gates that measure it, and two deployments of it: one takes the newest."""
    needs = [need("artifact", "targets.cpu"), *(need("guard", gate) for gate in gates)]
    return [
        resource("train.model", text=text),
        *(resource(gate, need("model", "train.model"), text=f"measured by {gate}", shortest=0) for gate in gates),
        resource("targets.cpu", need("model", "train.model"), text="compiled", echo=True),
        resource("deployments.live", *needs, text="live", version=version),
        resource("deployments.next", *needs, text="next"),
    ]


def made(project: Simulator, address: str) -> Entry:
    return next(entry for entry in reversed(project.entries) if entry.address == address and entry.kind == "result")


def step(project: Simulator, resources: list[Resource], address: str = "deployments.live") -> Step:
    return next(one for one in project.plan(*resources).steps if str(one.address) == address)


def test_the_version_stays_while_others_follow_the_newest(project: Simulator) -> None:
    project.judged[GOOD] = PASSED
    project.apply(*house("first", "", "gates.good"))
    first = made(project, "targets.cpu")
    pinned = house("second", first.id, "gates.good")
    now = step(project, pinned)
    assert (now.action, now.blocked_by) == (Action.NOOP, ())
    assert now.held_by == f"version: {first.id}"
    assert step(project, pinned, "deployments.next").action is Action.UPDATE
    project.apply(*pinned)
    second = made(project, "targets.cpu")
    assert made(project, "deployments.next").ingredients["inputs"]["artifact"] == [second.outputs["text"]]
    assert made(project, "deployments.live").ingredients["inputs"]["artifact"] == [first.outputs["text"]]
    # Without the version it follows as well.
    assert step(project, house("second", "", "gates.good")).action is Action.UPDATE


def test_the_gates_judge_the_version_and_not_todays_model(project: Simulator) -> None:
    project.judged[GOOD] = PASSED
    project.apply(*house("first", "", "gates.good"))
    first = made(project, "targets.cpu")
    project.apply(*house("second", "", "gates.good"))
    project.judged[GOOD] = Verdict(Status.FAILED, "too few", blocks=True)
    back = step(project, house("second", first.id, "gates.good"))
    assert back.action is Action.UPDATE
    assert back.blocked_by == ("gates.good failed",)
    project.judged[GOOD] = PASSED
    assert step(project, house("second", first.id, "gates.good")).blocked_by == ()


def test_a_gate_that_never_measured_the_version_bars_the_way_to_it_and_leaves_what_runs(project: Simulator) -> None:
    project.judged[GOOD] = PASSED
    project.apply(*house("first", "", "gates.good"))
    first = made(project, "targets.cpu")
    project.judged[Address.parse("gates.new")] = PASSED
    gates = ("gates.good", "gates.new")
    # What runs is that version: a new gate of today's model is no reason to stop it.
    assert step(project, house("second", first.id, *gates)).blocked_by == ()
    project.apply(*house("second", "", *gates))
    barred = step(project, house("second", first.id, *gates))
    assert barred.blocked_by == ("gates.new, which never measured this version",)
    assert [event.event for event in project.apply(*house("second", first.id, *gates)) if "live" in event.address] == [
        "block"
    ]


def test_a_version_that_nobody_knows_bars_the_deployment_and_nothing_else(project: Simulator) -> None:
    project.apply(*house("first", "0123abcd", "gates.good"))
    assert step(project, house("first", "0123abcd", "gates.good")).blocked_by == (
        "version: 0123abcd, which nobody knows",
    )
    assert made(project, "deployments.next")
    assert not [entry for entry in project.entries if entry.address == "deployments.live"]


def test_it_does_not_wait_for_a_model_that_fails_today(project: Simulator) -> None:
    project.judged[GOOD] = PASSED
    project.apply(*house("first", "", "gates.good"))
    first = made(project, "targets.cpu")
    project.apply(*house("second", "", "gates.good"))
    resources = house("explode", first.id, "gates.good")
    events = list(Walk(project.plan(*resources), resources, project, keep_going=True))
    assert ("done", "deployments.live") in {(event.event, event.address) for event in events}


def test_a_rollback_overlays_it_and_a_withdrawn_one_is_refused(project: Simulator) -> None:
    project.judged[GOOD] = PASSED
    project.apply(*house("first", "", "gates.good"))
    first, live = made(project, "targets.cpu"), made(project, "deployments.live")
    project.apply(*house("second", "", "gates.good"))
    second = made(project, "targets.cpu")
    held = Entry("hold", 90, (), "2026", "ann", "rollback", "deployments.live", facts={"to": live.id})
    project.entries.append(held)
    now = step(project, house("second", second.id, "gates.good"))
    assert "rolled back" in now.held_by and "version" not in now.held_by
    project.entries.remove(held)
    ruled_out = Entry("gone", 91, (), "2026", "ann", "withdraw", facts={"roots": [f"entry:{first.id}"]})
    project.entries.append(ruled_out)
    assert "withdrawn by ann" in ", ".join(step(project, house("second", first.id, "gates.good")).blocked_by)
