"""The metrics, each as a function of weights on rows, so that one code gives the value and all bootstrap replicates.

A measure answers ``values(weights)``: weights [B, units] -> [B], NaN where it is undefined. A unit is a row, or a group of
rows that belong together. Most metrics are functions of sums over rows (``Sums``); the area under the ROC curve is one of
ranks (``Ranks``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np  # noqa: TID253 — imported only when something is measured

Array = np.ndarray[Any, Any]

BINS = 15
"""Bins of equal width for the calibration error, as in Guo et al. (2017), section 3."""


class Measure(Protocol):
    """A metric on one view."""

    @property
    def units(self) -> int: ...

    def values(self, weights: Array) -> Array: ...


@dataclass(frozen=True)
class Sums:
    """A metric that is a function ``combine`` [B, m] -> [B] of sums of m figures over the units [units, m]."""

    figures: Array
    combine: Callable[[Array], Array]

    @property
    def units(self) -> int:
        return len(self.figures)

    def values(self, weights: Array) -> Array:
        return self.combine(weights @ self.figures)


@dataclass(frozen=True)
class Ranks:
    """The area under the ROC curve of each class against the rest, averaged over the classes.

    The Mann-Whitney statistic with ties counted half: Hanley & McNeil (1982), Radiology 143:29. ``scores`` [rows, C], ``positive``
    [rows, C]; ``owner`` [rows] is the unit of each row.
    """

    scores: Array
    positive: Array
    owner: Array

    @property
    def units(self) -> int:
        return int(self.owner.max(initial=-1)) + 1

    def values(self, weights: Array) -> Array:
        return np.asarray(np.mean([self._one(weights, *ranking) for ranking in self._rankings], axis=0))

    @cached_property
    def _rankings(self) -> list[tuple[Array, Array, Array, Array]]:
        """For each class: the units of its rows, how many other rows rank below and not above each, the others' units by rank."""
        found = []
        for column in range(self.scores.shape[1]):
            above = self.positive[:, column]
            ups, downs = self.scores[above, column], self.scores[~above, column]
            order = np.argsort(downs, kind="stable")
            below = np.searchsorted(downs[order], ups, side="left")
            upto = np.searchsorted(downs[order], ups, side="right")
            found.append((self.owner[above], below, upto, self.owner[~above][order]))
        return found

    def _one(self, weights: Array, ups: Array, below: Array, upto: Array, downs: Array) -> Array:
        beaten = np.zeros((len(weights), len(downs) + 1))
        np.cumsum(weights[:, downs], axis=1, out=beaten[:, 1:])
        up = weights[:, ups]
        # A tie counts half: the mean of the weight strictly below and the weight up to the score.
        wins = np.einsum("bi,bi->b", up, beaten[:, below])
        if not np.array_equal(below, upto):
            wins = (wins + np.einsum("bi,bi->b", up, beaten[:, upto])) / 2
        return _ratio(wins, up.sum(axis=1) * beaten[:, -1])


def point(measure: Measure) -> float:
    """The value of a measure on its own view."""
    return float(measure.values(np.ones((1, measure.units)))[0])


def _ratio(above: Array, below: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))


def _grouped(figures: Array, groups: Array | None) -> Array:
    """Figures of rows [rows, m] added up to those of groups [groups, m]."""
    if groups is None:
        return figures
    found = np.zeros((int(groups.max(initial=-1)) + 1, figures.shape[1]))
    np.add.at(found, groups, figures)
    return found


def accuracy(truth: Array, guess: Array, groups: Array | None = None) -> Sums:
    """The share of rows predicted right; truth and guess are class numbers [rows], -1 is no valid answer."""
    figures = np.stack([truth == guess, np.ones(len(truth))], axis=1).astype(float)
    return Sums(_grouped(figures, groups), lambda sums: _ratio(sums[:, 0], sums[:, 1]))


def balanced_accuracy(truth: Array, guess: Array, groups: Array | None = None) -> Sums:
    """The mean recall over the classes that occur in the view.

    Brodersen et al. (2010), ICPR. A replicate that lost a class is undefined: it would measure another task.
    """
    present = np.unique(truth)
    hits = (truth[:, None] == present) & (guess == truth)[:, None]
    figures = np.concatenate([hits, truth[:, None] == present], axis=1).astype(float)
    count = len(present)

    def combine(sums: Array) -> Array:
        return np.asarray(_ratio(sums[:, :count], sums[:, count:]).mean(axis=1))

    return Sums(_grouped(figures, groups), combine)


def f1(truth: Array, guess: Array, positive: int | None, groups: Array | None = None) -> Sums:
    """2 TP / (2 TP + FP + FN): of the positive class, or averaged over the classes in truth or guess (macro).

    van Rijsbergen (1979), Information Retrieval, ch. 7. A class that a replicate neither holds nor predicts counts 0 there, as in
    scikit-learn's ``zero_division=0``.
    """
    seen = np.unique(np.concatenate([truth, guess]))
    chosen = seen[seen >= 0] if positive is None else np.array([positive])
    is_true, is_guess = truth[:, None] == chosen, guess[:, None] == chosen
    figures = np.concatenate([is_true & is_guess, is_true, is_guess], axis=1).astype(float)
    count = len(chosen)

    def combine(sums: Array) -> Array:
        both, total = sums[:, :count], sums[:, count : 2 * count] + sums[:, 2 * count :]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(total > 0, 2 * both / total, 0.0).mean(axis=1))

    return Sums(_grouped(figures, groups), combine)


def roc_auc(truth: Array, scores: Array, groups: Array | None = None) -> Ranks:
    """Area under the ROC curve; ``scores`` [rows, K]. Two classes: the second against the first; more: one against the
    rest (Fawcett 2006, Pattern Recognition Letters 27:861, section 9), averaged with equal weights over the classes that
    occur in the view."""
    present = np.unique(truth)
    chosen = np.array([1]) if scores.shape[1] == 2 else present
    owner = np.arange(len(truth)) if groups is None else groups
    return Ranks(scores[:, chosen], truth[:, None] == chosen, owner)


def log_loss(truth: Array, scores: Array, groups: Array | None = None) -> Sums:
    """-mean(log p of the true class), natural logarithm; rows are scaled to sum 1 and p is kept off 0 and 1 by 2^-52.

    Bishop (2006), Pattern Recognition and Machine Learning, eq. 4.108.
    """
    eps = np.finfo(np.float64).eps
    own = scores[np.arange(len(truth)), truth] / scores.sum(axis=1)
    return _mean(-np.log(np.clip(own, eps, 1 - eps)), groups)


def mae(truth: Array, guess: Array, groups: Array | None = None) -> Sums:
    """mean |y - f|, in the label's unit."""
    return _mean(np.abs(truth - guess), groups)


def rmse(truth: Array, guess: Array, groups: Array | None = None) -> Sums:
    """sqrt(mean (y - f)^2), in the label's unit."""
    inner = _mean((truth - guess) ** 2, groups)
    return Sums(inner.figures, lambda sums: np.asarray(np.sqrt(inner.combine(sums))))


def _mean(loss: Array, groups: Array | None) -> Sums:
    figures = np.stack([loss, np.ones(len(loss))], axis=1)
    return Sums(_grouped(figures, groups), lambda sums: _ratio(sums[:, 0], sums[:, 1]))


def r2(truth: Array, guess: Array, groups: Array | None = None) -> Sums:
    """1 - sum (y - f)^2 / sum (y - mean y)^2; undefined where all labels are equal. Draper & Smith (1998), ch. 1.

    Labels are centred and scaled first, so that the sum of squares does not cancel.
    """
    centred = truth - truth.mean() if len(truth) else truth
    unit = float(np.abs(centred).max(initial=0.0)) or 1.0
    y, error = centred / unit, (truth - guess) / unit
    figures = np.stack([np.ones(len(y)), y, y**2, error**2], axis=1)

    def combine(sums: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = sums[:, 2] - sums[:, 1] ** 2 / sums[:, 0]
            return np.asarray(np.where(spread > 1e-12 * sums[:, 2], 1 - sums[:, 3] / spread, np.nan))

    return Sums(_grouped(figures, groups), combine)


def ece(truth: Array, guess: Array, scores: Array, groups: Array | None = None) -> Sums:
    """Expected calibration error of the predicted class: sum over bins of |right - confidence| / n.

    Guo et al. (2017), On Calibration of Modern Neural Networks, eq. 5, with 15 bins of equal width, closed above.
    """
    confidence = scores.max(axis=1)
    return _calibration(confidence, (guess == truth).astype(float), groups)


def _calibration(confidence: Array, right: Array, groups: Array | None) -> Sums:
    member = _bin(confidence)[:, None] == np.arange(BINS)
    figures = np.concatenate([member * (right - confidence)[:, None], np.ones((len(right), 1))], axis=1)

    def combine(sums: Array) -> Array:
        return np.asarray(_ratio(np.abs(sums[:, :BINS]).sum(axis=1), sums[:, BINS]))

    return Sums(_grouped(figures, groups), combine)


def _bin(confidence: Array) -> Array:
    return np.asarray(np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(int))


def ece_null(scores: Array, seed: int, draws: int = 1000) -> float:
    """The calibration error that a perfectly calibrated model with these confidences shows on average.

    It is not 0: a finite sample is never exact. Each row is made right with the probability it was given
    (consistency resampling: Bröcker & Smith 2007, Weather and Forecasting 22:651).
    """
    confidence = scores.max(axis=1)
    place = _bin(confidence)
    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for number in range(draws):
        gap = (rng.random(len(confidence)) < confidence) - confidence
        found[number] = np.abs(np.bincount(place, gap, minlength=BINS)).sum()
    return float(found.mean() / len(confidence))
