"""An artifact beside its model: one metric of both on the same rows, and by how much the artifact is worse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np  # noqa: TID253 — imported only when something is measured

from ..errors import ProviderError
from ..types import Json
from .compare import UNFIT, compare
from .measure import Answers, Question, measure
from .metrics import Array

CONFIDENCE = 0.95
_KEPT = ("value", "ci", "method", "reason", "correct", "invalid")


def beside(
    labels: Array, original: Answers, artifact: Answers, data_facts: Mapping[str, Json], groups: Array | None = None
) -> dict[str, Json]:
    """``metric``, ``n`` and ``confidence``; ``original`` and ``artifact`` with ``value`` and ``ci``; ``drop`` of the two.

    The metric is the accuracy where the label is a class, else r2, so that a drop is a share in both cases. The interval of
    the drop knows that the rows are the same. ``labels`` and ``groups`` are those of ``measure``. Where the answers are no
    predictions of the label there is no ``metric`` but a ``reason``.
    """
    question = Question("accuracy" if data_facts.get("classes") else "r2", CONFIDENCE)
    try:
        before, _ = measure(question, labels, original, data_facts, groups)
        after, _ = measure(question, labels, artifact, data_facts, groups)
        keep = np.ones(len(labels), dtype=bool)
        between = compare(question, labels, artifact, original, keep, data_facts, groups)
    except ProviderError as error:
        if error.code not in UNFIT:
            raise
        return nothing(f"the model's outputs are no predictions of the label ({error.code})")
    return {
        "metric": question.metric,
        "n": len(labels),
        "confidence": before["confidence"],
        "original": _kept(before),
        "artifact": _kept(after),
        "drop": between["drop"],
    }


def nothing(reason: str) -> dict[str, Json]:
    """What stands in the place of a metric where there is none."""
    return {"metric": None, "reason": reason}


def _kept(found: Mapping[str, Json]) -> dict[str, Json]:
    return {key: found[key] for key in _KEPT if key in found}
