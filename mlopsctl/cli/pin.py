"""``mlopsctl pin``, ``promote`` and ``unhold``: which artifact a deployment stays on, whatever the manifest says."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from ..errors import ApprovalError, MlopsError, StaleError, UsageError
from ..provider import Deployment, Inputs
from ..registry import provider
from ..soak import comes_after
from ..swap import swapping
from ..types import Entry, Resource, Verdict
from . import console
from .overrides import overrides
from .rollback import earlier
from .switch import Offline, barred, deploy, hold, inputs_to, refuse_blocked, say, shared, switching
from .workshop import ProjectWorkshop

_Reason = Annotated[str, typer.Option("--reason", help="Why, for the trail and for plan.")]
_Name = Annotated[str, typer.Argument(help="A deployment, for example local.")]


def pin(
    deployment: _Name,
    to: Annotated[
        str, typer.Option("--to", metavar="ENTRY", help="An earlier deployment to switch to and stay on.")
    ] = "",
    reason: _Reason = "",
    offline: Offline = False,
) -> int:
    """Stay on the artifact that runs now, or the one of --to, until unhold: apply deploys no other one.

    Examples:

      mlopsctl pin local --reason "the fair is on"

      mlopsctl pin local --to 3f9a1c
    """
    with switching(deployment, "pin", offline=offline) as (want, workshop):
        entry = earlier(workshop.project, want, to) if to else _running(workshop, want)
        inputs, unmeasured = inputs_to(workshop, want, entry)
        if to:
            refuse_blocked(workshop, want, inputs)

        def keep() -> None:
            hold(workshop, "pin", want, entry, reason, unmeasured=unmeasured)

        if to:
            say(want, entry, deploy(workshop, want, inputs, keep), unmeasured, "stays on")
        else:
            with swapping(want, workshop.world.read(want, None), workshop.project.context()):
                keep()
            console.out(f"{want.address}: stays on the artifact of entry {entry.id[:12]}")
    console.note(f"it stays there until: mlopsctl unhold {want.address.typed}")
    return shared(workshop.project, want, offline=offline)


def promote(
    deployment: _Name,
    source: Annotated[str, typer.Option("--from", metavar="DEPLOYMENT", help="Whose artifact is taken.")],
    reason: _Reason = "",
    offline: Offline = False,
) -> int:
    """Deploy the artifact that another deployment runs, and stay on it until unhold.

    It is judged like a rollback. A protected deployment takes nothing that nobody approved: name the artifact in the
    manifest there, so that plan shows the release and people can approve it.

    Examples:

      mlopsctl promote production --from staging
    """
    if deployment.removeprefix("deployments.") == source.removeprefix("deployments."):
        raise UsageError(
            f"a deployment cannot take over from itself: {deployment}",
            hint=f"to stay on what it runs: mlopsctl pin {deployment}; else --from another deployment",
            code="MLO6480",
        )
    with switching(deployment, "promote", offline=offline) as (want, workshop):
        other = workshop.project.resource(source)
        entry = _running(workshop, other)
        inputs, unmeasured = inputs_to(workshop, want, entry)
        _check(workshop, want, inputs)
        observed = deploy(
            workshop,
            want,
            inputs,
            lambda: hold(workshop, "promote", want, entry, reason, unmeasured=unmeasured),
        )
        say(want, entry, observed, unmeasured, f"runs, like {other.address},")
    console.note(f"it stays there until: mlopsctl unhold {want.address.typed}")
    return shared(workshop.project, want, offline=offline)


def unhold(deployment: _Name, reason: _Reason = "", offline: Offline = False) -> int:
    """Lift a pin, a promotion or a rollback: the next apply deploys what the manifest says.

    Examples:

      mlopsctl unhold local
    """
    with switching(deployment, "unhold", offline=offline) as (want, workshop):
        project = workshop.project
        standing = [one for one in overrides(project.trail, want, project.context()) if one.to]
        if not standing:
            console.note(f"nothing holds the artifact of {want.address}; mlopsctl resume lifts a halt")
            return 0
        module = cast(Deployment, provider(want.provider))
        project.trail.append(
            "unhold",
            address=str(want.address),
            facts={"lifts": [one.entry for one in standing], "reason": reason},
            commit=project.repo.rev("HEAD"),
            location=module.lives_at(want.address, project.context()),
        )
        for one in standing:
            console.out(f"{want.address}: lifted: {one}")
    console.note("mlopsctl apply deploys what the manifest says")
    return shared(project, want, offline=offline)


def _running(workshop: ProjectWorkshop, want: Resource) -> Entry:
    """The entry of what a deployment runs. Raises MlopsError where it runs nothing, StaleError where nobody knows what."""
    seen = workshop.world.read(want, None) if want.address.section == "deployments" else None
    entry = workshop.project.trail.entry(seen.entry) if seen is not None and seen.entry else None
    if entry is None or entry.kind != "result":
        raise MlopsError(
            f"{want.address} runs nothing that this trail attests",
            hint="mlopsctl status shows what runs",
            code="MLO1542",
        )
    if contested := workshop.world.site(want, seen).contested:
        raise StaleError(
            f"what {want.address} runs is contested by {contested}: which of them won, the place alone knows",
            hint=f"mlopsctl status {want.address.typed} --refresh asks it; then settle it: "
            f"mlopsctl apply --replace {want.address}",
            code="MLO6026",
        )
    return entry


def _check(workshop: ProjectWorkshop, want: Resource, inputs: Inputs) -> None:
    """Raises GateError and ApprovalError where apply would not deploy this either."""
    settled = {one.address: Verdict() for one in workshop.project.resources}
    if why := comes_after(want, inputs, settled, workshop.world).why:
        raise barred(want, (why,))
    if refuse_blocked(workshop, want, inputs):
        raise ApprovalError(
            f"{want.address} is protected, and nobody approved this artifact for it",
            hint="merge what makes it into the manifest: plan then shows a release that people can approve",
            code="MLO5002",
        )
