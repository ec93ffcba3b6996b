"""A part of the manifest: what is chosen comes with its needs, what is excluded goes with its followers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.errors import UsageError
from mlopsctl.registry import PROVIDERS as REGISTRY
from mlopsctl.selection import chosen
from mlopsctl.types import Action, Address, Selection
from tests.simulator import PROVIDERS, Simulator, need, resource

DATA = resource("data.rows", text="rows")
MODEL = resource("train.model", need("data", "data.rows"), text="model")
OTHER = resource("train.other", text="another model")
GATE = resource("gates.good", need("model", "train.model"), text="measured")
TARGET = resource("targets.cpu", need("model", "train.model"), text="compiled")
LIVE = resource("deployments.live", need("artifact", "targets.cpu"), need("guard", "gates.good"), text="served")
ALL = (DATA, MODEL, OTHER, GATE, TARGET, LIVE)


@pytest.fixture(autouse=True)
def _simple_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in PROVIDERS.items():
        monkeypatch.setitem(REGISTRY, name, module)


@pytest.fixture
def project(tmp_path: Path) -> Simulator:
    return Simulator(tmp_path)


def names(*, targets: tuple[str, ...] = (), excluded: tuple[str, ...] = ()) -> list[str]:
    return [str(want.address) for want in chosen(ALL, Selection(targets, excluded))[0]]


def test_a_target_comes_with_all_that_it_needs_and_its_guards() -> None:
    assert names(targets=("train.model",)) == ["data.rows", "train.model"]
    everything = ["data.rows", "train.model", "gates.good", "targets.cpu", "deployments.live"]
    assert names(targets=("deployments.*",)) == everything


def test_what_is_excluded_goes_with_all_that_needs_it() -> None:
    assert names(excluded=("gates.good",)) == ["data.rows", "train.model", "train.other", "targets.cpu"]
    left = chosen(ALL, Selection(excluded=("gates.good",)))[1]
    assert [(str(one.address), one.reason) for one in left] == [
        ("gates.good", "named by --exclude"),
        ("deployments.live", "needs gates.good"),
    ]


def test_both_together() -> None:
    assert names(targets=("train.*",), excluded=("train.other",)) == ["data.rows", "train.model"]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(("deployments.live",), ("gates.good",)),
        Selection(excluded=("data.*", "train.*")),
        Selection(("data.*",), replaced=("train.model",)),
    ],
)
def test_options_that_cancel_each_other_are_refused(selection: Selection) -> None:
    with pytest.raises(UsageError):
        chosen(ALL, selection)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("deployments.live[eu]", ["deployments.live[eu]"]),
        ("deployments.live", ["deployments.live[eu]", "deployments.live[us]"]),
        ("deployments.live[*]", ["deployments.live[eu]", "deployments.live[us]"]),
        ("*[us]", ["deployments.live[us]"]),
        ("deployments.live[e]", []),
    ],
)
def test_brackets_stand_for_themselves(pattern: str, named: list[str]) -> None:
    both = [Address.parse("deployments.live[eu]"), Address.parse("deployments.live[us]")]
    assert [str(one) for one in both if one.matches(pattern)] == named


def test_apply_makes_what_the_plan_is_about_and_nothing_else(project: Simulator) -> None:
    project.apply(*ALL, targets=("gates.good",))
    assert project.applied == ["data.rows", "train.model", "gates.good"]
    project.apply(*ALL, excluded=("train.other",))
    assert project.applied == ["targets.cpu", "deployments.live"]
    project.apply(*ALL)
    assert project.applied == ["train.other"]


def test_a_plan_about_named_resources_takes_nothing_down(project: Simulator) -> None:
    project.apply(*ALL)
    project.gone = [LIVE]
    kept = (DATA, MODEL, OTHER, GATE, TARGET)
    assert project.plan(*kept).steps[-1].action is Action.DELETE
    assert all(step.action is Action.NOOP for step in project.plan(*kept, targets=("train.*",)).steps)
    assert all(step.action is Action.NOOP for step in project.plan(*kept, excluded=("deployments.live",)).steps)
