"""Two models on the same rows: the difference, its interval, the rows that count, and the verdict on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlopsctl.adapters.table import Table
from mlopsctl.errors import EvidenceError, ManifestError
from mlopsctl.measures import intervals
from mlopsctl.measures.compare import compare
from mlopsctl.measures.measure import Answers, Question
from mlopsctl.providers.gates.overlap import unseen
from mlopsctl.providers.gates.regression import both, check_keys, judge_drop
from mlopsctl.types import Status, Verdict

FACTS = {"classes": [0, 1]}


def scores(truth: Any, skill: float, seed: int) -> Answers:
    """A classifier whose score for the true class is higher the more skill it has."""
    noise = np.random.default_rng(seed).normal(size=len(truth))
    second = 1 / (1 + np.exp(-(skill * (2 * truth - 1) + noise)))
    return Answers({"probabilities": np.stack([1 - second, second], axis=1)})


def truth_of(n: int) -> Any:
    return np.arange(n) % 2


def drop(metric: str, candidate: Answers, champion: Answers, n: int, **more: Any) -> dict[str, Any]:
    keep = more.pop("keep", np.ones(n, dtype=bool))
    found = compare(Question(metric, 0.95), truth_of(n), candidate, champion, keep, FACTS, **more)
    return dict(found["drop"]) | {"champion": found["value"], "n": found["n"]}


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"])
def test_worse_is_a_drop_whichever_way_the_metric_points_and_better_is_none(metric: str) -> None:
    n = 1000
    good, bad = scores(truth_of(n), 2.0, 1), scores(truth_of(n), 0.5, 2)
    worse, better = drop(metric, bad, good, n), drop(metric, good, bad, n)
    assert float(worse["ci"][0]) > 0 and float(better["ci"][1]) < 0
    assert float(worse["ci"][0]) < float(worse["value"]) < float(worse["ci"][1])


def test_the_interval_knows_that_the_rows_are_the_same() -> None:
    """Two models that err on nearly the same rows: far narrower than for models that err on other ones."""
    n = 1000
    shared = scores(truth_of(n), 1.0, 1)
    shaken = shared.outputs["probabilities"][:, 1] + np.random.default_rng(4).normal(size=n) * 0.01
    near = Answers({"probabilities": np.stack([1 - np.clip(shaken, 0, 1), np.clip(shaken, 0, 1)], axis=1)})
    paired, other = drop("roc_auc", near, shared, n), drop("roc_auc", scores(truth_of(n), 1.0, 3), shared, n)
    width = [float(one["ci"][1]) - float(one["ci"][0]) for one in (paired, other)]
    assert width[0] < width[1] / 5


def test_equal_answers_differ_by_nothing_where_there_are_enough_rows() -> None:
    same = scores(truth_of(300), 1.0, 1)
    assert drop("roc_auc", same, same, 300)["ci"] == ["0", "0"]
    few = drop("roc_auc", scores(truth_of(60), 1.0, 1), scores(truth_of(60), 1.0, 1), 60)
    assert few["ci"] is None and "too few" in few["reason"]
    accuracy = drop("accuracy", scores(truth_of(60), 1.0, 1), scores(truth_of(60), 1.0, 1), 60)
    assert float(accuracy["ci"][1]) == pytest.approx(1.959964**2 / (60 + 1.959964**2), rel=1e-5)


def test_only_the_rows_that_count_are_compared() -> None:
    n, keep = 400, np.arange(400) >= 100
    good, bad = scores(truth_of(n), 2.0, 1), scores(truth_of(n), 0.5, 2)
    found = drop("accuracy", bad, good, n, keep=keep)
    right = [(a.outputs["probabilities"].argmax(axis=1) == truth_of(n))[keep].mean() for a in (good, bad)]
    assert found["n"] == 300 and float(found["value"]) == pytest.approx(right[0] - right[1])
    none = drop("accuracy", bad, good, n, keep=np.zeros(n, dtype=bool))
    assert none["value"] is None and "trained on every row" in none["reason"]


def test_groups_are_drawn_whole() -> None:
    n = 1000
    good, bad = scores(truth_of(n), 2.0, 1), scores(truth_of(n), 1.0, 2)
    found = drop("accuracy", bad, good, n, groups=np.arange(n) // 4)
    assert found["method"] == "percentile bootstrap" and found["ci"] is not None


def test_an_answer_that_is_no_number_compares_with_nothing() -> None:
    n = 300
    broken = Answers({"value": np.where(np.arange(n) == 5, np.nan, 1.0)})
    sound = Answers({"value": np.full(n, 1.0)})
    found = compare(Question("mae", 0.95), truth_of(n).astype(float), sound, broken, np.ones(n, dtype=bool), {})
    assert found["drop"] == {"value": None, "ci": None, "reason": "the champion answered a row with no finite number"}


@pytest.mark.parametrize(("p10", "p01", "n"), [(0.05, 0.03, 100), (0.01, 0.01, 400), (0.2, 0.05, 40)])
def test_tangos_interval_covers_what_it_promises(p10: float, p01: float, n: int) -> None:
    drawn = np.random.default_rng(7).multinomial(n, [p10, p01, 1 - p10 - p01], size=1500)
    limits = [intervals.paired(int(b), int(c), n, 0.95) for b, c, _ in drawn]
    inside = sum(lo <= p10 - p01 <= hi for lo, hi in limits)
    assert inside / len(drawn) > 0.935
    assert intervals.paired(3, 9, 50, 0.95) == pytest.approx(tuple(-x for x in intervals.paired(9, 3, 50, 0.95)[::-1]))


def test_a_row_is_known_by_its_key_or_by_its_values() -> None:
    view = Table({"id": np.array([1, 2, 3]), "x": np.array([0.5, 1.0, 2.0])}, 3)
    trained = Table({"id": np.array(["3", "9"], dtype=object), "x": np.array(["0.5", "7"], dtype=object)}, 2)
    assert unseen(view, "id", [trained]).tolist() == [True, True, False]
    assert unseen(view, "", [trained]).tolist() == [True, True, True]
    values = Table({"x": np.array(["1", "7"], dtype=object)}, 2)
    assert unseen(view, "", [values]).tolist() == [True, False, True], "1 and 1.0 are one value"
    assert unseen(view, "id", [values, trained]).tolist() == [True, False, False]


def recorded(value: str | None, ci: list[str] | None) -> dict[str, Any]:
    return {
        "champion": {"entry": "e" * 64, "n": 300, "dropped": 4, "drop": {"value": value, "ci": ci, "reason": "few"}}
    }


@pytest.mark.parametrize(
    ("facts", "most", "status", "blocks"),
    [
        (recorded("0.01", ["0", "0.02"]), 0.02, Status.PASSED, False),
        (recorded("0.01", ["0", "0.02"]), 0.015, Status.INCONCLUSIVE, True),
        (recorded("0.1", ["0.05", "0.2"]), 0.02, Status.FAILED, True),
        (recorded(None, None), 0.02, Status.INCONCLUSIVE, True),
        (recorded("0.1", None), 0.02, Status.INCONCLUSIVE, True),
        ({}, 0.02, Status.PASSED, False),
    ],
)
def test_the_whole_interval_must_clear_the_bar(
    facts: dict[str, Any], most: float, status: Status, blocks: bool
) -> None:
    found = judge_drop(facts, "live", most, first_fails=False, warn=False)
    assert (found.status, found.blocks) == (status, blocks)
    assert judge_drop(facts, "live", most, first_fails=False, warn=True).blocks == (status is Status.FAILED)


def test_the_first_model_and_what_is_no_comparison() -> None:
    assert judge_drop({}, "live", 0.1, first_fails=True, warn=False).status is Status.FAILED
    with pytest.raises(EvidenceError, match="no comparison"):
        judge_drop({"champion": {"drop": {}}}, "live", 0.1, first_fails=False, warn=False)
    own, worse = Verdict(Status.PASSED, "own"), Verdict(Status.FAILED, "drop", "mend", blocks=True)
    assert both(own, worse) == worse._replace(text="own; drop")
    assert both(worse, own) == worse._replace(text="drop; own")


@pytest.mark.parametrize(
    ("metric", "against", "most", "first"),
    [("accuracy", "live", None, "pass"), ("accuracy", "", 0.1, "pass"), ("accuracy", "", None, "fail"), ("ece", "live", 0.1, "pass")],
)  # fmt: skip
def test_keys_that_do_not_fit(metric: str, against: str, most: float | None, first: str) -> None:
    with pytest.raises(ManifestError) as caught:
        check_keys(metric, against, most, first)
    assert caught.value.code == "MLO1320"
