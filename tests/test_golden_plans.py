"""What a plan looks like, word for word: every action, and everything that may stand below a line (tests/texts.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlopsctl.budgets import Budget
from mlopsctl.cli import console
from mlopsctl.plan import make_plan
from mlopsctl.provider import Inputs
from mlopsctl.render.plan import plan_json, plan_text
from mlopsctl.site import Site
from mlopsctl.types import (
    Action,
    Address,
    Cost,
    Digest,
    Entry,
    Observed,
    Plan,
    Reason,
    Resource,
    Selection,
    Step,
    TreeFile,
)
from tests import simple
from tests.simulator import PROVIDERS, Simulator, need, resource
from tests.texts import same_as, unused

DATA = resource("data.rows", text="rows")
MODEL = resource("train.model", need("data", "data.rows"), text="model")
GATE = resource("gates.size", need("model", "train.model"), text="measured", shortest=3)
TARGET = resource("targets.cpu", need("model", "train.model"), text="compiled")
LIVE = resource("deployments.live", need("artifact", "targets.cpu"), need("guard", "gates.size"), text="live")
ALL = (DATA, MODEL, GATE, TARGET, LIVE)
AT = Address("deployments", "live")


class Shown(NamedTuple):
    """A plan, and whether it is shown with ``--why``."""

    plan: Plan
    why: bool = False


Case = Callable[[Simulator], Shown]
CASES: dict[str, Case] = {}


def case(make: Case) -> Case:
    CASES[make.__name__] = make
    return make


def but(want: Resource, **fields: Any) -> Resource:
    """The same resource with other fields."""
    return want._replace(spec=replace(want.spec, **fields))


def planned(project: Simulator, *resources: Resource, why: bool = False, **more: Any) -> Shown:
    asked = Selection(**{name: more.pop(name) for name in list(more) if name in Selection._fields})
    return Shown(make_plan("golden", Digest("sha256:00"), resources, project, selection=asked, why=why, **more), why)


def signed(project: Simulator, kind: str, **facts: str) -> Entry:
    """Something that a person signed about the deployment."""
    seq = len(project.entries) + 1
    entry = Entry(f"{seq:064x}", seq, (), "2026-02-03T04:05:06Z", "grace", kind, str(AT), facts=facts)
    project.entries.append(entry)
    return entry


def wants_another(project: Simulator, runs: Observed) -> None:
    """The deployment runs this, and its provider finds that another artifact is wanted."""
    look = project.read

    def read(want: Resource, made_from: Digest | None) -> Observed | None:
        return runs if want.address == AT else look(want, made_from)

    def diff(want: Resource, inputs: Inputs, seen: Observed | None) -> tuple[Action, Reason]:
        same = Action.NOOP, Reason("up to date")
        return (Action.UPDATE, Reason("another artifact")) if want.address == AT else same

    project.read = read  # type: ignore[method-assign]
    simple.diff = diff


# --- Actions -----------------------------------------------------------------------------------------------


@case
def create(project: Simulator) -> Shown:
    return planned(project, *ALL)


@case
def noop(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, *ALL)


@case
def update(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, DATA, but(MODEL, text="better"), GATE, TARGET, LIVE)


@case
def update_of_code(project: Simulator) -> Shown:
    project.files["train.py"] = TreeFile("100644", "a" * 40)
    model = but(MODEL, file="train.py")
    project.apply(DATA, model)
    project.files["train.py"] = TreeFile("100644", "b" * 40)
    return planned(project, DATA, model)


@case
def update_of_what_is_unknown_too(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, but(DATA, text="more rows"), but(MODEL, text="better"), GATE, TARGET, LIVE)


@case
def replaced(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, *ALL, replaced=("train.*",))


@case
def delete(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.gone = [LIVE._replace(spec=None)]
    return planned(project, *ALL[:-1])


@case
def read(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.bytes_here.discard(project.entries[1].outputs["text"])
    return planned(project, *ALL, refresh=True)


@case
def read_only(project: Simulator) -> Shown:
    project.apply(DATA, MODEL)
    project.bytes_here.clear()
    return planned(project, *ALL, refresh=True, refresh_only=True)


@case
def no_drift(project: Simulator) -> Shown:
    project.apply(DATA, MODEL)
    return planned(project, *ALL, refresh=True, refresh_only=True)


@case
def move(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.moved = {Address("train", "best"): MODEL.address, Address("gates", "length"): GATE.address}
    gate = resource("gates.length", need("model", "train.best"), text="measured otherwise")
    return planned(project, DATA, MODEL._replace(address=Address("train", "best")), gate)


@case
def forget(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.left = [entry for entry in project.entries if entry.address in ("gates.size", "targets.cpu")]
    return planned(project, DATA, MODEL)


@case
def imported(project: Simulator) -> Shown:
    """``import`` signs at once; its step is told of by reports."""
    reason = Reason("as it was found")
    step = Step(MODEL.address, "train/imported", Action.IMPORT, Cost.METADATA, reason, Digest("sha256:01"))
    return Shown(Plan("golden", Digest("sha256:00"), (step,)))


# --- What stops a step -------------------------------------------------------------------------------------


@case
def blocked_by_a_gate(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, DATA, MODEL, but(GATE, shortest=99), TARGET, but(LIVE, text="other"))


@case
def blocked_by_a_gate_with_nothing_to_do(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, DATA, MODEL, but(GATE, shortest=99))


@case
def blocked_by_a_withdrawal(project: Simulator) -> Shown:
    project.apply(*ALL)
    facts = {"roots": [f"entry:{project.entries[0].id}"], "reason": "consent ended"}
    project.entries.append(Entry("w" * 64, 9, (), "2026-02-01T00:00:00Z", "grace", "withdraw", facts=facts))
    return planned(project, *ALL)


@case
def blocked_by_an_untrusted_result(project: Simulator) -> Shown:
    project.apply(*ALL[:-1])
    project.entries = [entry._replace(trusted=entry.address != "targets.cpu") for entry in project.entries]
    return planned(project, *ALL)


@case
def blocked_by_going_back(project: Simulator) -> Shown:
    project.apply(*ALL)
    runs = project.entries[-1].observed()._replace(made_from=Digest("sha256:" + "7" * 64))
    wants_another(project, runs)
    project.sites[AT] = Site(ahead="a" * 40)
    return planned(project, *ALL)


@case
def blocked_by_a_machine(project: Simulator) -> Shown:
    project.lacks = lambda want: ("a GPU, which this machine has not",)  # type: ignore[method-assign]
    return planned(project, DATA)


@case
def after_a_failure(project: Simulator) -> Shown:
    project.apply(DATA, but(MODEL, text="explode"))
    return planned(project, DATA, but(MODEL, text="explode"))


# --- What holds it, and who decides ------------------------------------------------------------------------


@case
def held_by_a_halt(project: Simulator) -> Shown:
    project.apply(*ALL)
    signed(project, "halt", reason="it answers nonsense")
    return planned(project, DATA, MODEL, GATE, but(TARGET, text="faster"), LIVE)


@case
def held_by_a_rollback(project: Simulator) -> Shown:
    project.apply(*ALL)
    before = project.entries[-1].id
    faster = but(TARGET, text="faster")
    project.apply(DATA, MODEL, GATE, faster, LIVE)
    signed(project, "rollback", to=before, reason="worse on Mondays")
    project.apply(DATA, MODEL, GATE, faster, LIVE)
    return planned(project, DATA, MODEL, GATE, faster, LIVE)


@case
def contested(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.sites[AT] = Site(contested="1a2b3c4d5e6f by ada and 6f5e4d3c2b1a by grace")
    return planned(project, *ALL)


@case
def not_managed_from_here(project: Simulator) -> Shown:
    project.sites[AT] = Site(elsewhere="main")
    return planned(project, *ALL)


@case
def left_to_another_branch(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.gone = [LIVE._replace(spec=None)]
    project.sites[AT] = Site(descends=False)
    return planned(project, *ALL[:-1])


@case
def weakened_and_waiting(project: Simulator) -> Shown:
    project.apply(*ALL)
    fields = {"approvals": {"count": 2, "valid": None}}
    project.sites[AT] = Site(
        in_force={"deployment": str(AT), "guards": [], "of": {str(AT): {"fields": fields}}},
        weakens=("gates.size: shortest 5 -> 3", "gates.bias no longer guards deployments.live"),
    )
    return planned(project, DATA, MODEL, GATE, TARGET, but(LIVE, text="other"))


@case
def changed_by_a_merge(project: Simulator) -> Shown:
    project.apply(*ALL)
    project.swapped = lambda want, before, parts: "after a merge another result of train.model won"  # type: ignore[method-assign]
    return planned(project, DATA, MODEL, GATE, TARGET, LIVE)


# --- Why, how long, and how much of it ---------------------------------------------------------------------


@case
def why(project: Simulator) -> Shown:
    project.apply(*ALL)
    first = project.entries[1]
    project.record("result", MODEL, made_from=first.made_from, parts=first.ingredients, outputs=first.outputs)
    return planned(project, but(DATA, text="more rows"), MODEL, but(GATE, text="otherwise"), why=True)


@case
def why_nothing(project: Simulator) -> Shown:
    project.apply(*ALL)
    return planned(project, *ALL, why=True)


@case
def time_and_budget(project: Simulator) -> Shown:
    project.apply(*ALL)
    usage = {"usage": {"seconds": "754.2"}}
    project.entries = [entry._replace(facts={**entry.facts, **usage}) for entry in project.entries]
    model = MODEL._replace(spec=simple.Spec(text="better", budget=Budget(1800.0)))
    return planned(project, DATA, model, GATE, TARGET)


@case
def a_pointer_swap(project: Simulator) -> Shown:
    simple.SWITCHES = True  # type: ignore[attr-defined]
    project.apply(*ALL)
    runs = project.entries[-1].observed()
    project.apply(*(faster := (DATA, MODEL, GATE, but(TARGET, text="faster"))))
    wants_another(project, runs)
    return planned(project, *faster, LIVE)


@case
def each(project: Simulator) -> Shown:
    models = [resource(f"train.model[r{n}]", need("data", "data.rows"), text=f"m{n}") for n in range(12)]
    gates = [resource(f"gates.size[r{n}]", need("model", f"train.model[r{n}]"), shortest=3) for n in range(12)]
    project.apply(DATA, *models[:3])
    return planned(project, DATA, *models, *gates)


@case
def each_with_one_that_fails(project: Simulator) -> Shown:
    gates = [resource(f"gates.size[r{n}]", text="long enough", shortest=3) for n in range(12)]
    gates[5] = but(gates[5], text="x")
    project.apply(*gates)
    return planned(project, *gates)


@case
def only_a_target(project: Simulator) -> Shown:
    return planned(project, *ALL, targets=("train.model",))


@case
def without_a_part(project: Simulator) -> Shown:
    others = [resource(f"targets.t{n:02}", need("model", "train.model"), text="t") for n in range(12)]
    return planned(project, *ALL, *others, targets=("targets.*",), excluded=("gates.*", "targets.t*"))


@case
def a_trial(project: Simulator) -> Shown:
    return planned(project, *ALL[:-1], quick=True)


@case
def with_warnings(project: Simulator) -> Shown:
    project.apply(*ALL)
    said = (
        "entry 1a2b3c4d5e6f is older than its parent: a clock was wrong",
        "::error::not a command\x1b[2J\nnor a line",
    )
    return planned(project, *ALL, warnings=said)


# --- The comparison ----------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    monkeypatch.setattr("mlopsctl.registry.PROVIDERS", PROVIDERS)
    # A case may change these two for itself.
    monkeypatch.setattr(simple, "diff", simple.diff)
    monkeypatch.setattr(simple, "SWITCHES", False, raising=False)
    return Timeless(tmp_path)


class Timeless(Simulator):
    """Where no step takes time that anybody measures: the texts are the same on every machine."""

    def record(self, kind: str, want: Resource, **parts: Any) -> Observed:
        seen = super().record(kind, want, **parts)
        facts = {name: fact for name, fact in self.entries[-1].facts.items() if name != "usage"}
        self.entries[-1] = self.entries[-1]._replace(facts=facts)
        return seen._replace(facts=facts)


def text_of(shown: Shown) -> str:
    return "\n".join(line.rstrip() for line in plan_text(shown.plan, console.paint, why=shown.why)) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_what_a_plan_says(name: str, project: Simulator) -> None:
    same_as(f"plans/{name}.txt", text_of(CASES[name](project)))


def test_what_a_plan_says_to_programs(project: Simulator) -> None:
    made = weakened_and_waiting(project).plan
    project.sites.clear()
    both = [plan_json(made), plan_json(update_of_what_is_unknown_too(project).plan)]
    same_as("plans/programs.json", json.dumps(both, indent=2) + "\n")


def test_every_action_has_a_text(project: Simulator) -> None:
    found: set[Action] = set()
    for name, make in CASES.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simple, "diff", simple.diff)
            patch.setattr(simple, "SWITCHES", False)
            shown = make(Timeless(project.folder / name))
        found |= {step.action for step in shown.plan.steps}
    assert found == set(Action)


def test_no_file_is_left_of_a_case_that_is_gone() -> None:
    assert unused("plans", [*(f"{name}.txt" for name in CASES), "programs.json"]) == []
