"""The names that a resource had: by ``moved:`` of the manifest, and by what was signed when that was applied."""

from __future__ import annotations

from collections.abc import Sequence

from ..audit.called import ENTRIES
from ..types import Address, Entry, Resource
from .project import Project

_LIVES = "'result', 'destroy', 'move', 'import'"


def names_of(project: Project, address: Address) -> list[Address]:
    """The address and those that it had before, newest first."""
    if address.section == "deployments":
        return project.names(address)
    found = [address]
    while (old := old_name(project, found[-1])) is not None and old not in found:
        found.append(old)
    return found


def old_name(project: Project, address: Address) -> Address | None:
    """What the resource was called before."""
    declared = project.manifest.moved.get(address)
    if declared is not None:
        return declared
    entry = project.trail.latest(address, ("move",))
    return Address.parse(str(entry.facts["from"])) if entry else None


def unrecorded(project: Project, address: Address) -> Address | None:
    """The old name that ``moved:`` says, as long as no entry says it and there is something under it."""
    old = project.manifest.moved.get(address)
    if old is None or project.trail.latest(old, ("result", "failure")) is None:
        return None
    entry = project.trail.latest(address, ("move",))
    return None if entry is not None and entry.facts.get("from") == str(old) else old


def renamed_deployment(project: Project, want: Resource, here: str | None) -> Address | None:
    """The old name under which a deployment still lives ``here``, where nobody has signed yet that it moved.

    With None it is everybody's, and one signature is enough for all.
    """
    trail = project.trail
    moves = [one for one in trail.select(ENTRIES) if one.kind == "move" and here in (None, one.location)]
    for old in trail.names(want.address)[1:]:
        found = trail.select(f"address = ? AND kind IN ({_LIVES}) ORDER BY seq DESC, id DESC", (old,))
        last = next((one for one in found if here in (None, one.location)), None)
        if last is None or last.kind == "destroy" or last.ingredients.get("provider", want.provider) != want.provider:
            continue
        if not any(one.facts.get("from") == old and one.seq > last.seq for one in moves):
            return Address.parse(old)
    return None


def forgettable(project: Project, declared: frozenset[Address]) -> list[Entry]:
    """The last results of what HEAD once declared and declares no more, deployments aside."""
    ruled = declared | set(project.manifest.moved.values())
    trail = project.trail
    left: list[Entry] = []
    for name in trail.addresses():
        if name.startswith("deployments.") or "." not in name or Address.parse(name) in ruled:
            continue
        last = trail.latest(name, ("result", "forget", "move"))
        if last is not None and last.kind == "result":
            left.append(last)
    moves = trail.entries(kinds=("move",)) if left else []
    left = [last for last in left if not _moved_on(last, moves)]
    here = project.repo.ancestors({last.commit for last in left} - {""})
    return [last for last in left if last.commit in here]


def _moved_on(last: Entry, moves: Sequence[Entry]) -> bool:
    """Whether an entry after the last result says that the resource has another name."""
    return any(entry.facts.get("from") == last.address and entry.seq > last.seq for entry in moves)
