"""Two models on the same rows: the difference of a metric, with an interval that knows the rows are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np  # noqa: TID253 — imported only when something is measured

from ..errors import ProviderError
from ..types import Json
from . import intervals, metrics
from .intervals import LEAST_UNITS, Interval
from .measure import Answers, Question, number, positive_class, read_classes
from .metrics import Array, Measure, point
from .names import CLASS_METRICS, LOSSES
from .predictions import values_of

UNFIT = ("MLO1305", "MLO1308", "MLO1310", "MLO1311")
"""A champion that cannot answer these rows: they have other columns or classes than the ones it was made for."""


@dataclass(frozen=True)
class Drop:
    """By how much the candidate is worse than the champion: the champion's value less its own, of a loss the other way."""

    champion: Measure
    candidate: Measure
    sign: float

    @property
    def units(self) -> int:
        return self.candidate.units

    def values(self, weights: Array) -> Array:
        return self.sign * (self.champion.values(weights) - self.candidate.values(weights))


def compare(
    question: Question,
    labels: Array,
    candidate: Answers,
    champion: Answers,
    keep: Array,
    data_facts: Mapping[str, Json],
    groups: Array | None = None,
) -> dict[str, Json]:
    """``value`` of the champion and ``drop`` with its interval, on the rows that ``keep`` [rows] marks.

    ``groups`` [rows] says which rows belong together, or is None. A drop without a value or an interval has a ``reason``.
    Raises ProviderError where an answer cannot be read.
    """
    n = int(keep.sum())
    facts: dict[str, Json] = {"n": n, "dropped": len(labels) - n}
    if not n:
        return {**facts, **_nothing("the champion was trained on every row of the view")}
    together = np.unique(groups[keep], return_inverse=True)[1] if groups is not None else None
    if together is not None and len(np.unique(together)) == len(together):
        together = None
    truth = labels[keep]
    ours, theirs = (_only(answers, keep) for answers in (candidate, champion))
    mine, strata = _measure(question, truth, ours, data_facts, together)
    other, _ = _measure(question, truth, theirs, data_facts, together)
    if mine is None or other is None:
        who = "the candidate" if mine is None else "the champion"
        return {**facts, **_nothing(f"{who} answered a row with no finite number")}
    value, drop = point(other), Drop(other, mine, -1.0 if question.metric in LOSSES else 1.0)
    found = point(drop)
    if not np.isfinite(found):
        return {**facts, **_nothing("the metric is undefined on these rows")}
    given = _given(question, truth, ours, theirs, data_facts, together, drop)
    interval = given or intervals.bootstrap(drop, found, question.confidence, strata)
    ci = None if interval.lo is None or interval.hi is None else [number(interval.lo), number(interval.hi)]
    more = {"reason": interval.reason} if interval.reason else {}
    return {
        **facts,
        "value": number(value),
        "drop": {"value": number(found), "ci": ci, "method": interval.method, **more},
    }


def _nothing(reason: str) -> dict[str, Json]:
    return {"value": None, "drop": {"value": None, "ci": None, "reason": reason}}


def _only(answers: Answers, keep: Array) -> Answers:
    return replace(answers, outputs={name: array[keep] for name, array in answers.outputs.items()})


def _measure(
    question: Question, labels: Array, answers: Answers, data_facts: Mapping[str, Json], groups: Array | None
) -> tuple[Measure | None, Array | None]:
    """The metric of one model as a measure, None where an answer is no number; and the strata to draw rows within."""
    if question.metric not in CLASS_METRICS:
        truth, guess = labels.astype(np.float64), values_of(answers.outputs, len(labels))
        of_numbers = {"rmse": metrics.rmse, "mae": metrics.mae, "r2": metrics.r2}[question.metric]
        return (of_numbers(truth, guess, groups) if np.isfinite(guess).all() else None), None
    truth, said = read_classes(question, labels, answers, data_facts)
    strata = truth if groups is None else None
    if question.metric == "accuracy":
        return metrics.accuracy(truth, said.guess, groups), strata
    if question.metric == "balanced_accuracy":
        return metrics.balanced_accuracy(truth, said.guess, groups), strata
    if question.metric == "f1":
        positive = positive_class(question, said.classes, data_facts)
        return metrics.f1(truth, said.guess, positive, groups), strata
    if said.scores is None or np.isnan(said.scores).any():
        return None, None
    if question.metric == "log_loss":
        return metrics.log_loss(truth, said.scores, groups), None
    return metrics.roc_auc(truth, said.scores, groups), strata


def _given(
    question: Question,
    labels: Array,
    ours: Answers,
    theirs: Answers,
    data_facts: Mapping[str, Json],
    groups: Array | None,
    drop: Drop,
) -> Interval | None:
    """The interval of a closed form, where there is one."""
    if question.metric == "accuracy" and groups is None:
        right = []
        for answers in (theirs, ours):
            truth, said = read_classes(question, labels, answers, data_facts)
            right.append(said.guess == truth)
        lost, won = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
        return Interval(*intervals.paired(lost, won, len(labels), question.confidence), "tango score")
    if drop.units >= LEAST_UNITS and _same(ours, theirs):
        return Interval(0.0, 0.0, "equal answers to every row")
    return None


def _same(ours: Answers, theirs: Answers) -> bool:
    mine, other = ours.outputs, theirs.outputs
    return mine.keys() == other.keys() and all(np.array_equal(mine[name], other[name]) for name in mine)


def unfit(error: ProviderError, rows: int) -> dict[str, Json]:
    """What is recorded of a champion that cannot answer; its own words may quote rows."""
    return {"n": rows, "dropped": 0, **_nothing(f"the champion cannot answer these rows ({error.code})")}
