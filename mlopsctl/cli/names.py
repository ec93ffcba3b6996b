"""The names that a resource had: by ``moved:`` of the manifest, and by what was signed when that was applied."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..audit.called import ENTRIES, SHARED
from ..provider import Context, Deployment, provider
from ..selection import is_named
from ..swap import swapping
from ..types import Action, Address, Entry, Plan, Resource
from ..workshop import Event
from .announced import is_shared
from .project import Project

if TYPE_CHECKING:
    from .workshop import ProjectWorkshop

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


def record_moves(made: Plan, project: Project, workshop: ProjectWorkshop) -> Iterator[Event]:
    """Signs the new names first, so that everything after finds history under them.

    What runs gets its name before that is signed: whoever is interrupted in between signs it the next time.
    """
    wanted = {} if made.selection.trial else {want.address: want for want in project.resources}
    for step in made.steps:
        if step.action is Action.DELETE or step.address not in wanted:
            continue
        old = workshop.world.moved_from(step.address)
        if old is None:
            continue
        want, facts = wanted[step.address], {"from": str(old)}
        if want.address.section != "deployments":
            yield from _signed("move", want, Action.MOVE, facts, f"was {old}", workshop)
        elif not (step.blocked_by or step.waits_for):
            module = cast(Deployment, provider(want.provider))
            if not is_shared(want.provider):
                facts["location"] = module.move(old, want.address, project.context())
                yield from _signed("move", want, Action.MOVE, facts, f"was {old}", workshop)
                continue
            workshop.look_around(want)
            if workshop.world.moved_from(want.address) == old:  # somebody else may have signed it by now
                over = is_named(want.address, made.selection.replaced)
                with _as_it_was(want, project, workshop, over=over) as context:
                    facts |= {"location": module.move(old, want.address, context), "scope": SHARED}
                    yield from _signed("move", want, Action.MOVE, facts, f"was {old}", workshop)


@contextmanager
def _as_it_was(want: Resource, project: Project, workshop: ProjectWorkshop, *, over: bool) -> Iterator[Context]:
    """Around the new name of a shared deployment: its place runs what was seen. Raises StaleError.

    Nothing at the place changes after the signature, so that this is its own announcement.
    """
    context = project.context()
    seen = workshop.world.read(want, None)
    place = str(seen.facts.get("location") or "") if seen is not None else ""
    # Where the manifest names another place by now, that one was never deployed to: the old one is asked, by its entry.
    there = want if place == want.spec.to else want._replace(spec=None)
    with (
        tempfile.TemporaryDirectory(prefix="mlopsctl-") as scratch,
        swapping(there, seen, context._replace(scratch=Path(scratch), over=over)) as alone,
    ):
        yield alone


def record_forgotten(made: Plan, before: Sequence[Event], workshop: ProjectWorkshop) -> Iterator[Event]:
    """Signs last, and where nothing failed, what is managed no more: results stay, the name is free."""
    for step in made.steps:
        if step.action is Action.FORGET and not any(event.event in ("fail", "stale") for event in before):
            want = Resource(step.address, step.provider, None)
            facts = {"reason": "no longer in the manifest"}
            yield from _signed("forget", want, Action.FORGET, facts, step.reason.text, workshop)


def _signed(
    kind: str, want: Resource, action: Action, facts: dict[str, str], text: str, workshop: ProjectWorkshop
) -> Iterator[Event]:
    yield Event("start", str(want.address), action.name, text)
    entry = workshop.record(kind, want, status="done", facts=facts).entry
    yield Event("done", str(want.address), action.name, entry=entry)
