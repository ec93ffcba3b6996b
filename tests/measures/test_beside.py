from __future__ import annotations

import numpy as np
import pytest

from mlopsctl.measures.beside import beside
from mlopsctl.measures.intervals import paired, wilson
from mlopsctl.measures.measure import Answers, number
from mlopsctl.measures.words import metrics_words

CLASSES = {"classes": [0, 1, 2]}
LABELS = np.arange(300) % 3


def scores(wrong: int) -> Answers:
    """Answers of which the first ``wrong`` rows are wrong."""
    guess = LABELS.copy()
    guess[:wrong] = (guess[:wrong] + 1) % 3
    return Answers({"p": np.eye(3, dtype=np.float32)[guess]})


def test_both_have_their_metric_with_its_interval_and_the_drop_has_that_of_pairs() -> None:
    found = beside(LABELS, scores(3), scores(9), CLASSES)
    assert (found["metric"], found["n"], found["confidence"]) == ("accuracy", 300, "0.95")
    for name, right in (("original", 297), ("artifact", 291)):
        assert found[name]["correct"] == right
        assert found[name]["value"] == number(right / 300)
        assert found[name]["ci"] == [number(limit) for limit in wilson(right, 300, 0.95)]
    assert found["drop"]["value"] == "0.02"
    assert found["drop"]["ci"] == [number(limit) for limit in paired(6, 0, 300, 0.95)]
    assert metrics_words({"metrics": found}) == "accuracy 0.9700 [0.9440, 0.9841], the model's 0.9900 [0.9710, 0.9966]"


def test_an_artifact_that_is_better_has_a_negative_drop() -> None:
    assert beside(LABELS, scores(9), scores(3), CLASSES)["drop"]["value"] == "-0.02"


def test_a_number_is_measured_by_r2() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    near = Answers({"y": truth + rng.normal(scale=0.1, size=400)})
    far = Answers({"y": truth + rng.normal(scale=0.5, size=400)})
    found = beside(truth, near, far, {})
    assert found["metric"] == "r2"
    low, high = (float(limit) for limit in found["drop"]["ci"])
    assert low < float(found["original"]["value"]) - float(found["artifact"]["value"]) < high
    assert low > 0.1


def test_rows_that_belong_together_count_once() -> None:
    alone = beside(LABELS, scores(3), scores(30), CLASSES)
    together = beside(LABELS, scores(3), scores(30), CLASSES, np.arange(300) // 15)
    assert alone["artifact"]["ci"] != together["artifact"]["ci"]
    assert together["artifact"]["ci"] is None  # 20 groups are too few for an interval


@pytest.mark.parametrize("outputs", [{"a": np.zeros((300, 7), np.float32)}, {"a": np.array(["x"] * 300)}])
def test_outputs_that_predict_no_label_have_no_metric(outputs: dict[str, np.ndarray]) -> None:
    answers = Answers(outputs)
    found = beside(LABELS, answers, answers, CLASSES)
    assert found["metric"] is None
    assert "MLO1310" in found["reason"]
    assert metrics_words({"metrics": found}) == ""


def test_an_answer_that_is_no_number_has_no_value() -> None:
    broken = Answers({"y": np.full(300, np.nan)})
    found = beside(LABELS.astype(float), Answers({"y": LABELS.astype(float)}), broken, {})
    assert found["artifact"]["value"] is None
    assert found["drop"]["value"] is None
    assert metrics_words({"metrics": found}).startswith("r2 undefined")
