"""``mlopsctl rollback``: goes back to an artifact that was deployed before, and stays there until ``resume``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import MlopsError
from ..registry import provider
from ..types import Entry, Resource
from . import console
from .project import Project
from .switch import Offline, deploy, hold, inputs_to, refuse_blocked, say, shared, switching
from .withdrawn import last_good


def rollback(
    deployment: Annotated[str, typer.Argument(help="A deployment, for example local.")],
    to: Annotated[str, typer.Option("--to", metavar="ENTRY", help="The deployment's entry to go back to.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail and for plan.")] = "",
    offline: Offline = False,
) -> int:
    """Deploy the artifact that ran before, or the one of --to, and hold it there: apply changes nothing until resume.

    The artifact's signature is verified again, and its measurements are judged by the bars of today's manifest; of a
    protected deployment also by those that were approved, where the manifest loosens them.

    Examples:

      mlopsctl rollback local --reason RISK-114

      mlopsctl rollback local --to 3f9a1c
    """
    with switching(deployment, "rollback", offline=offline) as (want, workshop):
        entry = earlier(workshop.project, want, to)
        inputs, unmeasured = inputs_to(workshop, want, entry)
        refuse_blocked(workshop, want, inputs)
        observed = deploy(
            workshop,
            want,
            inputs,
            lambda: hold(workshop, "rollback", want, entry, reason, unmeasured=unmeasured),
        )
    say(want, entry, observed, unmeasured, "runs again")
    console.note(f"it stays there until: mlopsctl resume {want.address.typed}")
    return shared(workshop.project, want, offline=offline)


def earlier(project: Project, want: Resource, to: str) -> Entry:
    """The deployment's entry to go back to. Raises MlopsError where there is none."""
    if to:
        entry = project.trail.find(to)
        if entry.kind != "result" or entry.address not in project.trail.names(want.address):
            raise MlopsError(
                f"entry {entry.id[:12]} is no deployment of {want.address}",
                hint=f"mlopsctl show {want.address} --history lists them",
                code="MLO1536",
            )
        return entry
    seen = provider(want.provider).read(want, None, project.context())
    before = last_good(project.trail, want.address, seen) if seen else None
    if before is None:
        raise MlopsError(
            f"{want.address} ran no other artifact before",
            hint=f"mlopsctl show {want.address} --history lists what ran; --to ENTRY names one",
            code="MLO1537",
        )
    return before
