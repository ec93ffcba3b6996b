"""A plan says what apply would do and why; it changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.errors import MlopsError
from mlopsctl.plan import make_plan
from mlopsctl.planned import digest, pending
from mlopsctl.provider import fingerprint, ingredients
from mlopsctl.types import Action, Digest, Entry, Input, TreeFile
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
DATA_NEED = need("data", "data.rows")
MODEL = resource("train.model", DATA_NEED, text="model")
GATE = resource("gates.size", need("model", "train.model"), text="measured", shortest=3)
LIVE = resource("deployments.live", need("artifact", "train.model"), need("guard", "gates.size"), text="live")
ALL = (DATA, MODEL, GATE, LIVE)


def test_what_an_unmade_input_will_be_is_unknown(project: Simulator) -> None:
    plan = project.plan(*ALL)
    assert [step.action for step in plan.steps] == [Action.CREATE] * 4
    assert plan.steps[0].made_from is not None
    assert plan.steps[1].made_from is None
    assert plan.steps[1].reason.text == "waits for data.rows"


def test_what_is_known_to_have_changed_is_shown_beside_what_is_unknown(project: Simulator) -> None:
    project.apply(*ALL)
    rows, model = resource("data.rows", text="other"), resource("train.model", DATA_NEED, text="better")
    step = project.plan(rows, model, GATE, LIVE).steps[1]
    assert step.action is Action.UPDATE and step.made_from is None
    assert step.reason.text == "text model -> better; waits for data.rows"
    assert [(change.field, change.new) for change in step.reason.changes] == [
        ("text", "better"),
        ("input data", [{"unknown": True}]),
    ]
    step = project.plan(rows, MODEL, GATE, LIVE).steps[1]
    assert step.reason.text == "waits for data.rows"


def test_results_beside_the_one_in_force_are_listed_where_somebody_asks_why(project: Simulator) -> None:
    project.apply(*ALL)
    first = project.entries[0]
    project.record("result", DATA, made_from=first.made_from, parts=first.ingredients, outputs=first.outputs)
    assert [step.others for step in project.plan(*ALL).steps] == [()] * 4
    explained = make_plan("test", Digest("sha256:00"), ALL, project, why=True)
    assert [len(step.others) for step in explained.steps] == [1, 0, 0, 0]
    assert all(step.inputs for step in explained.steps)
    assert digest(explained) == digest(project.plan(*ALL)), "an explanation is no part of what is planned"


def test_planning_twice_gives_the_same_digest_and_changes_nothing(project: Simulator) -> None:
    assert digest(project.plan(*ALL)) == digest(project.plan(*ALL))
    assert project.entries == [] and project.applied == []


def test_after_apply_there_is_nothing_to_do(project: Simulator) -> None:
    project.apply(*ALL)
    plan = project.plan(*ALL)
    assert pending(plan) == ()
    assert project.apply(*ALL) == [] and project.applied == []


def test_a_change_reaches_exactly_what_is_made_from_it(project: Simulator) -> None:
    project.apply(*ALL)
    changed = resource("train.model", need("data", "data.rows"), text="another model")
    plan = project.plan(DATA, changed, GATE, LIVE)
    assert [step.action.name for step in plan.steps] == ["NOOP", "UPDATE", "UPDATE", "UPDATE"]
    assert plan.steps[1].reason.text == "text model -> another model"


def test_run_and_policy_fields_are_no_reason_to_run_again(project: Simulator) -> None:
    project.apply(*ALL)
    changed = MODEL._replace(spec=replace(MODEL.spec, retries=5))
    assert pending(project.plan(DATA, changed, GATE, LIVE)) == ()


def test_a_moved_bar_is_judged_without_measuring_again(project: Simulator) -> None:
    project.apply(*ALL)
    harder = GATE._replace(spec=replace(GATE.spec, shortest=99))
    plan = project.plan(DATA, MODEL, harder, LIVE)
    verdict = plan.steps[2].verdict
    assert plan.steps[2].action is Action.NOOP
    assert verdict is not None and verdict.blocks
    assert plan.steps[3].blocked_by == ("gates.size failed",)


def withdraw(project: Simulator, *roots: str) -> None:
    facts = {"roots": list(roots), "reason": "consent ended"}
    project.entries.append(Entry("w" * 64, len(project.entries) + 1, (), "2026-02-01", "gov", "withdraw", facts=facts))


def test_what_follows_from_something_withdrawn_is_blocked_and_stays_the_result(project: Simulator) -> None:
    project.apply(*ALL)
    withdraw(project, f"entry:{project.entries[0].id}")
    plan = project.plan(*ALL)
    why = "data.rows withdrawn by gov since 2026-02-01: consent ended"
    assert [step.action for step in plan.steps] == [Action.NOOP] * 4
    assert [step.blocked_by for step in plan.steps] == [(why,)] * 4
    events = project.apply(*ALL)
    assert project.applied == [] and {event.event for event in events} == {"block"}


def test_other_data_is_the_way_out_of_a_withdrawal(project: Simulator) -> None:
    project.apply(*ALL)
    withdraw(project, f"entry:{project.entries[0].id}")
    other = resource("data.rows", text="other rows")
    # What is not made yet may turn out clean: nothing blocks it before.
    assert not any(step.blocked_by for step in project.plan(other, MODEL, GATE, LIVE).steps)
    project.apply(other, MODEL, GATE, LIVE)
    plan = project.plan(other, MODEL, GATE, LIVE)
    assert pending(plan) == () and not any(step.blocked_by for step in plan.steps)


def test_a_withdrawn_model_is_replaced_on_purpose_only(project: Simulator) -> None:
    project.apply(*ALL)
    withdraw(project, f"entry:{project.entries[1].id}")
    plan = project.plan(*ALL)
    assert [bool(step.blocked_by) for step in plan.steps] == [False, True, True, True]
    replaced = project.plan(*ALL, replaced=("train.model",))
    assert replaced.steps[1].action is Action.REPLACE
    assert not any(step.blocked_by for step in replaced.steps)


def test_a_renamed_resource_is_not_made_again(project: Simulator) -> None:
    project.apply(*ALL)
    renamed = resource("data.lines", text="rows")
    model = resource("train.model", need("data", "data.lines"), text="model")
    assert pending(project.plan(renamed, model, GATE, LIVE)) == ()


def test_replace_makes_anew_on_purpose(project: Simulator) -> None:
    project.apply(*ALL)
    plan = project.plan(*ALL, replaced=("train.*",))
    assert plan.steps[1].action is Action.REPLACE
    assert plan.steps[2].made_from is None


def test_changed_code_is_named(project: Simulator) -> None:
    project.files["train.py"] = TreeFile("100644", "a" * 40)
    step = resource("train.model", text="model", file="train.py")
    project.apply(step)
    project.files["train.py"] = TreeFile("100644", "b" * 40)
    assert project.plan(step).steps[0].reason.text == "train.py changed"


def test_a_failed_attempt_is_named_and_tried_again(project: Simulator) -> None:
    broken = resource("data.rows", text="explode")
    project.apply(broken)
    step = project.plan(broken).steps[0]
    assert step.action is Action.CREATE
    assert step.reason.text == "no result yet; the last attempt failed: it exploded"


def test_a_needed_output_that_upstream_lacks_is_an_error(project: Simulator) -> None:
    wrong = resource("train.model", need("data", "data.rows", "val"), text="model")
    project.apply(DATA)
    with pytest.raises(MlopsError, match=r"needs 'val' of data\.rows, which has text"):
        project.plan(DATA, wrong)


@given(st.text(max_size=20), st.text(max_size=20))
def test_equal_ingredients_and_only_those_have_equal_fingerprints(one: str, other: str) -> None:
    from mlopsctl import registry

    registry.provider.cache_clear()

    def of(text: str) -> str:
        want = resource("data.rows", text=text)
        return fingerprint({"spec": {"text": want.spec.text}, "version": simple.RESULT_VERSION})

    assert (of(one) == of(other)) == (one == other)


def test_an_unknown_input_leaves_the_fingerprint_unknown() -> None:
    assert ingredients(MODEL, {}, (Input(MODEL.needs[0], None),)) is None
