"""Apply does what was planned, or less; it records every step, failed ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsctl.apply import Walk
from mlopsctl.errors import EvidenceError, ProviderError, StaleError
from mlopsctl.provider import Context
from mlopsctl.types import Action, Digest, Input, Observed, Resource, TreeFile
from mlopsctl.workshop import Event
from tests import simple
from tests.simulator import PROVIDERS, Simulator, need, resource


@pytest.fixture(autouse=True)
def _simple_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlopsctl import registry

    monkeypatch.setattr(registry, "PROVIDERS", PROVIDERS)
    registry.provider.cache_clear()


@pytest.fixture
def project(tmp_path: Path) -> Simulator:
    return Simulator(tmp_path)


DATA = resource("data.rows", text="rows")
MODEL = resource("train.model", need("data", "data.rows"), text="model")
GATE = resource("gates.size", need("model", "train.model"), text="measured", shortest=3)
LIVE = resource("deployments.live", need("artifact", "train.model"), need("guard", "gates.size"), text="live")


def test_each_step_runs_once_and_in_order(project: Simulator) -> None:
    events = project.apply(DATA, MODEL, GATE, LIVE)
    assert project.applied == ["data.rows", "train.model", "gates.size", "deployments.live"]
    assert [event.event for event in events] == ["start", "done"] * 4
    assert [entry.kind for entry in project.entries] == ["result"] * 4


def test_an_upstream_that_comes_out_the_same_stops_there(project: Simulator) -> None:
    project.apply(DATA, MODEL)
    reworded = resource("data.rows", text=" rows ")
    events = project.apply(reworded, MODEL)
    assert project.applied == ["data.rows"]
    assert events[-1].event == "skip" and "already there" in events[-1].text


def test_a_failing_gate_blocks_what_it_guards(project: Simulator) -> None:
    strict = resource("gates.size", need("model", "train.model"), text="measured", shortest=99)
    events = project.apply(DATA, MODEL, strict, LIVE)
    assert "deployments.live" not in project.applied
    assert events[-1].event == "block" and events[-1].text == "gates.size failed"


def test_a_failure_is_recorded_and_holds_back_what_needs_it(project: Simulator) -> None:
    broken = resource("train.model", need("data", "data.rows"), text="explode")
    events = project.apply(DATA, broken, GATE, LIVE)
    assert project.applied == ["data.rows", "train.model"]
    assert project.entries[-1].kind == "failure"
    assert project.entries[-1].facts["message"] == "it exploded"
    assert [event.event for event in events[-3:]] == ["fail", "skip", "skip"]


def test_after_a_failure_the_next_apply_repeats_only_what_did_not_finish(project: Simulator) -> None:
    project.apply(DATA, resource("train.model", need("data", "data.rows"), text="explode"))
    project.apply(DATA, MODEL)
    assert project.applied == ["train.model"]


def test_replace_records_what_it_supersedes(project: Simulator) -> None:
    project.apply(DATA)
    first = project.entries[-1].id
    project.apply(DATA, replaced=("data.rows",))
    assert project.entries[-1].facts["supersedes"] == first


def test_lost_outputs_are_made_again_and_compared(project: Simulator) -> None:
    project.apply(DATA)
    project.bytes_here.clear()
    events = project.apply(DATA, MODEL)
    assert project.applied == ["data.rows", "train.model"]
    assert [event.event for event in events] == ["start", "restore", "done"]
    assert sum(entry.address == "data.rows" for entry in project.entries) == 1


def test_all_that_starts_processes_is_known_to_the_next_apply(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made again or taken away too: a kill leaves its processes to whoever comes next."""
    old = resource("deployments.old", text="old")
    project.apply(DATA, old)
    project.gone = [old]
    project.bytes_here.clear()
    begun: list[str] = []
    monkeypatch.setattr(project, "started", lambda address, made_from: begun.append(str(address)))
    project.apply(DATA, MODEL)
    assert begun == ["data.rows", "train.model", "deployments.old"]


def test_an_unjudged_guard_holds_its_step_back(project: Simulator) -> None:
    events = project.apply(DATA, MODEL, LIVE)
    assert events[-1].event == "skip" and events[-1].text == "waits for gates.size"
    assert project.plan(DATA, MODEL, LIVE).steps[-1].action is Action.CREATE


def test_a_rolled_back_deployment_that_is_made_again_gets_what_it_was_rolled_back_to(project: Simulator) -> None:
    live = resource("deployments.live", need("artifact", "train.model"), text="live")
    project.apply(DATA, MODEL, live)
    old = project.entries[-1].id
    newer = resource("train.model", need("data", "data.rows"), text="a newer model")
    project.apply(DATA, newer, live)
    project.record("rollback", live, facts={"to": old})
    project.apply(DATA, newer, live, replaced=("deployments.live",))
    (artifact,) = project.given["deployments.live"]
    assert artifact.seen is not None and artifact.seen.facts["text"] == "model"


def test_a_step_that_cannot_be_assessed_fails_like_any_other(project: Simulator) -> None:
    wrong = resource("train.model", need("data", "data.rows", "val"), text="model")
    events = project.apply(DATA, wrong, GATE)
    assert [event.event for event in events] == ["start", "done", "fail", "skip"]
    assert project.entries[-1].facts["code"] == "MLO1011"


def test_a_deployment_that_cannot_be_taken_away_is_a_failure_like_any_other(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(seen: Observed, ctx: Context) -> None:
        raise ProviderError("it does not answer", hint="look at it")

    old, other = resource("deployments.old", text="old"), resource("deployments.other", text="other")
    project.apply(DATA, old, other)
    project.gone = [old, other]
    monkeypatch.setattr(simple, "remove", refuse)
    events = project.apply(DATA)
    assert [(event.event, event.address) for event in events] == [
        ("start", "deployments.old"), ("fail", "deployments.old"), ("skip", "deployments.other"),
    ]  # fmt: skip
    assert (project.entries[-1].kind, project.entries[-1].address) == ("failure", "deployments.old")


def test_code_that_the_trail_would_refuse_is_refused_before_the_work(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(want: object, sources: object) -> None:
        raise EvidenceError("it seems to hold a secret", code="MLO7120")

    monkeypatch.setattr(project, "admit", refuse)
    assert [event.event for event in project.apply(DATA)] == ["start", "fail"]
    assert project.applied == []


def test_lost_bytes_of_a_rollback_are_an_error_and_not_todays_artifact(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.apply(DATA, MODEL, GATE, LIVE)
    older = Observed(Digest("sha256:0"), {"text": Digest("sha256:older")}, entry="e" * 64)
    held = (Input(need("artifact", "train.model"), older), Input(need("guard", "gates.size"), None))
    project.record("rollback", LIVE, facts={"to": "e" * 64})
    monkeypatch.setattr(project, "inputs_of", lambda entry, want: held)
    events = project.apply(DATA, MODEL, GATE, LIVE)
    assert [event.error.code for event in events if event.error] == ["MLO7202"]


# --- apply is a part of the plan -------------------------------------------------------------------------------------


def walk_after(project: Simulator, change: Callable[[], object], *resources: Resource) -> list[Event]:
    """The events of a plan that is applied after something changed."""
    plan = project.plan(*resources)
    change()
    project.applied.clear()
    return list(Walk(plan, resources, project))


def test_a_step_that_was_not_planned_is_not_done(project: Simulator) -> None:
    """Somebody else's command took the result back while the plan was being looked at."""
    project.apply(DATA, MODEL)
    events = walk_after(project, lambda: project.entries.pop(), DATA, MODEL)
    assert [(event.event, event.address) for event in events] == [("stale", "train.model")]
    assert project.applied == [] and isinstance(events[0].error, StaleError) and events[0].error.exit_code == 6


def test_a_file_saved_between_plan_and_step_makes_the_step_stale_and_holds_back_what_needs_it(
    project: Simulator,
) -> None:
    project.files["train.py"] = TreeFile("100644", "1" * 40)
    model = resource("train.model", text="model", file="train.py")
    saved = {"train.py": TreeFile("100644", "2" * 40)}
    events = walk_after(project, lambda: project.files.update(saved), model, GATE, DATA)
    assert [(event.event, event.address) for event in events] == [
        ("stale", "train.model"), ("skip", "gates.size"), ("start", "data.rows"), ("done", "data.rows"),
    ]  # fmt: skip
    assert project.entries[-1].address == "data.rows", "what did not change is made"


def test_what_was_held_back_in_the_plan_is_not_done_because_the_reason_went_away(
    project: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.apply(DATA)
    monkeypatch.setattr(project, "lacks", lambda want: ("a GPU",) if want.address.section == "train" else ())
    events = walk_after(project, monkeypatch.undo, DATA, MODEL)
    assert [event.event for event in events] == ["stale"]


def test_what_was_unknown_while_planning_may_come_out_in_any_way(project: Simulator) -> None:
    project.apply(DATA, MODEL)
    events = project.apply(resource("data.rows", text="other rows"), MODEL)
    assert [event.event for event in events] == ["start", "done", "start", "done"]
