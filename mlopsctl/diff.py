"""What changed between two revisions, in terms of machine learning. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .canonical import plain
from .plan import Assessment
from .provider import changes_since, result_fields
from .types import Address, Change, Json, Observed, TreeFile


class Figure(NamedTuple):
    """One measurement of a gate, and what it is worth by the bars of its own revision."""

    value: float
    ci: tuple[float, float] | None
    n: int | None
    bar: str
    status: str


class Measured(NamedTuple):
    """A gate's or an artifact's figures side by side; None where the trail has none."""

    metric: str
    view: str
    old: Figure | None
    new: Figure | None

    @property
    def overlap(self) -> bool | None:
        """Whether the intervals have a value in common: then no side is shown to be better. None without both."""
        if self.old is None or self.new is None or self.old.ci is None or self.new.ci is None:
            return None
        return self.old.ci[0] <= self.new.ci[1] and self.new.ci[0] <= self.old.ci[1]


class DataChange(NamedTuple):
    """What the rows or files of a dataset have become; None where the bytes of both sides are not at hand."""

    rows_added: int | None = None
    rows_removed: int | None = None
    rows_changed: int | None = None
    """Rows that keep their ``key:`` and differ elsewhere; None for rows without a key."""
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    files_added: tuple[str, ...] = ()
    files_removed: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    """Bytes on both sides."""


class Lines(NamedTuple):
    """Lines of a file that are new, and lines that are gone."""

    added: int
    removed: int


_NO_NAMES: Mapping[Address, Address] = {}
_NOTHING: Mapping[Address, tuple[str, ...]] = {}


@dataclass(frozen=True)
class Difference:
    """One resource that is ``added``, ``removed``, ``renamed`` or ``changed``; figures are those the trail has for each side."""

    address: Address
    kind: str
    changes: tuple[Change, ...] = ()
    files: tuple[Change, ...] = ()
    figures: tuple[Change, ...] = ()
    measured: tuple[Measured, ...] = ()
    notes: tuple[str, ...] = ()
    data: DataChange | None = None
    lines: Mapping[str, Lines] = dataclasses.field(default_factory=dict)
    weakens: tuple[str, ...] = ()
    """Of a deployment: controls that the old side has and the new one loosens."""
    previously: str = ""
    """The old name of a resource that ``moved:`` renames."""


def compare(
    old: Sequence[Assessment],
    new: Sequence[Assessment],
    moved: Mapping[Address, Address] = _NO_NAMES,
    weakens: Mapping[Address, tuple[str, ...]] = _NOTHING,
) -> tuple[Difference, ...]:
    """The differences: loosened controls first, then in the order of the new side, removed ones last.

    ``moved`` gives new names their old ones, ``weakens`` a deployment the controls that the new side loosens.
    """
    before = {one.step.address: one for one in old}
    after = {one.step.address: one for one in new}
    names = {new_name: name for new_name, name in moved.items() if name in before and new_name not in before}
    found = []
    for address, one in after.items():
        if address in names:
            name = names[address]
            renamed = _compare_one(before[name], one) or Difference(address, "renamed")
            found.append(dataclasses.replace(renamed, previously=str(name)))
            continue
        if address not in before:
            measured = _measured(None, one)
            found.append(
                Difference(address, "added", figures=_figures(None, one), measured=measured, notes=_notes(one))
            )
            continue
        difference = _compare_one(before[address], one)
        if difference is not None:
            found.append(difference)
    found += [
        Difference(address, "removed", measured=_measured(one, None))
        for address, one in before.items()
        if address not in after and address not in names.values()
    ]
    found = [dataclasses.replace(one, weakens=weakens.get(one.address, ())) for one in found]
    listed = {one.address for one in found}
    found += [
        Difference(address, "changed", weakens=said) for address, said in weakens.items() if address not in listed
    ]
    return tuple(sorted(found, key=lambda one: not one.weakens))


def _compare_one(old: Assessment, new: Assessment) -> Difference | None:
    known = old.parts is not None and new.parts is not None
    parts = changes_since(_parts(old, known), _parts(new, known))
    changes = tuple(change for change in parts if change.field != "code")
    changes += _settings(old.spec, new.spec)
    files = _files(old.sources, new.sources)
    if not changes and not files:
        return None
    by_key = tuple(one for change in changes for one in _by_key(change))
    figures, measured = _figures(old, new), _measured(old, new)
    notes = (*_not_made(old, new), *_notes(new))
    return Difference(new.step.address, "changed", by_key, files, figures, measured, notes)


def _by_key(change: Change) -> Iterator[Change]:
    """A mapping that differs as the keys of it that do: ``params.lr``."""
    old, new = change.old, change.new
    if not isinstance(old, dict) or not isinstance(new, dict) or "float" in old or "float" in new:
        yield change
        return
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield from _by_key(Change(f"{change.field}.{key}", old.get(key), new.get(key)))


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


_FIGURES = ("rows", "column_count", "agreement", "max_abs_diff", "size", "proof", "runtime", "figures")


def _figures(old: Assessment | None, new: Assessment) -> tuple[Change, ...]:
    """What the trail says of datasets and artifacts: rows, size, agreement with the model, a target's own figures."""
    if new.step.address.section not in ("data", "train", "targets"):
        return ()
    if old is not None and (old.seen is None or new.seen is None):
        return ()
    before, after = _facts(old.seen if old else None), _facts(new.seen)
    changes = (Change(name, before.get(name), after.get(name)) for name in _FIGURES if name in before or name in after)
    return tuple(one for change in changes if change.old != change.new for one in _by_key(change))


def _facts(seen: Observed | None) -> Mapping[str, Json]:
    return seen.facts if seen else {}


def _measured(old: Assessment | None, new: Assessment | None) -> tuple[Measured, ...]:
    either = new or old
    if either is None or either.step.address.section not in ("gates", "targets"):
        return ()
    before, after = (_figure(old) if old else None), (_figure(new) if new else None)
    if before is None and after is None:
        return ()
    facts = _facts(new.seen if new and after else old.seen if old else None)
    metric = facts.get("metric") or (facts.get("metrics") or {}).get("metric") or "value"
    return (Measured(str(metric), str(facts.get("view", "")), before, after),)


def _figure(one: Assessment) -> Figure | None:
    facts = _facts(one.seen)
    # What a gate measured, or a target of its artifact when it was compared with the model.
    found = facts if one.step.address.section == "gates" else (facts.get("metrics") or {}).get("artifact") or {}
    if "value" not in found:
        return None
    interval = found.get("ci")
    ci = (float(interval[0]), float(interval[1])) if interval else None
    least, most = getattr(one.spec, "min", None), getattr(one.spec, "max", None)
    bars = ([f">= {least:g}"] if least is not None else []) + ([f"<= {most:g}"] if most is not None else [])
    status = one.step.verdict.status.value if one.step.verdict else ""
    return Figure(float(found["value"]), ci, facts.get("n"), " and ".join(bars), status)


def _not_made(old: Assessment, new: Assessment) -> tuple[str, ...]:
    """Why nothing measured stands beside a change."""
    if new.step.address.section not in ("data", "train", "targets") or (old.seen is None) == (new.seen is None):
        return ()
    return (f"the trail has no result of the {'old' if old.seen is None else 'new'} side yet",)


def _notes(one: Assessment) -> tuple[str, ...]:
    """Of a deployment: what runs now, whatever the revisions say, and who holds it."""
    if one.step.address.section != "deployments":
        return ()
    facts = _facts(one.seen)
    notes = []
    if one.seen is not None and "artifact" in facts:
        where = f" at {facts['endpoint']}" if facts.get("endpoint") else ""
        notes.append(f"now runs artifact {str(facts['artifact'])[:20]}{where} since {one.seen.at}")
    return (*notes, *([f"held: {one.step.held_by}"] if one.step.held_by else []))
