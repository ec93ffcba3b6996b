"""What an apply signs about names: new ones first, those that are managed no more last."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from ..audit.called import SHARED
from ..provider import Context, Deployment
from ..registry import provider
from ..selection import is_named
from ..swap import swapping
from ..types import Action, Plan, Resource
from ..workshop import Event
from .announced import is_shared
from .project import Project
from .workshop import ProjectWorkshop


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
