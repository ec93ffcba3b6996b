"""Which rows a model was given when it was made; read off the manifest's specs alone.

What two datasets share is known here where they are read from the same place: a row's side is a point on a line
(ADR 0009), so that two views share rows where their parts of the line do. Copies are found when a gate measures.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from ...canonical import canonical, plain
from ...errors import ManifestError
from ...provider import Specs
from ...types import Address, Need


def seen_by(model: Address, specs: Specs) -> Iterator[Need]:
    """Every view of a dataset that the model's training step, or one it builds on, is given."""
    done: set[Address] = set()
    waiting = [model]
    while waiting:
        step = waiting.pop()
        spec = specs.get(step.section, {}).get(step.bare)
        if spec is None or step in done:
            continue
        done.add(step)
        # A Spec lives in its provider's module, which is loaded, or the Spec would not exist.
        for need in sys.modules[type(spec).__module__].needs(spec, specs):
            if need.address.section == "data":
                yield need
            elif need.address.section == "train":
                waiting.append(need.address)


def refuse_seen_rows(model: Address, data: Address, view: str, specs: Specs) -> None:
    """Raises ManifestError where the view holds rows that the model was made with: a figure from there says nothing.

    What a dataset's own validation view may show is said by ``chosen_by``.
    """
    for need in seen_by(model, specs):
        if _shared(need, data, view, specs) and not (need.role == "validation" and need.address == data):
            other = f"; {need.address}, of which it is given rows, is read from the same place"
            how = "chosen by" if need.role == "validation" else "trained on"
            raise ManifestError(
                f"view: {view} of {data} holds the rows that {model} was {how}{other if need.address != data else ''}",
                hint="measure on view: test, or on a dataset that no training step is given",
                code="MLO1319",
            )


def chosen_by(model: Address, data: Address, view: str, specs: Specs) -> bool:
    """Whether the view holds rows that the model's training was given to choose by, beside those that it learnt from."""
    given = (need for need in seen_by(model, specs) if need.role == "validation" and need.address == data)
    return any(_shared(need, data, view, specs) for need in given)


def _shared(need: Need, data: Address, view: str, specs: Specs) -> bool:
    """Whether a view that was given to training shares rows with the view of a dataset, as far as specs can say."""
    given, asked = (specs.get("data", {}).get(address.bare) for address in (need.address, data))
    if given is None or asked is None:
        return False
    if need.address != data:
        if not one_place(place_of(given), place_of(asked)):
            return False
        ours, theirs = _rule(given), _rule(asked)
        whole = not (ours.test and theirs.test)
        if not whole and (ours.column, ours.seed) != (theirs.column, theirs.seed):
            return True
    (low, high), (least, most) = _part(_rule(given), need.output), _part(_rule(asked), view)
    return max(low, least) < min(high, most)


def _rule(spec: Any) -> Any:
    """How the dataset's rows are shared out, as its own provider says."""
    return sys.modules[type(spec).__module__].rule_of(spec.split, spec.label)


def _part(rule: Any, view: str) -> tuple[float, float]:
    """The part of the line from 0 to 1 whose points are the view's rows; an empty one where there is no such view."""
    if view == "all" or not rule.test:
        return (0.0, 1.0) if view in ("all", rule.whole) else (0.0, 0.0)
    ends = {"test": (0.0, rule.test), "val": (rule.test, rule.test + rule.val), "train": (rule.test + rule.val, 1.0)}
    return ends[view]


def place_of(spec: Any) -> str:
    """Where a dataset's rows come from: a path, or the program that makes them and all that it is told."""
    if not hasattr(spec, "program"):
        return str(spec.path)
    return canonical([spec.digest, list(spec.args), plain(spec.params)]).decode()


def one_place(one: str, other: str) -> bool:
    """Whether two places are one, or one lies in the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
