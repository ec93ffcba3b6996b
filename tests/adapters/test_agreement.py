from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlopsctl.adapters.agreement import compare
from mlopsctl.errors import ProviderError

scores = arrays(np.float32, (7, 3), elements=st.floats(-1e6, 1e6, width=32))


@given(scores)
def test_a_run_agrees_with_itself(values: np.ndarray) -> None:
    found = compare({"p": values}, {"p": values.copy()}, classes=3)
    assert (found.n, found.share, found.max_abs_diff) == (7, 1.0, 0.0)


def test_classes_agree_while_their_largest_score_stays_in_place() -> None:
    before = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    after = np.array([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])
    found = compare({"p": before}, {"p": after}, classes=2)
    assert found.share == pytest.approx(2 / 3)
    assert found.max_abs_diff == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [([0.4, 0.6], [0.6, 0.6], 0.5), ([-3.0, 2.0], [-0.1, 0.1], 1.0)],
    ids=["a probability is cut at one half", "a logit is cut at zero"],
)
def test_one_score_of_two_classes(before: list[float], after: list[float], share: float) -> None:
    assert compare({"p": np.array(before)}, {"p": np.array(after)}, classes=2).share == share


def test_numbers_have_their_differences_and_no_bar_counts_rows() -> None:
    before, after = np.array([[200_000.0], [1.0]]), np.array([[200_000.5], [1.5]])
    found = compare({"price": before}, {"price": after}, classes=0)
    assert (found.share, found.max_scaled_diff, found.p99_scaled_diff) == (1.0, 0.5, 0.5)
    assert not found.exact


def test_what_one_row_in_a_hundred_does_is_told_apart() -> None:
    before = np.ones(1000)
    after = before + np.where(np.arange(1000) < 5, 0.5, 1e-6)
    found = compare({"y": before}, {"y": after}, classes=0)
    assert found.max_scaled_diff == 0.5 and found.p99_scaled_diff == pytest.approx(1e-6)


def test_labels_of_text_and_numbers_must_be_equal() -> None:
    before = {"label": np.array(["a", "b"]), "code": np.array([1, 2])}
    after = {"label": np.array(["a", "c"]), "code": np.array([1, 2])}
    assert compare(before, after, classes=0).share == 0.5


def test_nan_equals_nan_only() -> None:
    nan = np.array([np.nan, 1.0, np.inf])
    assert compare({"y": nan}, {"y": nan.copy()}, classes=0).exact
    worse = compare({"y": nan}, {"y": np.array([np.nan, np.nan, np.inf])}, classes=0)
    assert worse.max_abs_diff == worse.max_scaled_diff == np.inf


def test_another_shape_is_another_model() -> None:
    with pytest.raises(ProviderError) as error:
        compare({"y": np.zeros((2, 3))}, {"y": np.zeros((2, 4))}, classes=3)
    assert error.value.code == "MLO1403"
