"""What changed between two revisions, in terms of machine learning. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .canonical import plain
from .plan import Assessment
from .provider import changes_since, result_fields
from .types import Address, Change, Json, Observed, TreeFile


@dataclass(frozen=True)
class Difference:
    """One resource that is ``added``, ``removed`` or ``changed``; figures are those the trail has for each side."""

    address: Address
    kind: str
    changes: tuple[Change, ...] = ()
    files: tuple[Change, ...] = ()
    figures: tuple[Change, ...] = ()


def compare(old: Sequence[Assessment], new: Sequence[Assessment]) -> tuple[Difference, ...]:
    """The differences in the order of the new side, removed ones last."""
    before = {one.step.address: one for one in old}
    after = {one.step.address: one for one in new}
    found = []
    for address, one in after.items():
        if address not in before:
            found.append(Difference(address, "added", figures=_figures(None, one.seen)))
            continue
        difference = _compare_one(before[address], one)
        if difference is not None:
            found.append(difference)
    found += [Difference(address, "removed") for address in before if address not in after]
    return tuple(found)


def _compare_one(old: Assessment, new: Assessment) -> Difference | None:
    known = old.parts is not None and new.parts is not None
    parts = changes_since(_parts(old, known), _parts(new, known))
    changes = tuple(change for change in parts if change.field != "code")
    changes += _settings(old.spec, new.spec)
    files = _files(old.sources, new.sources)
    if not changes and not files:
        return None
    return Difference(new.step.address, "changed", changes, files, _figures(old.seen, new.seen))


def _settings(old: Any, new: Any) -> tuple[Change, ...]:
    """Bars, limits and places: what makes no other result, and still is a change that a reviewer has to see."""
    if type(old) is not type(new):
        return ()
    names = [item.name for item in dataclasses.fields(new) if item.metadata.get("kind") in ("policy", "run")]
    pairs = [(name, _setting(getattr(old, name)), _setting(getattr(new, name))) for name in names]
    return tuple(Change(name.rstrip("_"), before, after) for name, before, after in pairs if before != after)


def _setting(value: Any) -> Json:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {name: item for name, item in dataclasses.asdict(value).items() if item is not None}
    return plain(value)


def _parts(one: Assessment, known: bool) -> Mapping[str, Json]:
    """The ingredients; where an input of either side is unknown, those that the manifest alone gives."""
    if known and one.parts is not None:
        return one.parts
    return {"provider": one.step.provider, "spec": result_fields(one.spec)}


def _files(old: Mapping[str, TreeFile], new: Mapping[str, TreeFile]) -> tuple[Change, ...]:
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return tuple(
        Change(name, old[name].oid if name in old else None, new[name].oid if name in new else None) for name in names
    )


_FIGURES = ("rows", "columns", "value", "ci", "n", "agreement", "max_abs_diff", "size", "proof", "endpoint")


def _figures(old: Observed | None, new: Observed | None) -> tuple[Change, ...]:
    before, after = (old.facts if old else {}), (new.facts if new else {})
    return tuple(
        Change(name, before.get(name), after.get(name))
        for name in _FIGURES
        if (name in before or name in after) and before.get(name) != after.get(name)
    )
