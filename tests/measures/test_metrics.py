"""Every metric agrees with scikit-learn, on the view itself and on any resample of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from mlopsctl.measures import metrics
from mlopsctl.measures.metrics import BINS, point

Array = np.ndarray[Any, Any]


@st.composite
def classified(draw: st.DrawFn, least: int = 1) -> tuple[Array, Array, int]:
    """Truth, guess and number of classes; classes may be absent from either."""
    classes = draw(st.integers(2, 5))
    n = draw(st.integers(least, 60))
    numbers = hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1))
    return draw(numbers), draw(numbers), classes


@st.composite
def scored(draw: st.DrawFn, classes: int | None = None) -> tuple[Array, Array]:
    """Truth with at least two classes, and probabilities with many ties."""
    k = classes or draw(st.integers(2, 4))
    n = draw(st.integers(2, 50))
    raw = draw(hnp.arrays(np.int64, (n, k), elements=st.integers(1, 6))).astype(float)
    truth = draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)).filter(lambda t: len(np.unique(t)) > 1))
    return truth, raw / raw.sum(axis=1, keepdims=True)


@st.composite
def regressed(draw: st.DrawFn) -> tuple[Array, Array]:
    n = draw(st.integers(2, 60))
    numbers = hnp.arrays(np.float64, n, elements=st.floats(-1e6, 1e6).map(lambda value: round(value, 3)))
    return draw(numbers), draw(numbers)


def resampled(n: int) -> tuple[Array, Array]:
    """Rows drawn with replacement, as indices and as weights [1, n]."""
    rows = np.random.default_rng(n).integers(0, n, n)
    return rows, np.bincount(rows, minlength=n)[None, :].astype(float)


@given(classified())
def test_accuracy(given: tuple[Array, Array, int]) -> None:
    truth, guess, _ = given
    assert point(metrics.accuracy(truth, guess)) == pytest.approx(reference.accuracy_score(truth, guess))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@given(classified())
def test_balanced_accuracy(given: tuple[Array, Array, int]) -> None:
    truth, guess, _ = given
    expected = reference.balanced_accuracy_score(truth, guess)
    assert point(metrics.balanced_accuracy(truth, guess)) == pytest.approx(expected)


@given(classified())
def test_f1_macro(given: tuple[Array, Array, int]) -> None:
    truth, guess, _ = given
    expected = reference.f1_score(truth, guess, average="macro", zero_division=0)
    assert point(metrics.f1(truth, guess, None)) == pytest.approx(expected)


@given(classified())
def test_f1_of_one_class(given: tuple[Array, Array, int]) -> None:
    truth, guess, _ = given
    expected = reference.f1_score(truth == 1, guess == 1, zero_division=0)
    assert point(metrics.f1(truth, guess, 1)) == pytest.approx(expected)


@given(classified())
def test_an_invalid_answer_is_wrong_and_no_class_of_its_own(given: tuple[Array, Array, int]) -> None:
    truth, guess, classes = given
    guess[0] = -1
    labels = [c for c in range(classes) if c in truth or c in guess]
    assert point(metrics.accuracy(truth, guess)) == pytest.approx(reference.accuracy_score(truth, guess))
    expected = reference.f1_score(truth, guess, labels=labels, average="macro", zero_division=0)
    assert point(metrics.f1(truth, guess, None)) == pytest.approx(expected)


@given(scored(2))
def test_roc_auc_of_two_classes(given: tuple[Array, Array]) -> None:
    truth, scores = given
    assert point(metrics.roc_auc(truth, scores)) == pytest.approx(reference.roc_auc_score(truth, scores[:, 1]))


@given(scored())
def test_roc_auc_of_many_classes(given: tuple[Array, Array]) -> None:
    truth, scores = given
    if scores.shape[1] == 2:
        return
    each = [reference.roc_auc_score(truth == c, scores[:, c]) for c in np.unique(truth)]
    assert point(metrics.roc_auc(truth, scores)) == pytest.approx(np.mean(each))


def test_roc_auc_of_many_classes_is_scikit_learns_macro_ovr() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    expected = reference.roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert point(metrics.roc_auc(truth, scores)) == pytest.approx(expected)


@given(scored())
def test_log_loss(given: tuple[Array, Array]) -> None:
    truth, scores = given
    expected = reference.log_loss(truth, scores, labels=range(scores.shape[1]))
    assert point(metrics.log_loss(truth, scores)) == pytest.approx(expected)


def test_log_loss_of_a_certain_and_wrong_answer_is_finite() -> None:
    assert point(metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]]))) == pytest.approx(36.04, abs=0.01)


@given(regressed())
def test_errors_of_numbers(given: tuple[Array, Array]) -> None:
    truth, guess = given
    assert point(metrics.mae(truth, guess)) == pytest.approx(reference.mean_absolute_error(truth, guess))
    assert point(metrics.rmse(truth, guess)) == pytest.approx(reference.root_mean_squared_error(truth, guess))
    if np.ptp(truth) > 0:
        expected = reference.r2_score(truth, guess)
        assert point(metrics.r2(truth, guess)) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    else:
        assert np.isnan(point(metrics.r2(truth, guess)))


def test_r2_survives_a_large_offset() -> None:
    rng = np.random.default_rng(0)
    truth = 1e9 + rng.normal(size=500)
    guess = truth + 0.1 * rng.normal(size=500)
    assert point(metrics.r2(truth, guess)) == pytest.approx(reference.r2_score(truth, guess), abs=1e-6)


@given(scored())
def test_ece_by_its_definition(given: tuple[Array, Array]) -> None:
    truth, scores = given
    guess, confidence = scores.argmax(axis=1), scores.max(axis=1)
    expected = 0.0
    for low in range(BINS):
        inside = (confidence > low / BINS) & (confidence <= (low + 1) / BINS)
        if inside.any():
            expected += inside.mean() * abs((guess == truth)[inside].mean() - confidence[inside].mean())
    assert point(metrics.ece(truth, guess, scores)) == pytest.approx(expected)


@settings(deadline=None)
@given(scored())
def test_weights_are_repeated_rows(given: tuple[Array, Array]) -> None:
    truth, scores = given
    rows, weights = resampled(len(truth))
    guess = scores.argmax(axis=1)
    pairs: list[tuple[metrics.Measure, metrics.Measure]] = [
        (metrics.accuracy(truth, guess), metrics.accuracy(truth[rows], guess[rows])),
        (metrics.log_loss(truth, scores), metrics.log_loss(truth[rows], scores[rows])),
        (metrics.ece(truth, guess, scores), metrics.ece(truth[rows], guess[rows], scores[rows])),
        (metrics.r2(truth * 1.0, scores[:, 0]), metrics.r2(truth[rows] * 1.0, scores[rows, 0])),
    ]
    if len(np.unique(truth[rows])) == len(np.unique(truth)):
        pairs.append((metrics.roc_auc(truth, scores), metrics.roc_auc(truth[rows], scores[rows])))
        pairs.append((metrics.balanced_accuracy(truth, guess), metrics.balanced_accuracy(truth[rows], guess[rows])))
    for whole, repeated in pairs:
        assert whole.values(weights)[0] == pytest.approx(point(repeated), nan_ok=True)


@given(scored())
def test_groups_change_no_value(given: tuple[Array, Array]) -> None:
    truth, scores = given
    groups, guess = np.arange(len(truth)) // 3, scores.argmax(axis=1)
    for make in (
        lambda g: metrics.accuracy(truth, guess, g),
        lambda g: metrics.balanced_accuracy(truth, guess, g),
        lambda g: metrics.f1(truth, guess, None, g),
        lambda g: metrics.roc_auc(truth, scores, g),
        lambda g: metrics.ece(truth, guess, scores, g),
        lambda g: metrics.rmse(truth, guess, g),
    ):
        assert make(groups).units == groups.max() + 1
        assert point(make(groups)) == pytest.approx(point(make(None)))


def test_a_resample_that_lost_a_class_is_undefined_and_not_wrong() -> None:
    truth, guess = np.array([0, 0, 1]), np.array([0, 1, 1])
    lost = np.array([[2.0, 1.0, 0.0]])
    assert np.isnan(metrics.balanced_accuracy(truth, guess).values(lost)[0])
    assert np.isnan(metrics.roc_auc(truth, np.eye(2)[guess]).values(lost)[0])


def test_the_null_of_ece_is_what_calibrated_models_show() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 400)
    scores = np.stack([1 - top, top], axis=1)
    shown = [point(metrics.ece((rng.random(400) < top).astype(int), np.ones(400, int), scores)) for _ in range(200)]
    assert metrics.ece_null(scores, seed=1) == pytest.approx(np.mean(shown), rel=0.08)
    assert np.mean(shown) > 0.03
