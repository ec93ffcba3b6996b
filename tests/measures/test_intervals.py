"""Intervals agree with scipy where it has them, and cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlopsctl.measures import intervals, metrics
from mlopsctl.measures.intervals import bootstrap, replicates, wilson
from mlopsctl.measures.metrics import point


@given(
    st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_wilson_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    right, n = counts
    expected = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    assert wilson(right, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_all_right_reaches_one_exactly() -> None:
    lo, hi = wilson(360, 360, 0.95)
    assert hi == 1.0
    assert lo == pytest.approx(0.98944, abs=1e-5)


def test_a_mean_of_one_proportion_is_its_wilson_interval() -> None:
    assert intervals.mean_of_proportions([(37, 50)], 0.95) == pytest.approx(wilson(37, 50, 0.95))


def covered(inside: list[bool]) -> float:
    return float(np.mean(inside))


def test_the_interval_of_balanced_accuracy_covers() -> None:
    rng = np.random.default_rng(0)
    recall, sizes = np.array([0.95, 0.8, 0.99]), [200, 60, 25]
    inside = []
    for _ in range(2000):
        counts = [(int(rng.binomial(n, p)), n) for n, p in zip(sizes, recall, strict=True)]
        lo, hi = intervals.mean_of_proportions(counts, 0.95)
        inside.append(lo <= recall.mean() <= hi)
    assert 0.935 <= covered(inside) <= 0.985


def test_the_interval_of_f1_covers() -> None:
    rng = np.random.default_rng(1)
    cells = np.array([0.25, 0.04, 0.06, 0.65])  # TP, FP, FN, TN
    true = 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])
    inside = []
    for _ in range(2000):
        both, false, missed, _ = rng.multinomial(300, cells)
        lo, hi = intervals.f1_interval(int(both), int(false + missed), 0.95)
        inside.append(lo <= true <= hi)
    assert 0.935 <= covered(inside) <= 0.97


def test_the_score_interval_of_a_perfect_ranking_is_no_point() -> None:
    lo, hi = intervals.auc_interval(1.0, 40, 60, 0.95)
    assert hi == 1.0
    assert 0.9 < lo < 0.99
    wider, _ = intervals.auc_interval(1.0, 10, 15, 0.95)
    assert wider < lo


def test_the_score_interval_of_an_area_covers() -> None:
    rng = np.random.default_rng(2)
    true = stats.norm.cdf(1 / np.sqrt(2))
    truth = np.repeat([0, 1], [60, 40])
    inside = []
    for _ in range(600):
        second = rng.normal(size=100) + truth
        area = point(metrics.roc_auc(truth, np.stack([-second, second], axis=1)))
        lo, hi = intervals.auc_interval(area, 40, 60, 0.95)
        inside.append(lo <= true <= hi)
    assert 0.93 <= covered(inside) <= 0.985


def test_the_bootstrap_of_a_mean_is_scipys() -> None:
    loss = np.random.default_rng(3).exponential(size=400)
    asked = metrics.mae(loss, np.zeros(400))
    found = bootstrap(asked, point(asked), 0.95)
    expected = stats.bootstrap((loss,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    limits = expected.confidence_interval
    assert (found.lo, found.hi) == pytest.approx((limits.low, limits.high), abs=0.01)


def test_the_bootstrap_of_an_area_keeps_both_classes_and_agrees_with_delong() -> None:
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1], [380, 20])
    second = rng.normal(size=400) + 1.2 * truth
    asked = metrics.roc_auc(truth, np.stack([-second, second], axis=1))
    drawn = replicates(asked, truth)
    assert np.isfinite(drawn).all()
    ups, downs = second[truth == 1], second[truth == 0]
    wins = (ups[:, None] > downs[None, :]).astype(float)
    delong = np.sqrt(wins.mean(axis=1).var(ddof=1) / len(ups) + wins.mean(axis=0).var(ddof=1) / len(downs))
    assert drawn.std() == pytest.approx(delong, rel=0.12)


def test_rows_of_a_group_go_together() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(250), 8)
    right = np.repeat(rng.random(250) < 0.8, 8)  # a whole group is right or wrong
    guess = np.where(right, 1, 0)
    together = bootstrap(metrics.accuracy(np.ones(2000, int), guess, groups), 0.8, 0.95)
    lo, hi = wilson(int(right.sum()), 2000, 0.95)
    assert together.lo is not None and together.hi is not None
    assert together.hi - together.lo > 2.3 * (hi - lo)


@pytest.mark.parametrize("n", [1, 50, 199])
def test_few_rows_give_no_bootstrap(n: int) -> None:
    asked = metrics.mae(np.arange(n) * 1.0, np.zeros(n))
    found = bootstrap(asked, point(asked), 0.95)
    assert (found.lo, found.hi) == (None, None)
    assert "too few" in found.reason


def test_no_spread_gives_no_interval() -> None:
    asked = metrics.f1(np.arange(300) % 3, np.arange(300) % 3, None)
    assert "no spread" in bootstrap(asked, 1.0, 0.95).reason


def test_a_class_that_resamples_lose_gives_no_interval() -> None:
    truth = np.array([1] + [0] * 299)
    groups = np.arange(300)
    asked = metrics.balanced_accuracy(truth, np.zeros(300, int), groups)
    assert "lack a class" in bootstrap(asked, point(asked), 0.95).reason


@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize("off", [0.0, 0.03, 0.1])
def test_the_interval_of_ece_covers_though_ece_is_biased(n: int, off: float) -> None:
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(150):
        top = rng.uniform(0.5, 1, n)
        truth = (rng.random(n) < np.clip(top - off, 0, 1)).astype(int)
        asked = metrics.ece(truth, np.ones(n, int), np.stack([1 - top, top], axis=1))
        found = intervals.ece_interval(asked.figures[:, : metrics.BINS], n, point(asked), 0.0, 0.95)
        assert found.lo is not None and found.hi is not None
        inside.append(found.lo <= off <= found.hi)
    assert covered(inside) >= 0.93


def test_measuring_twice_gives_the_same_interval() -> None:
    asked = metrics.mae(np.random.default_rng(7).normal(size=300), np.zeros(300))
    assert bootstrap(asked, point(asked), 0.95) == bootstrap(asked, point(asked), 0.95)


def test_blocks_change_nothing_but_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = metrics.mae(np.random.default_rng(8).normal(size=250), np.zeros(250))
    whole = replicates(asked)
    monkeypatch.setattr(intervals, "_CELLS", 250 * 100)
    np.testing.assert_allclose(np.sort(replicates(asked)), np.sort(whole), rtol=1e-9)
