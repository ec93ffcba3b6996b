"""Whether the rows that a step asks for are set aside by its dataset: known before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ManifestError
from ..registry import provider
from ..types import Need, Resource
from .findings import MOST


def check_views(resources: Sequence[Resource]) -> None:
    """Raises ManifestError for views that no split makes, all of them in the first.

    A plan sees what a dataset has only once it was made, and apply would fail after the model was trained.
    """
    have = {want.address: views for want in resources if (views := _views(want))}
    found = [
        _missing(want, need, have[need.address])
        for want in resources
        for need in want.needs
        if need.address in have and need.output not in have[need.address]
    ]
    if found:
        found[0].others = tuple(found[1:MOST])
        raise found[0]


def _views(want: Resource) -> Sequence[str]:
    """What a dataset will be made of, () where only its program knows."""
    own: Callable[[Any], Sequence[str]] | None = getattr(provider(want.provider), "outputs", None)
    return own(want.spec) if own else ()


def _missing(want: Resource, need: Need, views: Sequence[str]) -> ManifestError:
    split = "{test: 0.2, val: 0.1}" if need.output == "val" else "{test: 0.2}"
    # An artifact may be compared with its model on any rows; what judges a model keeps away from its training.
    other = f", or write view: all at {want.address}" if want.address.section == "targets" else ""
    return ManifestError(
        f"{want.address} needs the view '{need.output}' of {need.address}, which has {', '.join(views)}",
        hint=f"set rows aside at {need.address}: split: {split}{other}",
        where=want.where,
        code="MLO3039",
    )
