"""A step of any provider ends when its budget is used up."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from mlopsctl.adapters.children import watched
from mlopsctl.adapters.process import run_logged
from mlopsctl.apply import Walk
from mlopsctl.budgets import Budget, Deadline
from mlopsctl.errors import ProviderError
from mlopsctl.provider import Context, Inputs
from mlopsctl.registry import PROVIDERS as REGISTRY
from mlopsctl.registry import provider
from mlopsctl.types import Address, Outcome, Resource
from tests import simple
from tests.simulator import PROVIDERS, Simulator, resource


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Every step runs a program for as many seconds as its text says, and tries again where that fails."""
    for name, module in PROVIDERS.items():
        monkeypatch.setitem(REGISTRY, name, module)
    found = Simulator(tmp_path)
    monkeypatch.setattr(found, "working", lambda address, cancelled: watched(cancelled, lambda number: None))
    usual = simple.apply

    def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        for _ in range(1 + want.spec.retries):
            try:
                argv = ["sh", "-c", f"echo $$ >> pids; exec sleep {want.spec.text}"]
                run_logged(argv, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, log=tmp_path / "log")
            except ProviderError:
                continue
            break
        return usual(want, inputs, ctx)

    monkeypatch.setattr(simple, "apply", apply)
    return found


@pytest.mark.parametrize("address", ["train.model", "gates.size", "targets.cpu"])
def test_a_step_ends_when_its_budget_is_used_up(project: Simulator, address: str) -> None:
    """It is that of all attempts, and what exceeds it is no mistake that is tried again."""
    want = resource(address, text="99", retries=3, budget=Budget(0.3))
    other = resource("train.other", text="0")
    events = list(Walk(project.plan(want, other), (want, other), project, jobs=2, keep_going=True))
    failed = next(event for event in events if event.event == "fail")
    assert failed.error is not None
    assert (failed.error.code, failed.error.exit_code) == ("MLO6006", 4)
    assert f"{address} was ended" in failed.error.message and "budget of 0.3 s" in failed.error.message
    assert project.entries[-1].kind == "failure" or project.entries[0].kind == "failure"
    # The one beside it goes on, and nothing of the first is left.
    assert ("done", "train.other") in {(event.event, event.address) for event in events}
    for pid in (project.folder / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_what_is_done_in_time_is_kept(project: Simulator) -> None:
    events = project.apply(resource("train.model", text="0.01", budget=Budget(60.0)))
    assert events[-1].event == "done"


def test_a_deadline_passes_on_that_the_apply_is_cancelled() -> None:
    cancelled = Event()
    deadlines = [Deadline(cancelled, seconds) for seconds in (None, 60.0)]
    assert [one.is_set() for one in deadlines] == [False, False]
    assert Deadline(cancelled, 0.0).is_set()
    cancelled.set()
    assert [one.is_set() for one in deadlines] == [True, True]


def test_every_section_that_works_for_long_has_a_budget_and_a_priority() -> None:
    for name in REGISTRY:
        section = Address.parse(name.replace("/", ".")).section
        if section in ("train", "gates", "targets") and name not in ("train/imported",):
            fields = provider(name).Spec.__dataclass_fields__
            assert {"budget", "priority"} <= set(fields), name
