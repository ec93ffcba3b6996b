"""The metric gate end to end: a real model in a real store, real rows, the facts it records and the verdict on them."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from mlopsctl.adapters.store import LocalStore
from mlopsctl.canonical import canonical
from mlopsctl.errors import GateError, ManifestError, ProviderError
from mlopsctl.measures.measure import Answers, Question, measure, number
from mlopsctl.provider import Context, Trail, Tree, fingerprint, ingredients
from mlopsctl.providers.gates import metric
from mlopsctl.providers.gates.metric import Spec
from mlopsctl.types import Address, Digest, Input, Need, Observed, Resource, Status
from tests.adapters.onnx_models import linear
from tests.adapters.test_inference import endless, terabytes

Array = np.ndarray[Any, Any]


class Room:
    """Where one gate can measure: ``gate`` runs it on rows x0, x1, … and a label."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = LocalStore(root / "store")
        self.count = 0

    def data(self, features: Array, label: Any, **more: Any) -> Input:
        path = self.root / f"rows{self.count}.csv"
        names = [f"x{place}" for place in range(features.shape[1])]
        aside = more.pop("aside", {})
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, *aside, "y"])
            for place, row in enumerate(features):
                writer.writerow(
                    [*(repr(float(value)) for value in row), *(item[place] for item in aside.values()), label[place]]
                )
        values = sorted(set(np.asarray(label).tolist()))
        facts = {
            "format": "csv",
            "label": "y",
            "features": names,
            "classes": values,
            "rows": {"test": len(label)},
            **more,
        }
        digest = self.store.put(path)
        return Input(Need("data", Address("data", "rows"), "test"), Observed(digest, {"test": digest}, facts))

    def model(self, folder: Path, **facts: Any) -> Input:
        digest = self.store.put(folder)
        return Input(
            Need("model", Address("train", "m"), "model"),
            Observed(digest, {"model": digest}, {"kind": "onnx", **facts}),
        )

    def gate(self, model: Input, data: Input, **spec: Any) -> tuple[dict[str, Any], Any]:
        """Facts and verdict."""
        want = Resource(Address("gates", "g"), "gates/metric", Spec(**spec))
        self.count += 1
        scratch = self.root / f"scratch{self.count}"
        scratch.mkdir()
        tree, trail = cast(Tree, None), cast(Trail, None)
        root = self.root / "repo"
        context = Context(root, self.root / "state", scratch, tree, self.store, trail, "demo", lambda line: None)
        outcome = metric.apply(want, (model, data), context)
        canonical(dict(outcome.facts))  # facts hold nothing that a signed entry can not
        seen = Observed(Digest("sha256:0"), {}, outcome.facts)
        return dict(outcome.facts), metric.judge(want, seen, (model, data))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def rows(n: int = 360, noise: float = 0.5, seed: int = 0) -> tuple[Array, Array]:
    """Points around three corners, and which corner."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 3, n)
    return np.eye(3)[corner] + noise * rng.normal(size=(n, 3)), corner


def test_accuracy_is_measured_by_running_the_model(room: Room, tmp_path: Path) -> None:
    x, y = rows()
    linear(tmp_path / "m", 3 * np.eye(3), softmax=True)
    facts, verdict = room.gate(room.model(tmp_path / "m"), room.data(x, y), metric="accuracy", min=0.6)
    right = int((x.argmax(axis=1) == y).sum())
    assert facts["correct"] == right
    assert float(facts["value"]) == pytest.approx(right / 360)
    assert (facts["n"], facts["method"], facts["view"], facts["output"]) == (360, "wilson", "test", "probabilities")
    assert verdict.status is Status.PASSED


CLASS_METRICS = {
    "balanced_accuracy": lambda y, p: reference.balanced_accuracy_score(y, p.argmax(axis=1)),
    "f1": lambda y, p: reference.f1_score(y, p.argmax(axis=1), average="macro"),
    "roc_auc": lambda y, p: reference.roc_auc_score(y, p, multi_class="ovr"),
    "log_loss": lambda y, p: reference.log_loss(y, p),
}


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_every_metric_of_classes_is_scikit_learns(room: Room, tmp_path: Path, name: str) -> None:
    x, y = rows()
    linear(tmp_path / "m", 3 * np.eye(3), softmax=True)
    bar = {"max": 5.0} if name == "log_loss" else {"min": 0.1}
    facts, verdict = room.gate(room.model(tmp_path / "m"), room.data(x, y), metric=name, **bar)
    power = np.exp(3 * x)
    assert float(facts["value"]) == pytest.approx(
        CLASS_METRICS[name](y, power / power.sum(axis=1, keepdims=True)), abs=1e-5
    )
    lo, hi = (float(limit) for limit in facts["ci"])
    assert lo < float(facts["value"]) < hi
    assert verdict.status is Status.PASSED


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rmse", reference.root_mean_squared_error),
        ("mae", reference.mean_absolute_error),
        ("r2", reference.r2_score),
    ],
)
def test_every_metric_of_numbers_is_scikit_learns(room: Room, tmp_path: Path, name: str, expected: Any) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    y = x @ [2.0, -1.0] + 0.3 * rng.normal(size=300)
    linear(tmp_path / "m", [[2.0], [-1.0]])
    data = room.data(x, y, classes=None)
    bar = {"min": 0.9} if name == "r2" else {"max": 0.4}
    facts, verdict = room.gate(room.model(tmp_path / "m"), data, metric=name, **bar)
    assert float(facts["value"]) == pytest.approx(expected(y, x @ [2.0, -1.0]), rel=1e-4)
    assert (facts["method"], facts["output"]) == ("percentile bootstrap", "value")
    assert verdict.status is Status.PASSED


def test_calibration_is_reported_beside_its_null(room: Room, tmp_path: Path) -> None:
    x, y = rows(600, 0.5)
    linear(tmp_path / "m", 4 * np.eye(3), softmax=True)
    facts, _ = room.gate(room.model(tmp_path / "m"), room.data(x, y), metric="ece", max=0.2)
    assert 0 < float(facts["null"]) < 0.06
    assert facts["bins"] == 15


def test_measuring_twice_records_the_same_facts(room: Room, tmp_path: Path) -> None:
    x, y = rows()
    linear(tmp_path / "m", np.eye(3), softmax=True)
    model, data = room.model(tmp_path / "m"), room.data(x, y)
    first, second = (room.gate(model, data, metric="roc_auc", min=0.5)[0] for _ in range(2))
    assert first == second


def test_rows_of_one_customer_count_together(room: Room, tmp_path: Path) -> None:
    x, y = rows(220)
    x, y = np.repeat(x, 4, axis=0), np.repeat(y, 4)
    linear(tmp_path / "m", np.eye(3), softmax=True)
    model, customer = room.model(tmp_path / "m"), [f"c{place // 4}" for place in range(880)]
    together = room.data(x, y, aside={"customer": customer}, split={"by": "customer"})
    grouped, _ = room.gate(model, together, metric="accuracy", min=0.5)
    alone, _ = room.gate(model, room.data(x, y, aside={"customer": customer}), metric="accuracy", min=0.5)
    assert (grouped["groups"], grouped["method"]) == (220, "percentile bootstrap")
    assert grouped["value"] == alone["value"]
    widths = [float(facts["ci"][1]) - float(facts["ci"][0]) for facts in (grouped, alone)]
    assert widths[0] > 1.7 * widths[1]


def test_a_row_of_nan_is_a_wrong_row(room: Room, tmp_path: Path) -> None:
    x, y = rows(300)
    x[7] = np.nan
    linear(tmp_path / "m", 3 * np.eye(3), softmax=True)
    model = room.model(tmp_path / "m")
    data = room.data(x, y)
    facts, verdict = room.gate(model, data, metric="accuracy", min=0.5)
    assert facts["invalid"] == 1
    assert "1 without a valid answer count as wrong" in verdict.text
    facts, verdict = room.gate(model, data, metric="log_loss", max=10.0)
    assert facts["value"] is None
    assert verdict.status is Status.FAILED


def test_an_empty_view_is_not_assessed_and_is_no_result(room: Room, tmp_path: Path) -> None:
    linear(tmp_path / "m", np.eye(3), softmax=True)
    data = room.data(np.zeros((0, 3)), np.zeros(0, int), classes=[0, 1, 2])
    with pytest.raises(GateError, match="the view is empty") as caught:
        room.gate(room.model(tmp_path / "m"), data, metric="accuracy", min=0.5)
    assert (caught.value.exit_code, caught.value.code) == (4, "MLO4001")


def test_one_class_alone_has_no_area(room: Room, tmp_path: Path) -> None:
    linear(tmp_path / "m", np.eye(3), softmax=True)
    data = room.data(rows(300)[0], np.zeros(300, int), classes=[0, 1, 2])
    with pytest.raises(GateError, match="all rows of the view have the same class"):
        room.gate(room.model(tmp_path / "m"), data, metric="roc_auc", min=0.5)


def test_a_model_of_other_columns_is_named_on_both_sides(room: Room, tmp_path: Path) -> None:
    x, y = rows(50)
    linear(tmp_path / "m", np.ones((64, 3)), softmax=True)
    with pytest.raises(ProviderError, match=r"\[N, 64\], the data has 3 feature columns"):
        room.gate(room.model(tmp_path / "m"), room.data(x, y), metric="accuracy", min=0.5)


def test_a_model_that_never_ends_is_ended_by_the_timeout(room: Room, tmp_path: Path) -> None:
    endless(tmp_path / "m")
    with pytest.raises(ProviderError) as caught:
        room.gate(room.model(tmp_path / "m"), room.data(*rows(20)), metric="accuracy", min=0.5, timeout=1.0)
    assert caught.value.code == "MLO1306"


def test_a_model_that_wants_more_memory_than_it_may_use_is_ended(room: Room, tmp_path: Path) -> None:
    terabytes(tmp_path / "m")
    with pytest.raises(ProviderError) as caught:
        room.gate(room.model(tmp_path / "m"), room.data(*rows(20)), metric="accuracy", min=0.5, memory=2**30)
    assert caught.value.code == "MLO1306"


def test_a_metric_of_classes_wants_classes(room: Room, tmp_path: Path) -> None:
    x, y = rows(50)
    linear(tmp_path / "m", np.eye(3))
    with pytest.raises(ProviderError, match="accuracy is about classes, and the label is a number"):
        room.gate(room.model(tmp_path / "m"), room.data(x, y * 1.5, classes=None), metric="accuracy", min=0.5)


def test_a_metric_of_numbers_wants_numbers(room: Room, tmp_path: Path) -> None:
    x, y = rows(50)
    linear(tmp_path / "m", np.eye(3))
    with pytest.raises(ProviderError, match="rmse is about numbers, and the label is text"):
        room.gate(room.model(tmp_path / "m"), room.data(x, np.array(["a", "b", "c"])[y]), metric="rmse", max=0.5)


def test_an_opaque_model_is_measured_through_its_program(room: Room, tmp_path: Path) -> None:
    x, y = rows(300)
    words = np.array(["blue", "green", "red"])
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "answer.py").write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    row = json.loads(line)\n"
        "    assert 'y' not in row\n"
        "    print(json.dumps(['blue', 'green', 'red'][max(range(3), key=lambda i: row[f'x{i}'])]))\n"
    )
    model = room.model(folder, kind="opaque", predict=[sys.executable, "{model}/answer.py"])
    facts, _ = room.gate(model, room.data(x, words[y]), metric="accuracy", min=0.5)
    assert facts["correct"] == int((x.argmax(axis=1) == y).sum())
    assert facts["output"] == "labels"


def test_moving_a_bar_measures_nothing_again(room: Room, tmp_path: Path) -> None:
    linear(tmp_path / "m", np.eye(3))
    inputs = (room.model(tmp_path / "m"), room.data(*rows(20)))

    def made_from(**spec: Any) -> Digest:
        parts = ingredients(Resource(Address("gates", "g"), "gates/metric", Spec(**spec)), {}, inputs)
        assert parts is not None
        return fingerprint(parts)

    same = made_from(metric="accuracy", min=0.9)
    assert made_from(metric="accuracy", min=0.5, max=0.99, inconclusive="warn", model="m", timeout=5.0) == same
    assert made_from(metric="accuracy", min=0.9, confidence=0.99) != same
    assert made_from(metric="f1", min=0.9) != same


@pytest.mark.parametrize(
    ("spec", "said", "hint"),
    [
        ({"metric": "accuracy"}, "neither min nor max", "write min: NUMBER"),
        ({"metric": "rmse"}, "neither min nor max", "write max: NUMBER"),
        ({"metric": "accuracy", "min": 0.9, "max": 0.8}, "at least 0.9 and at most 0.8", "exchange"),
        ({"metric": "accuracy", "min": 93}, "lies between 0 and 1", "write 0.93 for 93 %"),
        ({"metric": "rmse", "min": 0.2}, "less rmse is better", "write max: 0.2"),
    ],
)
def test_a_bar_that_makes_no_sense_is_refused(spec: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(ManifestError, match=said) as caught:
        metric.needs(Spec(**spec), {})
    assert hint in caught.value.hint


def test_the_plan_says_what_the_view_can_show(room: Room) -> None:
    want = Resource(Address("gates", "g"), "gates/metric", Spec(metric="accuracy", min=0.93))
    data = room.data(*rows(360))
    assert metric.notes(want, (data,)) == ("resolves ±0.026 at 360 rows; ±0.01 needs about 2,500",)
    assert metric.notes(want, (Input(data.need, None),)) == ()


# --- what is measured, without a model ---------------------------------------------------------------------


def of(name: str, truth: Any, outputs: dict[str, Any], classes: Any = None, **more: Any) -> dict[str, Any]:
    arrays = {key: np.asarray(value) for key, value in outputs.items()}
    question = Question(name, 0.95, more.pop("positive", None))
    facts, _ = measure(question, np.asarray(truth), Answers(arrays), {"classes": classes, **more})
    return facts


@pytest.mark.parametrize(
    ("classes", "positive", "average"),
    [
        ([0, 1], None, "binary, positive is class 2 of 2"),
        ([False, True], None, "binary, positive is class 2 of 2"),
        ([1, 2], None, "macro"),
        (["no", "yes"], None, "macro"),
        (["no", "yes"], "yes", "binary, positive is class 2 of 2"),
        ([0, 1, 2], 2, "binary, positive is class 3 of 3"),
    ],
)
def test_f1_says_what_it_averages(classes: list[Any], positive: Any, average: str) -> None:
    truth = (classes * 120)[:240]
    guess = np.array(truth)
    guess[:20] = classes[0]
    facts = of("f1", truth, {"label": guess}, classes, positive=positive)
    assert facts["average"] == average
    chosen = str(classes[-1])
    expected = reference.f1_score(
        np.array(truth).astype(str),
        guess.astype(str),
        average="macro" if average == "macro" else None,
        labels=None if average == "macro" else [chosen],
    )
    assert float(facts["value"]) == pytest.approx(np.ravel(expected)[0])


def test_a_perfect_ranking_has_an_interval() -> None:
    truth = np.repeat([0, 1], 50)
    facts = of("roc_auc", truth, {"p": truth * 0.8 + 0.1}, [0, 1])
    assert (facts["value"], facts["method"]) == ("1", "newcombe score")
    assert 0.9 < float(facts["ci"][0]) < 1


def test_few_rows_have_a_value_and_no_interval() -> None:
    facts = of("mae", np.arange(20.0), {"y": np.arange(20.0) + 1})
    assert (facts["value"], facts["ci"]) == ("1", None)
    assert "too few" in facts["reason"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_any_view_has_a_measurement_or_a_reason(pairs: list[tuple[int, int]]) -> None:
    truth, guess = np.array(pairs).T
    for name in ("accuracy", "balanced_accuracy", "f1"):
        facts = of(name, truth, {"label": guess}, [0, 1, 2])
        canonical(facts)
        value = float(facts["value"])
        if facts["ci"]:
            lo, hi = (float(limit) for limit in facts["ci"])
            assert 0 <= lo <= value <= hi <= 1
        else:
            assert facts["reason"]


def test_the_trees_constant_label_has_no_r2() -> None:
    assert of("r2", np.ones(300), {"y": np.arange(300.0)})["value"] is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_of_facts_are_read_back(value: float) -> None:
    assert "e" not in number(value)
    assert float(number(value)) == pytest.approx(value, rel=1e-11, abs=0)


def test_a_failed_gate_says_how_to_see_its_errors(room: Room, tmp_path: Path) -> None:
    linear(tmp_path / "m", -np.eye(3), softmax=True)
    _, verdict = room.gate(room.model(tmp_path / "m"), room.data(*rows()), metric="accuracy", min=0.9)
    assert verdict.status is Status.FAILED
    assert verdict.hint.endswith("look at its errors: mlopsctl gate run g --errors errors.csv")
