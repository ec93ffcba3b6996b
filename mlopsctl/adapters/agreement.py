"""How well two runs of one model on the same rows agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Agreement:
    """``share`` of the ``n`` rows on which both decide alike, the largest difference of any number in any output, and the
    same divided by max(1, |original|); ``p99_scaled_diff`` is what the largest of that is on 99 % of the rows.

    No bar has a part in it, so that a bar can move without another comparison.
    """

    n: int
    share: float
    max_abs_diff: float
    max_scaled_diff: float
    p99_scaled_diff: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether nothing differs at all."""
        return self.share == 1 and self.max_abs_diff == 0


def compare(original: Arrays, other: Arrays, *, classes: int) -> Agreement:
    """Compares all outputs, row by row; the first axis of every array is the row.

    Both decide alike where every decision of the row is the same: text and whole numbers are equal, scores of ``classes``
    classes have their largest value at the same place (a single score of two classes lies on the same side). Other
    numbers are no decisions: they have their differences alone. NaN equals NaN only. ``classes`` is 0 for a model that
    predicts no classes. Raises ProviderError where names or shapes differ.
    """
    import numpy as np

    if set(original) != set(other):
        raise _different("outputs", sorted(original), sorted(other))
    rows = {len(array) for array in original.values()}
    if len(rows) != 1:
        raise _different("numbers of rows among the outputs", sorted(rows), "one number for all")
    n = rows.pop()
    same = np.ones(n, dtype=bool)
    largest = 0.0
    scaled = np.zeros(n)
    for name, before in sorted(original.items()):
        after = other[name]
        if before.shape != after.shape:
            raise _different(f"shapes of output '{name}'", list(before.shape), list(after.shape))
        if before.dtype.kind != "f":
            same &= (before == after).reshape(n, -1).all(axis=1)
            continue
        difference = _difference(before.astype(np.float64), after.astype(np.float64))
        relative = difference / np.maximum(1.0, np.nan_to_num(np.abs(before.astype(np.float64)), posinf=1.0))
        largest = max(largest, float(difference.max(initial=0.0)))
        scaled = np.maximum(scaled, relative.reshape(n, -1).max(axis=1, initial=0.0))
        if classes >= 2 and before.ndim == 2 and before.shape[1] == classes:
            same &= before.argmax(axis=1) == after.argmax(axis=1)
        elif classes == 2 and before.size == n:
            # A single probability is cut at 1/2, a single logit at 0.
            cut = 0.5 if bool(np.all((before >= 0) & (before <= 1))) else 0.0
            same &= ((before > cut) == (after > cut)).reshape(n)
    most = float(np.sort(scaled)[math.ceil(0.99 * n) - 1]) if n else 0.0
    return Agreement(n, float(same.mean()) if n else 1.0, largest, float(scaled.max(initial=0.0)), most)


def _difference(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    with np.errstate(invalid="ignore"):
        found = np.abs(before - after)
    equal = (before == after) | (np.isnan(before) & np.isnan(after))
    result: np.ndarray[Any, Any] = np.where(equal, 0.0, np.where(np.isnan(found), np.inf, found))
    return result


def _different(what: str, before: object, after: object) -> ProviderError:
    return ProviderError(
        f"the artifact is not the model: different {what}: {before} became {after}",
        hint="the compiler changed the model's interface; use another target (use: onnxruntime) or report it to the"
        " compiler's authors",
        code="MLO1403",
    )
