"""Which rows a training step is given: to learn from, and to choose by. Rows for testing are neither."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ...adapters.lineage import gates_of_data
from ...errors import ManifestError
from ...provider import Inputs, Specs
from ...types import GUARD, Address, Need


def only_to_choose_by(name: str, validation: str | Sequence[str], specs: Specs) -> bool:
    """Whether ``validation:`` names a dataset all of whose rows are to choose by: a command that names it, too, means that."""
    named = name == validation if isinstance(validation, str) else name in validation
    return named and _views(specs.get("data", {}).get(name)) == ("train",)


def materials(inputs: Inputs) -> Inputs:
    """The inputs that a model is made of: gates on them say whether, not from what."""
    return tuple(item for item in inputs if item.role != GUARD)


def views_of(trained: Sequence[str], validation: str | Sequence[str], specs: Specs) -> list[Need]:
    """The views of the datasets it trains on, with those of ``validation:``; by default of the same datasets.

    As guards the gates on these datasets. Raises ManifestError for a dataset that is for testing, and for one that has
    nothing to choose by.
    """
    known = specs.get("data", {})
    chosen = [validation] if isinstance(validation, str) else list(validation)
    wanted = [] if chosen == [""] else chosen
    found = []
    for name in trained:
        address = Address.of("data", name)
        if _views(known.get(name)) == ("test",):
            raise _for_testing(address)
        found.append(Need("data", address, "train"))
        if chosen == [""] and "val" in _views(known.get(name)):
            found.append(Need("validation", address, "val"))
    found += [_validation(name, trained, specs) for name in dict.fromkeys(wanted)]
    before = gates_of_data((need.address for need in found), specs)
    return found + [Need(GUARD, gate) for gate in before]


def _validation(name: str, trained: Sequence[str], specs: Specs) -> Need:
    """The rows of a dataset that a step may choose by: its validation view, or all where none are set aside."""
    address, views = Address.of("data", name), _views(specs.get("data", {}).get(name))
    if views == ("test",):
        raise _for_testing(address)
    if "val" in views or not views:  # a name that nobody declares is reported as such
        return Need("validation", address, "val")
    if views != ("train",):
        raise ManifestError(
            f"validation: names {address}, which has no validation view: it has {' and '.join(views)}",
            hint="write split: {val: 0.1} there, or split: none where all of its rows are to choose by",
            code="MLO1250",
        )
    if name in trained:
        raise ManifestError(
            f"validation: names {address}, all rows of which are trained on",
            hint="write split: {test: 0.2, val: 0.1} there, or name another dataset",
            code="MLO1250",
        )
    return Need("validation", address, "train")


def _views(spec: Any) -> tuple[str, ...]:
    """The views that a dataset has beside all, as its own provider says; none where nobody declares it."""
    # A Spec lives in its provider's module, which is loaded, or the Spec would not exist.
    rule_of = getattr(sys.modules[type(spec).__module__], "rule_of", None)
    return tuple(rule_of(spec.split, spec.label).views) if rule_of else ()


def _for_testing(address: Address) -> ManifestError:
    return ManifestError(
        f"{address} is for testing, all of it: a training step that is given it leaves nothing to judge its model by",
        hint="share its rows out, split: {test: 0.2, val: 0.1}, or name another dataset",
        code="MLO1251",
    )
