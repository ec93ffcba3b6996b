"""Which datasets a model has seen rows of; read off the manifest's specs alone."""

from __future__ import annotations

import sys

from ...errors import ManifestError
from ...provider import Specs
from ...types import Address


def seen_by(model: Address, specs: Specs) -> frozenset[Address]:
    """Every dataset that the model's training step, or one it builds on, is given a view of."""
    data: set[Address] = set()
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
                data.add(need.address)
            elif need.address.section == "train":
                waiting.append(need.address)
    return frozenset(data)


def refuse_seen_rows(model: Address, data: Address, view: str, specs: Specs) -> None:
    """Raises ManifestError where the view holds rows that the model was trained on: a figure from there says nothing."""
    if view == "all" and data in seen_by(model, specs):
        raise ManifestError(
            f"view: all of {data} holds the rows that {model} was trained on",
            hint="measure on view: test, or on a dataset that no training step is given",
            code="MLO1319",
        )
