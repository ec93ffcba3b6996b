"""Lost outputs that come out otherwise: refused, measured again or noted, as ``reproducible:`` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.provider import Context, Inputs
from mlopsctl.restoring import figures
from mlopsctl.types import Action, Entry, Outcome, Resource, Status, Verdict
from mlopsctl.workshop import Event
from tests import simple
from tests.simulator import PROVIDERS, Simulator, need, resource

DATA = resource("data.rows", text="rows")
GATE = resource("gates.size", need("model", "train.model"), need("data", "data.rows"), text="measured")
SCAN = resource("gates.scan", need("model", "train.model"), text="looked at")


@pytest.fixture(autouse=True)
def _simple_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlopsctl import registry

    monkeypatch.setattr(registry, "PROVIDERS", PROVIDERS)
    registry.provider.cache_clear()


def model(reproducible: str) -> Resource:
    return resource("train.model", need("data", "data.rows"), text="model", reproducible=reproducible)


TARGET = resource("targets.cpu", need("model", "train.model"), text="compiled", echo=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Training comes out otherwise each time, and the gate ``size`` reads its value and interval from ``measures``."""
    found = Simulator(tmp_path)
    usual, runs = simple.apply, []
    measures: list[dict[str, Any]] = [{"value": "0.97", "ci": ["0.95", "0.99"]}]
    found.measures = measures  # type: ignore[attr-defined]

    def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
        outcome = usual(want, inputs, ctx)
        if want.address.section == "train":
            runs.append(want)
            Path(str(outcome.outputs["text"])).write_text(f"model {len(runs)}")
        if want.address.name == "size":
            return outcome._replace(facts={**outcome.facts, **measures[0]})
        return outcome

    monkeypatch.setattr(simple, "apply", apply)
    return found


def lose_the_model(project: Simulator, how: str, *gates: Resource) -> list[Event]:
    """A model, measured; its bytes are gone when a target wants them."""
    want = model(how)
    project.apply(DATA, want, *gates)
    project.bytes_here -= set(made(project, "train.model")[-1].outputs.values())
    return project.apply(DATA, want, *gates, TARGET)


def made(project: Simulator, address: str) -> list[Entry]:
    return [entry for entry in project.entries if entry.address == address and entry.kind == "result"]


def measure(project: Simulator, **facts: object) -> None:
    project.measures[0] = facts  # type: ignore[attr-defined]


def test_bitwise_other_bytes_are_an_error(project: Simulator) -> None:
    events = lose_the_model(project, "bitwise", GATE)
    assert events[-1].error is not None
    assert (events[-1].error.code, events[-1].error.exit_code) == ("MLO7201", 7)
    assert len(made(project, "train.model")) == 1


def test_none_the_new_result_takes_the_place_and_what_follows_is_planned_anew(project: Simulator) -> None:
    events = lose_the_model(project, "none", GATE)
    assert [event.event for event in events][-2:] == ["restore", "stale"]
    assert events[-1].error is not None
    assert (events[-1].error.code, events[-1].error.exit_code) == ("MLO6017", 6)
    first, second = made(project, "train.model")
    assert second.facts["supersedes"] == first.id
    assert second.facts["reproduced"] == "none"
    assert second.made_from == first.made_from and second.outputs != first.outputs
    assert [entry for entry in project.entries if entry.kind == "failure"] == []
    assert made(project, "targets.cpu") == []


def test_metrics_a_value_within_the_interval_is_as_good(project: Simulator) -> None:
    measure(project, value="0.97", ci=["0.95", "0.99"])
    want = model("metrics")
    project.apply(DATA, want, GATE, SCAN)
    project.bytes_here -= set(made(project, "train.model")[-1].outputs.values())
    measure(project, value="0.96", ci=["0.94", "0.98"])
    events = project.apply(DATA, want, GATE, SCAN, TARGET)
    assert events[-1].event == "stale"
    assert events[-1].error is not None and "gates.size 0.96 within [0.95, 0.99]" in events[-1].error.message
    assert made(project, "train.model")[-1].facts["reproduced"] == "metrics"
    # What the gate found meanwhile is no entry: nobody planned that.
    assert len(made(project, "gates.size")) == 1


def test_metrics_a_value_outside_is_an_error(project: Simulator) -> None:
    want = model("metrics")
    project.apply(DATA, want, GATE)
    project.bytes_here -= set(made(project, "train.model")[-1].outputs.values())
    measure(project, value="0.9", ci=["0.88", "0.99"])
    events = project.apply(DATA, want, GATE, TARGET)
    assert events[-1].error is not None and events[-1].error.code == "MLO7201"
    assert "gates.size 0.9 is not within [0.95, 0.99]" in events[-1].error.message
    assert len(made(project, "train.model")) == 1


@pytest.mark.parametrize("gates", [(), (SCAN,)])
def test_metrics_without_a_value_to_compare_is_an_error(project: Simulator, gates: tuple[Resource, ...]) -> None:
    events = lose_the_model(project, "metrics", *gates)
    assert events[-1].error is not None and events[-1].error.code == "MLO7201"
    assert "nothing can be compared" in events[-1].error.message


def test_the_key_is_no_reason_to_make_anything_again(project: Simulator) -> None:
    project.apply(DATA, model("bitwise"))
    assert project.plan(DATA, model("none")).steps[-1].action is Action.NOOP


@pytest.mark.parametrize(
    ("old", "new", "agrees"),
    [
        ({"value": "0.9", "ci": ["0.8", "0.95"]}, {"value": "0.8"}, True),
        ({"value": "0.9", "ci": ["0.8", "0.95"]}, {"value": "0.79"}, False),
        ({"value": "0.9", "ci": ["0.8", "0.95"]}, {"value": "0.96"}, False),
        ({"value": "0.9", "ci": ["0.8", "0.95"]}, {}, False),
        ({"value": "0.9", "ci": ["0.8", "0.95"]}, {"value": "nan"}, False),
        ({"value": "3", "ci": None}, {"value": "3"}, True),
        ({"value": "3", "ci": None}, {"value": "3.1"}, False),
    ],
)
def test_figures_agree_within_the_interval_of_the_lost_one(
    old: Mapping[str, Any], new: Mapping[str, Any], agrees: bool
) -> None:
    assert figures(GATE, old, new, Verdict()).agrees is agrees


def test_a_gate_without_a_value_agrees_where_it_lets_the_model_through() -> None:
    assert figures(SCAN, {}, {}, Verdict(Status.PASSED)).agrees
    assert not figures(SCAN, {}, {}, Verdict(Status.FAILED, blocks=True)).agrees


def test_metrics_a_gate_on_what_was_compiled_of_the_lost_model_says_nothing_of_the_new_one(project: Simulator) -> None:
    """It would measure the old artifact, and agree."""
    other = resource("targets.other", need("model", "train.model"), text="compiled")
    gate = GATE._replace(needs=(*GATE.needs, need("artifact", "targets.other")))
    want = model("metrics")
    project.apply(DATA, want, other, gate)
    project.bytes_here -= set(made(project, "train.model")[-1].outputs.values())
    events = project.apply(DATA, want, other, gate, TARGET)
    assert events[-1].error is not None and "no gate of this plan had measured it" in events[-1].error.message
