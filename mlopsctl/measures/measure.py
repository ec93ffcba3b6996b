"""Measures one metric on one view: value, interval and all that a verdict is computed from later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Any

import numpy as np  # noqa: TID253 — imported only when something is measured

from ..errors import ProviderError
from ..types import Json
from . import intervals, metrics
from .intervals import Interval
from .metrics import Array, Measure, point
from .names import CLASS_METRICS
from .predictions import Classes, class_order, classify, numbers_of, values_of

SCORE_METRICS = ("roc_auc", "log_loss", "ece")


@dataclass(frozen=True)
class Question:
    """What is asked: the metric, the confidence of its interval, and F1's positive class where one is named."""

    metric: str
    confidence: float
    positive: Any = None


@dataclass(frozen=True)
class Answers:
    """What a model said about every row of a view: its outputs [rows, …], what it is, the classes of a list of maps."""

    outputs: Mapping[str, Array]
    description: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class PerRow:
    """``predicted`` [rows] as the data writes it; ``error`` [rows]: 1 for a wrong class, else 0; of a number the absolute
    error."""

    predicted: Array
    error: Array


def measure(
    question: Question, labels: Array, answers: Answers, data_facts: Mapping[str, Json], groups: Array | None = None
) -> tuple[dict[str, Json], PerRow]:
    """The facts of the measurement, and how each row fared.

    ``labels`` [rows] are the truth as the table holds it, ``groups`` [rows] says which rows belong together (``by:`` of the
    split) or is None. ``value`` is None, with a ``reason``, where the metric is undefined on this view.
    Raises ProviderError where the metric, the label and the model's answers do not fit each other.
    """
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None
    if question.metric in CLASS_METRICS:
        found, rows = _of_classes(question, labels, answers, data_facts, groups)
    else:
        found, rows = _of_numbers(question, labels, answers, groups)
    facts: dict[str, Json] = {
        "metric": question.metric,
        "confidence": number(question.confidence),
        "n": len(labels),
        **found,
    }
    if groups is not None:
        facts["groups"] = len(np.unique(groups))
    return facts, rows


def _of_classes(
    question: Question, labels: Array, answers: Answers, data_facts: Mapping[str, Json], groups: Array | None
) -> tuple[dict[str, Json], PerRow]:
    known: Sequence[Any] = data_facts.get("classes") or ()
    truth, said = read_classes(question, labels, answers, data_facts)
    words = np.array([*(str(item) for item in said.classes), ""])
    rows = PerRow(words[said.guess], (said.guess != truth).astype(float))
    more: dict[str, Json] = {"output": said.output, "classes": len(known)}
    if question.metric in SCORE_METRICS:
        if said.scores is None:
            raise _unfit(f"{question.metric} needs probabilities; {said.no_scores}", "export the model's probabilities")
        broken = int(np.isnan(said.scores).any(axis=1).sum())
        if broken:
            return {**more, **_undefined(broken, len(labels))}, rows
        return {**more, **_of_scores(question, truth, said, groups)}, rows
    if said.invalid:
        more["invalid"] = said.invalid
    return {**more, **_of_guesses(question, truth, said, data_facts, groups)}, rows


def read_classes(
    question: Question, labels: Array, answers: Answers, data_facts: Mapping[str, Json]
) -> tuple[Array, Classes]:
    """The truth as class numbers [rows], and what the model says. Raises ProviderError where they do not fit."""
    known: Sequence[Any] = data_facts.get("classes") or ()
    if not known:
        raise _unfit(
            f"{question.metric} is about classes, and the label is a number or has more than 256 values",
            "use rmse, mae or r2",
        )
    keys = [item for names in answers.keys.values() for item in names]
    order = class_order(answers.description, keys, known)
    said = classify(answers.outputs, order, known, len(labels))
    truth = numbers_of(labels, said.classes)
    if (truth < 0).any():
        raise _unfit("the view holds labels that the data's record of its classes does not name", "pin the data anew")
    return truth, said


def _of_guesses(
    question: Question, truth: Array, said: Classes, data_facts: Mapping[str, Json], groups: Array | None
) -> dict[str, Json]:
    guess, confidence = said.guess, question.confidence
    right = int((guess == truth).sum())
    if question.metric == "accuracy":
        asked = metrics.accuracy(truth, guess, groups)
        given = Interval(*intervals.wilson(right, len(truth), confidence), "wilson") if groups is None else None
        return {"correct": right, **_figures(asked, confidence, given)}
    if question.metric == "balanced_accuracy":
        counts = [(int((guess[truth == c] == c).sum()), int((truth == c).sum())) for c in np.unique(truth)]
        asked = metrics.balanced_accuracy(truth, guess, groups)
        limits = intervals.mean_of_proportions(counts, confidence)
        return _figures(asked, confidence, Interval(*limits, "wilson limits combined") if groups is None else None)
    positive = positive_class(question, said.classes, data_facts)
    asked = metrics.f1(truth, guess, positive, groups)
    # By its place in the sorted classes: a label may be somebody's name.
    average = "macro" if positive is None else f"binary, positive is class {positive + 1} of {len(said.classes)}"
    given = None
    if positive is not None:
        both = int(((guess == positive) & (truth == positive)).sum())
        missed = int(((guess == positive) != (truth == positive)).sum())
        if both + missed == 0:
            reason = "the positive class neither occurs nor is predicted"
            return {"average": average, "value": None, "ci": None, "reason": reason}
        if groups is None:
            given = Interval(*intervals.f1_interval(both, missed, confidence), "wilson of the Jaccard index")
    return {"average": average, **_figures(asked, confidence, given, strata=truth if groups is None else None)}


def _of_scores(question: Question, truth: Array, said: Classes, groups: Array | None) -> dict[str, Json]:
    assert said.scores is not None  # noqa: S101 — asked before
    if question.metric == "log_loss":
        return _figures(metrics.log_loss(truth, said.scores, groups), question.confidence)
    if question.metric == "ece":
        # The class of the largest score, which is what the confidence is about, even where a label says another.
        asked = metrics.ece(truth, said.scores.argmax(axis=1), said.scores, groups)
        null = metrics.ece_null(said.scores, intervals.SEED)
        gaps = asked.figures[:, : metrics.BINS]
        found = intervals.ece_interval(gaps, len(truth), point(asked), null, question.confidence)
        return {"null": number(null), "bins": metrics.BINS, **_figures(asked, question.confidence, found)}
    if len(np.unique(truth)) < 2:
        return {"value": None, "ci": None, "reason": "all rows of the view have the same class"}
    area = metrics.roc_auc(truth, said.scores, groups)
    binary = said.scores.shape[1] == 2
    given = None
    if binary and groups is None and point(area) in (0.0, 1.0):
        # Resampling shows no spread here; the score interval does.
        positives = int((truth == 1).sum())
        limits = intervals.auc_interval(point(area), positives, len(truth) - positives, question.confidence)
        given = Interval(*limits, "newcombe score")
    average = "binary" if binary else "macro, one class against the rest"
    strata = truth if groups is None else None
    return {"average": average, **_figures(area, question.confidence, given, strata=strata)}


def _of_numbers(
    question: Question, labels: Array, answers: Answers, groups: Array | None
) -> tuple[dict[str, Json], PerRow]:
    if labels.dtype.kind not in "fiub":
        raise _unfit(f"{question.metric} is about numbers, and the label is text", "use accuracy, f1 or roc_auc")
    truth, guess = labels.astype(np.float64), values_of(answers.outputs, len(labels))
    rows = PerRow(guess, np.abs(truth - guess))
    broken = int((~np.isfinite(guess)).sum())
    if broken:
        return {"output": "value", **_undefined(broken, len(labels))}, rows
    asked = {"rmse": metrics.rmse, "mae": metrics.mae, "r2": metrics.r2}[question.metric](truth, guess, groups)
    return {"output": "value", **_figures(asked, question.confidence)}, rows


def _figures(
    asked: Measure,
    confidence: float,
    given: Interval | None = None,
    strata: Array | None = None,
) -> dict[str, Json]:
    """Value and interval; the bootstrap where no closed form was ``given``."""
    value = point(asked)
    if not isfinite(value):
        return {"value": None, "ci": None, "reason": "the metric is undefined here: all labels are equal"}
    found = given or intervals.bootstrap(asked, value, confidence, strata)
    ci = None if found.lo is None or found.hi is None else [number(found.lo), number(found.hi)]
    more = {"reason": found.reason} if found.reason else {}
    if "bootstrap" in found.method and ci:
        more["resamples"] = str(intervals.RESAMPLES)
    return {"value": number(value), "ci": ci, "method": found.method, **more}


def _undefined(broken: int, n: int) -> dict[str, Json]:
    return {
        "value": None,
        "ci": None,
        "invalid": broken,
        "reason": f"the model answered {broken} of {n} rows with no finite number",
    }


def positive_class(question: Question, classes: Sequence[Any], data_facts: Mapping[str, Json]) -> int | None:
    """The place of F1's positive class: the gate's, the data's, or 1 of {0, 1} and true of {false, true}; else none."""
    named = question.positive if question.positive is not None else data_facts.get("positive")
    if named is not None:
        place = int(numbers_of([named], classes)[0])
        if place < 0:
            shown = ", ".join(str(item) for item in classes[:8])
            raise _unfit(f"positive: {named} is no class of the data, which has {shown}", "name one of them")
        return place
    two = len(classes) == 2 and not any(isinstance(item, str) for item in classes)
    return 1 if two and [float(item) for item in classes] == [0.0, 1.0] else None


def number(value: float) -> str:
    """A number as facts hold it: 12 significant digits, without exponent."""
    text = format(Decimal(f"{value:.11e}"), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _unfit(what: str, hint: str) -> ProviderError:
    return ProviderError(what, hint=hint, code="MLO1311")
