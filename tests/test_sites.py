"""What a plan does to a deployment depends on where it is asked: branch, commit, and the controls in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.ratchet import Controls
from mlopsctl.site import Site
from mlopsctl.types import Action, Address, Reason
from tests import simulator
from tests.simulator import Simulator, need, resource

LIVE = Address("deployments", "live")
MODEL = resource("train.m", text="model")
WANT = resource("deployments.live", need("artifact", "train.m"), text="live")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    monkeypatch.setattr("mlopsctl.registry.PROVIDERS", simulator.PROVIDERS)
    return Simulator(tmp_path)


def in_force(**fields: object) -> Controls:
    return {"deployment": "deployments.live", "guards": [], "of": {"deployments.live": {"fields": fields}}}


def test_another_branch_leaves_it_alone(project: Simulator) -> None:
    project.sites[LIVE] = Site(elsewhere="main")
    step = project.plan(MODEL, WANT).steps[1]
    assert step.action is Action.NOOP and step.held_by == "not managed from here: branch main does that"
    project.apply(MODEL, WANT)
    assert project.applied == ["train.m"]


def test_an_ancestor_of_what_runs_is_not_deployed(project: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    project.apply(MODEL, WANT)
    project.sites[LIVE] = Site(ahead="a" * 40)
    assert project.plan(MODEL, WANT).steps[1].action is Action.NOOP, "the same artifact goes nowhere"
    runs = project.entries[-1].observed()
    monkeypatch.setattr(
        "tests.simple.diff", lambda want, inputs, seen: (Action.UPDATE, Reason("another one is wanted"))
    )
    older = resource("deployments.live", text="older")
    monkeypatch.setattr(project, "read", lambda want, made_from: runs)
    step = project.plan(older).steps[0]
    assert "mlopsctl rollback live" in step.blocked_by[0]
    assert project.apply(older)[-1].event == "block" and project.applied == []


def test_what_left_the_manifest_goes_only_where_this_history_declared_it(project: Simulator) -> None:
    project.apply(MODEL, WANT)
    project.gone = [WANT._replace(spec=None)]
    project.sites[LIVE] = Site(descends=False)
    step = project.plan(MODEL).steps[-1]
    assert step.action is Action.NOOP and step.held_by.startswith("not managed from here")
    assert not [event for event in project.apply(MODEL) if event.event == "done"]
    project.sites[LIVE] = Site()
    assert project.plan(MODEL).steps[-1].action is Action.DELETE


def test_taking_down_what_is_protected_by_the_controls_in_force_waits_for_the_role_govern(project: Simulator) -> None:
    project.apply(MODEL, WANT)
    project.gone = [WANT._replace(spec=None)]
    project.sites[LIVE] = Site(in_force=in_force(approvals={"count": 2}), weakens=("deployments.live is taken down",))
    step = project.plan(MODEL).steps[-1]
    assert step.action is Action.DELETE and step.weakens
    assert step.waits_for[0].startswith("0 of 2 approvals by the role govern")
    assert [event.event for event in project.apply(MODEL)][-1] == "wait"


def test_protection_is_what_is_in_force_and_not_what_the_manifest_says_now(project: Simulator) -> None:
    project.apply(MODEL)
    project.sites[LIVE] = Site(
        in_force=in_force(approvals={}), weakens=("deployments.live approvals count 1 -> (none)",)
    )
    step = project.plan(MODEL, WANT).steps[1]
    assert step.waits_for[0].startswith("0 of 1 approvals by the role govern")
    assert project.apply(MODEL, WANT)[-1].event == "wait"
    project.sites[LIVE] = Site(in_force=in_force(), weakens=("gates.g no longer guards deployments.live",))
    assert project.plan(MODEL, WANT).steps[1].waits_for == (), "without protection it is shown only"
