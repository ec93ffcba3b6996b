"""Runs and conditions on them: what the trail says, and what a condition means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.audit.conditions import Condition, holds, read_condition, read_setting, select, sort_key
from mlopsctl.audit.runs import Data, Run, compare, find_run, run_json, runs, with_gates
from mlopsctl.canonical import plain
from mlopsctl.errors import MlopsError, UsageError
from mlopsctl.types import Entry
from tests.audit.clone import Clone
from tests.audit.pipeline import made, pipeline, sha


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


@pytest.fixture
def entries(clone: Clone) -> dict[str, Entry]:
    return pipeline(clone)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, dict[str, Entry]]:
    """The same once for all who only ask. Never add to it."""
    clone = Clone.start(tmp_path_factory.mktemp("runs") / "repo")
    return clone, pipeline(clone)


def chosen(clone: Clone, *conditions: str) -> list[str]:
    found = with_gates(clone.trail, runs(clone.trail))
    return [run.entry.id for run in select(found, [read_condition(one) for one in conditions], Data(clone.trail))]


def test_every_run_with_its_measurements_and_failed_ones_too(clone: Clone, entries: dict[str, Entry]) -> None:
    good, bad = with_gates(clone.trail, runs(clone.trail))
    assert (good.entry.id, bad.entry.id) == (entries["train"].id, entries["failed"].id)
    said = run_json(good, Data(clone.trail))
    assert said["params"] == {"lr": 0.05, "deep": {"a.b": [1]}} and said["seconds"] == 12.5
    assert said["gates"]["accuracy"]["value"] == "0.91" and said["gates"]["scan"]["status"] == "passed"
    assert said["claimed"] == {"accuracy": "0.999"}
    assert said["data"] == [{"role": "data", "digest": sha("rows"), "address": "data.rows:all"}]
    assert run_json(bad, Data(clone.trail))["failure"] == {"code": "MLO1211", "message": "it diverged"}


def test_a_gate_on_an_artifact_measures_its_model(clone: Clone, entries: dict[str, Entry]) -> None:
    made(clone, "gates.quick", status="passed", artifact="artifact", facts={"value": "0.9"})
    assert set(find_run(clone.trail, entries["train"].id).gates) == {"accuracy", "scan", "quick"}


def test_the_newest_measurement_counts_and_one_at_a_time_finds_the_same(
    clone: Clone, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = made(clone, "gates.accuracy", status="failed", model="model", data="others", facts={"value": "0.5"})
    few = with_gates(clone.trail, runs(clone.trail))
    assert few[0].gates["accuracy"].id == newer.id
    monkeypatch.setattr("mlopsctl.audit.runs._FEW", 0)
    many = with_gates(clone.trail, runs(clone.trail))
    data = Data(clone.trail)
    assert [run_json(run, data) for run in many] == [run_json(run, data) for run in few]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("params.lr<0.1", ["train"]),
        ("params.lr<=0.05", ["train"]),
        ("params.lr>1", ["failed"]),
        ("params.lr=5", ["failed"]),
        ("params.lr = 5.00", ["failed"]),
        ("params.lr!=5", ["train"]),
        ("params.none!=5", ["train", "failed"]),
        ("params.none=5", []),
        ("params.deep.a.b=[1]", ["train"]),
        ("gates.accuracy>0.9", ["train"]),
        ("gates.accuracy.lo>0.9", []),
        ("gates.accuracy.hi>=0.94", ["train"]),
        ("gates.accuracy.status=passed", ["train"]),
        ("gates.scan=passed", ["train"]),
        ("gates.scan>0.5", []),
        ("claimed.accuracy>0.99", ["train"]),
        ("status=failed", ["failed"]),
        ("status~FAIL", ["failed"]),
        ("message~diverged", ["failed"]),
        ("seconds>=12.5", ["train"]),
        ("seed=3", ["train"]),
        ("data=data.rows:all", ["train", "failed"]),
        ("data~others", []),
        ("signer=owner", ["train", "failed"]),
        ("address=train.model", ["train", "failed"]),
        ("at>2020-01-01", ["train", "failed"]),
    ],
)
def test_what_a_condition_means(known: tuple[Clone, dict[str, Entry]], condition: str, found: list[str]) -> None:
    clone, entries = known
    assert chosen(clone, condition) == [entries[name].id for name in found]


def test_ids_and_digests_are_named_by_how_they_begin(clone: Clone, entries: dict[str, Entry]) -> None:
    both = [entries["train"].id, entries["failed"].id]
    assert chosen(clone, f"entry={both[0][:12]}") == both[:1]
    assert chosen(clone, f"data={sha('rows')[:20]}") == both
    assert chosen(clone, f"commit={clone.repo.rev('HEAD')[:7]}") == both


@pytest.mark.parametrize(
    "text",
    ["", "lr", "params.lr", "<3", "__import__('os')=1", "params.lr\n", "gates<1", "params.lr<>1", "params.lr==1"],
)
def test_other_words_are_no_conditions(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_condition(text)
    assert caught.value.code in ("MLO7260", "MLO7262")


@pytest.mark.parametrize("text", ["lr", "lr<3", "=3"])
def test_other_words_are_no_settings(text: str) -> None:
    with pytest.raises(UsageError):
        read_setting(text)


def test_a_bare_name_is_a_parameter_unless_runs_have_such_a_field() -> None:
    assert read_setting("lr=0.1") == Condition("params.lr", "=", "0.1")
    assert read_setting("seed=1").field == "seed"
    assert read_setting("params.seed=1").field == "params.seed"
    assert read_setting("gates=1").field == "params.gates"


def run_with(value: object) -> Run:
    spec = {"params": plain({"x": value})}
    return Run(Entry("a" * 64, 1, (), "2026", "ada", "result", "train.m", ingredients={"spec": spec}))


NO_DATA = Data(None)  # type: ignore[arg-type]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_compare_as_numbers_do(left: float, right: float) -> None:
    run = run_with(left)
    for operator, truth in (("<", left < right), ("<=", left <= right), (">", left > right), ("=", left == right)):
        assert holds(run, read_condition(f"params.x{operator}{right!r}"), NO_DATA) == truth


@given(st.text(), st.text())
def test_any_text_is_compared_and_none_is_run(left: str, right: str) -> None:
    run = run_with(left)
    for operator in ("=", "!=", "<", "<=", ">", ">=", "~"):
        holds(run, Condition("params.x", operator, right), NO_DATA)
    equal = holds(run, Condition("params.x", "=", left.strip()), NO_DATA)
    assert equal or left != left.strip()


def test_what_has_no_such_field_is_sorted_last() -> None:
    some = [run_with(value) for value in ("word", 3, 10.5, None)]
    order = sorted(some, key=lambda run: sort_key(run, "params.x", NO_DATA), reverse=True)
    assert [run.params["x"] for run in order] == [10.5, 3, "word", None]


def test_side_by_side(clone: Clone, entries: dict[str, Entry]) -> None:
    some = [find_run(clone.trail, entries[name].id) for name in ("train", "failed")]
    lines = {(line.group, line.name): line for line in compare(clone.trail, some)}
    assert lines["params", "lr"].values == (0.05, 5.0) and lines["params", "lr"].differs
    assert not lines["data", "data"].differs
    assert lines["gates", "accuracy"].values[1] is None
    assert lines["settings", "seed"].values == (3, None)


def test_only_training_steps_have_runs(clone: Clone, entries: dict[str, Entry]) -> None:
    with pytest.raises(MlopsError, match="no training step"):
        runs(clone.trail, "gates.accuracy")
    with pytest.raises(MlopsError, match="no training run"):
        find_run(clone.trail, entries["gate"].id)
