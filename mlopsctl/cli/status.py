"""``mlopsctl status``: where everything stands, on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..audit.sharing import waiting
from ..looks import nth_model
from ..plan import Assessment, removal, survey
from ..provider import Deployment, Probe
from ..registry import provider
from ..releases import RELEASE
from ..render.text import printable
from ..types import Action, Address, Json, Resource, is_unverified
from . import console
from .announced import announcements
from .at_work import at_work
from .overrides import overrides
from .project import Project, open_readable
from .queue import queued
from .versions import with_release
from .withdrawn import last_good, withdrawn
from .world import ProjectWorld
from .write import ReportFormat, Write, reports, written

if TYPE_CHECKING:
    from ..render.report import Report

_COLOUR = {
    "current": "green",
    "passed": "green",
    "serving": "green",
    "deployed": "green",
    "failed": "red",
    "blocked": "red",
    "down": "red",
    "halted": "yellow",
    "contested": "red",
    "outdated": "yellow",
    "unverified": "yellow",
    "inconclusive": "yellow",
}


@written("status")
def status(
    address: Annotated[str | None, typer.Argument(help="One address or deployment; default: all.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the running deployments too.")] = False,
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """Where everything stands, by what lies on disk. Nothing is executed, and nothing is connected to without --refresh.

    Where the manifest on disk is not valid, it counts as it was committed.

    Examples:

      mlopsctl status

      mlopsctl status --refresh

      mlopsctl status local --format json
    """
    project = open_readable()
    project.need_trail()
    wanted = project.resource(address).address if address else None
    world = ProjectWorld(project)
    found = survey(project.resources, world) + ([] if address else left_behind(project, world))
    asked_for = (one for one in found if wanted is None or one.step.address == wanted)
    chosen = [with_release(project, _with_looks(one, world)) for one in asked_for]
    probes = {
        one.step.address: probe(project, one, ask=refresh)
        for one in chosen
        if one.step.address.section == "deployments"
    }
    shared = waiting(project.trail)
    ruled_out = {
        one.step.address: tuple(map(str, withdrawn(project.trail, own=one.seen)))
        for one in chosen
        if one.step.address in probes and one.seen is not None
    }
    announced = {
        one.step.address: lines
        for one in chosen
        if one.step.address in probes and (lines := announcements(project, one))
    }

    working = at_work(project.state)

    def document() -> dict[str, Json]:
        from ..render.status import status_json

        found = status_json(chosen, probes, _about(project), shared, ruled_out, announced)
        return {**found, "at_work": working.as_json()} if working.lines() else found

    def report() -> Report:
        from ..render.reports import places, status_report
        from ..render.status import details, state_of

        rows = []
        for one in chosen:
            asked = probes.get(one.step.address)
            rows.append((one.step.address, state_of(one, asked), details(one, asked)))
        title = f"{project.manifest.project.name}: {len(rows)} resources"
        return status_report(title, rows, ruled_out, document(), places(project.resources))

    reports(report)
    if format == "json":
        import json

        console.out(json.dumps(document(), indent=2))
    if format != "text":
        return 0
    _print(chosen, probes, _about(project))
    for line in working.lines():
        console.out(printable(line))
    for record in queued(project.state):
        console.out(
            f"{record.address}: {record.kind} is done and not signed yet; the next apply with the role signs it"
        )
    for remote, count in shared:
        if count:
            console.out(f"trail: {count} entries are not on '{remote}' yet; mlopsctl push")
    for changing, lines in announced.items():
        for line in lines:
            console.out(printable(f"{changing}: {line}; if whoever it is has gone: mlopsctl unlock {changing.typed}"))
    for one in chosen:
        if one.step.address in probes:
            _incident(project, one, ruled_out.get(one.step.address, ()))
    return 0


def left_behind(project: Project, world: ProjectWorld) -> list[Assessment]:
    """What left the manifest and still runs: at night somebody has to see it here."""
    declared = frozenset(want.address for want in project.resources)
    gone = world.undeclared(declared)
    return [Assessment(removal(want, seen, world), None, seen, (), None, {}) for want, seen in gone]


def _with_looks(found: Assessment, world: ProjectWorld) -> Assessment:
    """A gate's row says how many models its rows have judged."""
    if found.step.address.section != "gates" or found.step.nth_model is not None:
        return found
    return found._replace(step=found.step._replace(nth_model=nth_model(found.inputs, world)))


def probe(project: Project, found: Assessment, *, ask: bool) -> Probe:
    """How a deployment is, by its state files or by its own word; one that was never made here is ``absent``."""
    if found.seen is None:
        return Probe("absent", found.step.reason.text)
    from typing import cast

    module = cast(Deployment, provider(found.step.provider))
    if ask:
        return module.probe(found.step.address, project.context())
    seen = module.glance(found.step.address, project.context())
    want = Resource(found.step.address, found.step.provider, found.spec)
    halts = [str(hold) for hold in overrides(project.trail, want, project.context()) if hold.kind == "halt"]
    if halts and seen.state == "deployed":
        seen = Probe("halted", "by another clone, as far as the trail says")
    return seen if seen.endpoint else seen._replace(endpoint=str(found.seen.facts.get("endpoint") or ""))


def _about(project: Project) -> dict[str, str]:
    """What the manifest says of the project itself."""
    spec = project.manifest.project
    said = {"name": spec.name, "owner": spec.owner, "purpose": spec.purpose, "license": spec.license}
    return {key: value for key, value in said.items() if value}


def _print(chosen: list[Assessment], probes: dict[Address, Probe], about: dict[str, str]) -> None:
    from ..render.status import details, heading, state_of

    if heading(about):
        console.out(heading(about))
        console.out("")
    rows = []
    for one in chosen:
        asked = probes.get(one.step.address)
        rows.append((str(one.step.address), state_of(one, asked), details(one, asked)))
    for row, line in zip(rows, console.table(rows), strict=True):
        painted = line.replace(row[1], console.paint(row[1], _COLOUR.get(row[1], "grey")), 1)
        for part in console.folded([painted]):
            console.out(part)


def _incident(project: Project, one: Assessment, ruled_out: Sequence[str]) -> None:
    """The lines somebody needs at night: since when, what is live, and the exact way back."""
    if one.seen is None:
        return
    name = one.step.address.typed
    console.out("")
    since = "adopted at" if is_unverified(one.seen) else "live since"
    number = f", release {one.seen.facts[RELEASE]}" if RELEASE in one.seen.facts else ""
    console.out(f"{one.step.address}: {since} {one.seen.at} by entry {one.seen.entry[:12]}{number}")
    for line in ruled_out:
        console.out(console.paint(f"  what is live is withdrawn: {printable(line)}", "red"))
    gone = one.step.action is Action.DELETE
    before = None if gone else last_good(project.trail, one.step.address, one.seen)
    if before is not None:
        console.out(f"  last good before it: entry {before.id[:12]} of {before.at}")
        console.out(f"  to go back:  mlopsctl rollback {name} --to {before.id[:12]}")
    console.out(f'  to cut out:  mlopsctl halt {name} --reason "…"')
    if gone:
        console.out(f"  to end it:   mlopsctl destroy --target {name}")
