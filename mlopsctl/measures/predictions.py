"""What a model's outputs say about each row: a class, the probabilities of all classes, or a number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np  # noqa: TID253 — imported only when something is measured

from ..errors import ProviderError

Array = np.ndarray[Any, Any]

_SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may be from sum 1: half-precision models round that much."""


@dataclass(frozen=True)
class Classes:
    """Answers of a classifier; class numbers point into ``classes``, -1 is no valid answer.

    ``scores`` are probabilities [rows, K], or None where the outputs do not tell them (``no_scores`` says why).
    """

    guess: Array
    scores: Array | None
    classes: tuple[Any, ...]
    output: str
    invalid: int
    no_scores: str = ""


def class_order(description: Mapping[str, Any], keys: Sequence[Any], known: Sequence[Any]) -> tuple[Any, ...]:
    """The classes that a model's scores stand for, in order.

    Taken from: the model's metadata ``classes`` (a JSON list), the keys of a list of maps, the labels of an ai.onnx.ml
    classifier, the classes of the data (sorted, as nearly every library orders them).
    """
    written = (description.get("metadata") or {}).get("classes")
    if written is not None:
        try:
            found = json.loads(written)
        except ValueError:
            found = None
        plain = isinstance(found, list) and all(isinstance(item, str | int | float) for item in found)
        if not plain or len({_key(item) for item in found}) != len(found):
            raise _unclear(f"its metadata 'classes' is no JSON list of different labels: {written[:80]}")
        return tuple(found)
    return tuple(keys or description.get("labels") or known)


def numbers_of(values: Array | Sequence[Any], classes: Sequence[Any]) -> Array:
    """The place of each value in ``classes``, -1 where it is none; 1, 1.0, True and "1" are told apart only by need."""
    exact = {_key(item): place for place, item in enumerate(classes)}
    loose = {str(item): place for place, item in enumerate(classes)}
    different, back = np.unique(np.asarray(values), return_inverse=True)
    plain = [item.item() if hasattr(item, "item") else item for item in different]
    places = [exact.get(_key(item), loose.get(str(item), -1)) for item in plain]
    found: Array = np.array(places, dtype=np.int64)[back.reshape(-1)]
    return found


def classify(outputs: Mapping[str, Array], order: Sequence[Any], known: Sequence[Any], count: int) -> Classes:
    """Reads the outputs of a classifier for ``count`` rows; ``known`` are the classes of the data.

    Scores are the float output with a column a class (two classes: also one column, for the second). They count as
    probabilities where every row lies in [0, 1] and sums to 1, and go through softmax (one column: the logistic function) where the output is
    named logits or a score lies outside [0, 1]. An output of labels, where there is one, decides the class; else the largest score does.
    Raises ProviderError (MLO1310) where the outputs do not fit the classes, naming both.
    """
    extra = [item for item in order if numbers_of([item], known)[0] < 0]
    classes = (*known, *extra)
    name, raw = _score_output(outputs, len(order), count)
    labels = [key for key, array in outputs.items() if array.dtype.kind in "iubU" and array.size == count]
    if raw is None and not labels:
        labels = [key for key, array in outputs.items() if array.size == count and _are_labels(array, order)]
    if raw is None and len(labels) != 1:
        shapes = ", ".join(f"'{key}' {list(array.shape)}" for key, array in outputs.items())
        raise _unclear(f"it has the outputs {shapes} for {count} rows of {len(order)} classes")
    scores, kind, why = _probabilities(name, raw) if raw is not None else (None, "labels", "it gives labels only")
    full = _spread(scores, order, classes, 0.0)
    ranked = full if full is not None else _spread(raw, order, classes, -np.inf)
    if len(labels) == 1:
        guess = _labels(outputs[labels[0]], order, classes)
    else:
        assert ranked is not None  # noqa: S101 — without labels there are scores, see above
        guess = ranked.argmax(axis=1)
    broken = np.isnan(ranked).any(axis=1) if ranked is not None else np.zeros(count, dtype=bool)
    guess = np.where(broken, -1, guess)
    return Classes(guess, full, classes, kind, int((guess < 0).sum()), why)


def _score_output(outputs: Mapping[str, Array], classes: int, count: int) -> tuple[str, Array | None]:
    """The float output with one column a class, or one column where there are two classes."""
    found: dict[str, Array] = {}
    for key, array in outputs.items():
        if array.dtype.kind != "f" or not count:
            continue
        flat = array.reshape(count, -1)
        if flat.shape[1] == classes or (flat.shape[1] == 1 and classes == 2):
            found[key] = flat.astype(np.float64)
    if len(found) > 1:
        for word in ("prob", "softmax", "logit", "score"):
            named = [key for key in found if word in key.lower()]
            if len(named) == 1:
                return named[0], found[named[0]]
        raise _unclear(f"its outputs {', '.join(found)} could all be the scores")
    return next(iter(found.items()), ("", None))


def _are_labels(array: Array, order: Sequence[Any]) -> bool:
    return array.dtype.kind == "f" and bool((numbers_of(array.reshape(-1), order) >= 0).all())


def _probabilities(name: str, raw: Array) -> tuple[Array | None, str, str]:
    """Scores as probabilities [rows, K], what they were, and why there are none."""
    sound = raw[np.isfinite(raw).all(axis=1)]
    inside = bool(((sound >= 0) & (sound <= 1 + 1e-6)).all())
    if raw.shape[1] == 1:
        if "logit" in name.lower() or not inside:
            with np.errstate(over="ignore"):
                return _two(1 / (1 + np.exp(-raw))), "logits", ""
        return _two(np.clip(raw, 0, 1)), "probabilities", ""
    if "logit" in name.lower() or not inside:
        with np.errstate(invalid="ignore"):
            power = np.exp(raw - raw.max(axis=1, keepdims=True))
            return power / power.sum(axis=1, keepdims=True), "logits", ""
    if not (np.abs(sound.sum(axis=1) - 1) <= _SUM_TOLERANCE).all():
        return (
            None,
            "scores",
            f"its output '{name}' lies in [0, 1] but does not sum to 1: neither probabilities nor logits",
        )
    return raw / raw.sum(axis=1, keepdims=True), "probabilities", ""


def _two(second: Array) -> Array:
    return np.concatenate([1 - second, second], axis=1)


def _spread(scores: Array | None, order: Sequence[Any], classes: Sequence[Any], absent: float) -> Array | None:
    """Columns in the order of ``classes``; a class that the model does not know gets the score ``absent``."""
    if scores is None:
        return None
    found = np.full((len(scores), len(classes)), absent)
    found[:, numbers_of(list(order), classes)] = scores
    return found


def _labels(array: Array, order: Sequence[Any], classes: Sequence[Any]) -> Array:
    """Labels as class numbers; whole numbers that are no labels themselves are places in the model's order."""
    values = array.reshape(-1)
    found = numbers_of(values, classes)
    if len(values) and (found < 0).all():
        if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < len(order):
            return numbers_of(np.asarray(order)[values], classes)
        shown = ", ".join(str(item) for item in np.unique(values)[:5])
        raise _unclear(f"it answers {shown}; the classes are {', '.join(str(item) for item in classes[:8])}")
    return found


def values_of(outputs: Mapping[str, Array], count: int) -> Array:
    """The number a model predicts for each row: its only output with one number a row [rows].

    Raises ProviderError (MLO1310) where there is none or several could be it.
    """
    found = {key: array for key, array in outputs.items() if array.dtype.kind in "fiub" and array.size == count}
    if len(found) != 1:
        shapes = ", ".join(f"'{key}' {list(array.shape)}" for key, array in outputs.items())
        raise _unclear(f"one number a row is wanted, it has the outputs {shapes} for {count} rows")
    return next(iter(found.values())).reshape(-1).astype(np.float64)


def program_outputs(answers: Sequence[Any]) -> dict[str, Array]:
    """The answers of a program as arrays: lists of numbers are ``scores``, texts and truths ``label``, numbers ``value``."""
    if all(isinstance(item, list) for item in answers) and len({len(item) for item in answers}) == 1:
        rows = [[_number(value) for value in item] for item in answers]
        return {"scores": np.array(rows, np.float64)}
    if all(isinstance(item, str) for item in answers):
        return {"label": np.array(answers, dtype=str)}
    if all(isinstance(item, int) and abs(item) < 2**63 for item in answers):
        return {"label": np.array(answers, dtype=np.int64)}
    return {"value": np.array([_number(item) for item in answers], np.float64)}


def _number(item: Any) -> float:
    if item is None:
        return float("nan")
    if isinstance(item, int | float):
        try:
            return float(item)
        except OverflowError:
            return float("inf")
    raise _unclear(
        f"one of its answers is {json.dumps(item)[:60]}; answers are all labels, all numbers or all lists of numbers"
    )


def _key(item: Any) -> Any:
    return item if isinstance(item, str) else float(item)


def _unclear(what: str) -> ProviderError:
    return ProviderError(
        f"the model's answers can not be read: {what}",
        hint="give the model one output with a score a class, one with the label, or one number a row; where its classes are not"
        ' those of the data in sorted order, write them into the model: metadata "classes" = JSON list',
        code="MLO1310",
    )
