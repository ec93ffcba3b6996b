"""Outputs of real exporters become classes, probabilities or numbers; what is ambiguous is refused and named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.adapters.inference import inspect_model, run_fully
from mlopsctl.errors import ProviderError
from mlopsctl.measures.predictions import class_order, classify, numbers_of, program_outputs, values_of
from tests.adapters.onnx_models import linear

Array = np.ndarray[Any, Any]


def read(outputs: dict[str, Any], classes: Sequence[Any] = (0, 1, 2), order: Sequence[Any] | None = None) -> Any:
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    return classify(arrays, order or classes, classes, len(next(iter(arrays.values()))))


PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)


def test_probabilities_are_what_they_look_like() -> None:
    found = read({"y": PROBABILITIES})
    assert found.output == "probabilities"
    assert found.guess.tolist() == [0, 2]
    np.testing.assert_allclose(found.scores, PROBABILITIES, atol=1e-6)


def test_logits_go_through_softmax() -> None:
    found = read({"y": np.log(PROBABILITIES) + 3})
    assert found.output == "logits"
    np.testing.assert_allclose(found.scores, PROBABILITIES, atol=1e-6)


def test_an_output_named_logits_is_believed() -> None:
    assert read({"logits": PROBABILITIES}).output == "logits"


def test_one_column_is_the_second_of_two_classes() -> None:
    found = read({"p": [[0.2], [0.9]]}, classes=("no", "yes"))
    assert found.guess.tolist() == [0, 1]
    np.testing.assert_allclose(found.scores, [[0.8, 0.2], [0.1, 0.9]])
    assert read({"z": [-3.0, 2.0]}, classes=(0, 1)).guess.tolist() == [0, 1]


def test_scores_that_are_neither_still_name_a_class() -> None:
    found = read({"y": [[0.9, 0.8, 0.1]]})
    assert found.guess.tolist() == [0]
    assert found.scores is None
    assert "does not sum to 1" in found.no_scores


def test_labels_decide_where_a_model_gives_both() -> None:
    found = read({"label": np.array([1, 2]), "probabilities": PROBABILITIES})
    assert found.guess.tolist() == [1, 2]
    assert found.scores is not None


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (("no", "yes"), ["yes", "no"], [1, 0]),
        (("no", "yes"), [1, 0], [1, 0]),  # places in the model's order
        ((False, True), [True, False], [1, 0]),
        ((False, True), [1, 0], [1, 0]),
        ((10, 20), [20, 10], [1, 0]),
        ((10, 20), ["20", "10"], [1, 0]),
        ((10, 20), [20.0, 10.0], [1, 0]),
        ((3, 5, 7), [7.0, 3.0], [2, 0]),
        (("0", "1"), [1, 0], [1, 0]),
    ],
)
def test_labels_of_any_type_find_their_class(classes: Any, labels: Any, expected: list[int]) -> None:
    given = np.array(labels) if not isinstance(labels[0], float) or len(classes) > 2 else np.array(labels, np.int64)
    assert read({"label": given}, classes).guess.tolist() == expected


def test_a_label_that_is_no_class_is_wrong_and_counted() -> None:
    found = read({"label": np.array([0, 9])})
    assert found.guess.tolist() == [0, -1]
    assert found.invalid == 1


def test_a_row_of_nan_is_no_answer() -> None:
    scores = PROBABILITIES.copy()
    scores[1, 0] = np.nan
    found = read({"y": scores})
    assert found.guess.tolist() == [0, -1]
    assert np.isnan(found.scores[1]).any()


def test_the_model_may_order_its_classes_otherwise() -> None:
    found = read({"y": PROBABILITIES}, classes=("a", "b", "c"), order=("c", "a", "b"))
    assert found.guess.tolist() == [2, 1]


def test_a_class_the_model_never_saw_gets_no_probability() -> None:
    found = read({"y": PROBABILITIES}, classes=(0, 1, 2, 3), order=(0, 1, 3))
    assert found.guess.tolist() == [0, 3]
    assert found.scores[:, 2].tolist() == [0, 0]


def test_a_class_that_only_the_model_knows_can_only_be_wrong() -> None:
    found = read({"y": PROBABILITIES}, classes=("a", "b"), order=("a", "b", "z"))
    assert found.classes == ("a", "b", "z")
    assert found.guess.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"y": PROBABILITIES[:, :2]}, r"'y' \[2, 2\] for 2 rows of 3 classes"),
        ({"a": PROBABILITIES, "b": PROBABILITIES}, "a, b could all be the scores"),
        ({"label": np.array(["x", "y"])}, "it answers x, y; the classes are 0, 1, 2"),
        ({"label": np.array([7, 8])}, "it answers 7, 8"),
        ({"value": np.array([0.5, 1.5])}, r"'value' \[2\]"),
    ],
)
def test_what_does_not_fit_the_classes_is_named(outputs: dict[str, Any], said: str) -> None:
    with pytest.raises(ProviderError, match=said) as caught:
        read(outputs)
    assert caught.value.code == "MLO1310"


def test_of_several_score_outputs_the_probabilities_are_taken() -> None:
    assert read({"logits": np.log(PROBABILITIES), "probs": PROBABILITIES}).output == "probabilities"


def test_the_order_of_classes_is_the_models_own_where_it_says() -> None:
    assert class_order({"metadata": {"classes": '["b", "a"]'}, "labels": [1, 2]}, [], ["a", "b"]) == ("b", "a")
    assert class_order({"labels": [2, 1]}, [], [1, 2]) == (2, 1)
    assert class_order({}, ["y", "x"], ["x", "y"]) == ("y", "x")
    assert class_order({}, [], ["x", "y"]) == ("x", "y")
    for wrong in ("a, b", '{"a": 1}', "[1, 1]", "[[1], [2]]", "[null]"):
        with pytest.raises(ProviderError, match="metadata 'classes'"):
            class_order({"metadata": {"classes": wrong}}, [], [0, 1])


@given(st.lists(st.integers(-50, 50), min_size=1, unique=True), st.data())
def test_numbers_of_is_the_place_in_the_list(classes: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from(classes), min_size=1))
    for kind in (np.int64, np.float64, np.str_):
        found = numbers_of(np.array(values).astype(kind), classes)
        assert found.tolist() == [classes.index(value) for value in values]


def test_numbers_are_the_only_output_with_one_a_row() -> None:
    assert values_of({"y": np.array([[1.5], [2.5]], np.float32)}, 2).tolist() == [1.5, 2.5]
    with pytest.raises(ProviderError, match="one number a row is wanted"):
        values_of({"a": np.zeros(2), "b": np.zeros(2)}, 2)
    with pytest.raises(ProviderError, match="one number a row is wanted"):
        values_of({"a": np.zeros((2, 3))}, 2)


@pytest.mark.parametrize(
    ("answers", "name", "kind"),
    [
        ([[0.1, 0.9], [1, 0]], "scores", "f"),
        (["ham", "spam"], "label", "U"),
        ([1, 0], "label", "i"),
        ([True, False], "label", "i"),
        ([1.5, 2], "value", "f"),
        ([None, 2.5], "value", "f"),
        ([10**400, 1], "value", "f"),
    ],
)
def test_answers_of_a_program_become_arrays(answers: list[Any], name: str, kind: str) -> None:
    found = program_outputs(answers)
    assert list(found) == [name]
    assert found[name].dtype.kind == kind


@pytest.mark.parametrize("answers", [[{"a": 1}], ["a", 1], [[1, 2], [1]], [[1, "x"]]])
def test_answers_of_mixed_kinds_are_refused(answers: list[Any]) -> None:
    with pytest.raises(ProviderError, match="one of its answers is"):
        program_outputs(answers)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [["a", "b", "c"], [0, 1, 2]])
def test_scikit_learn_models_are_read_as_scikit_learn_reads_them(
    tmp_path: Path, zipmap: bool, labels: list[Any]
) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4)).astype(np.float32)
    y = np.array(labels)[rng.integers(0, 3, 80)]
    fitted = RandomForestClassifier(5, random_state=0).fit(x, y)
    content = to_onnx(fitted, x[:1], target_opset=17, options={"zipmap": zipmap}).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(content)
    description = inspect_model(tmp_path / "model.onnx")
    ran = run_fully(tmp_path / "model.onnx", {"X": x})
    keys = [key for names in ran.keys.values() for key in names]
    found = classify(ran.outputs, class_order(description, keys, labels), labels, 80)
    assert [labels[place] for place in found.guess] == fitted.predict(x).tolist()
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, fitted.predict_proba(x), atol=1e-5)


def test_classes_written_into_a_model_travel_with_it(tmp_path: Path) -> None:
    model = linear(tmp_path, np.eye(2), softmax=True, metadata={"classes": json.dumps(["yes", "no"])})
    outputs = run_fully(model, {"x": np.array([[5, 0], [0, 5]], np.float32)}).outputs
    found = classify(outputs, class_order(inspect_model(model), [], ["no", "yes"]), ["no", "yes"], 2)
    assert found.guess.tolist() == [1, 0]
