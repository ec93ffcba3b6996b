"""All that a step is made from, as the last result had it and as it is now: what ``plan --why`` lists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .provider import Inputs, known_ingredients
from .types import GUARD, Change, Entry, Fact, Json, Resource, TreeFile


def facts(
    want: Resource,
    inputs: Inputs,
    sources: Mapping[str, TreeFile],
    before: Entry | None,
    changed_files: Sequence[Change],
    here: Mapping[str, str],
) -> tuple[Fact, ...]:
    """Every ingredient of a step, whether it changed or not.

    ``before`` is the last result, ``changed_files`` what differs from its code, and ``here`` the versions of tools that
    can be seen on this machine without asking a program; of those only what differs is told, and it never is a reason.
    """
    old = before.ingredients if before else {}
    new = known_ingredients(want, sources, inputs)
    found = [*_pairs("spec", old.get("spec"), new["spec"]), *_inputs(inputs, old.get("inputs") or {})]
    found += _pairs("read_with", old.get("read_with"), new.get("read_with"))
    found += _files(sources, str(old.get("tree", "")), str(new.get("tree", "")), changed_files)
    found += [Fact("provider", key, old.get(key), new[key]) for key in ("provider", "version")]
    made_with = before.made_with if before else {}
    found += [
        Fact("made_with", name, made_with[name], here[name])
        for name in sorted({*made_with} & {*here})
        if made_with[name] != here[name]
    ]
    return tuple(found)


def _pairs(kind: str, old: Mapping[str, Json] | None, new: Mapping[str, Json] | None) -> list[Fact]:
    old, new = old or {}, new or {}
    return [Fact(kind, name, old.get(name), new.get(name)) for name in sorted({*old, *new})]


def _inputs(inputs: Inputs, old: Mapping[str, Sequence[Json]]) -> Iterator[Fact]:
    """Each input by the name it has now; what it was before is found by its place among those of its role."""
    counted: dict[str, int] = {}
    for item in inputs:
        if item.role == GUARD:
            continue
        place = counted.get(item.role, 0)
        counted[item.role] = place + 1
        before = old.get(item.role, ())
        name = f"{item.role}: {item.need.output} of {item.need.address}"
        yield Fact("input", name, before[place] if place < len(before) else None, item.digest or {"unknown": True})
    for role, digests in old.items():
        for digest in digests[counted.get(role, 0) :]:
            yield Fact("input", role, digest, None)


def _files(sources: Mapping[str, TreeFile], old_tree: str, new_tree: str, changed: Sequence[Change]) -> Iterator[Fact]:
    """Each file that counts; the old one is unknown where the trail does not keep it (that of data)."""
    differs = {change.field: change for change in changed}
    kept = old_tree == new_tree or bool(differs)
    for name in sorted({*sources, *differs}):
        now = sources[name].oid if name in sources else None
        if name in differs:
            yield Fact("file", name, differs[name].old, now)
        else:
            yield Fact("file", name, now if kept and old_tree else None, now)
