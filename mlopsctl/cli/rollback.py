"""``mlopsctl rollback``: goes back to an artifact that was deployed before, and stays there until ``resume``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..adapters.lock import locked
from ..errors import EvidenceError, GateError, MlopsError
from ..provider import Inputs, fingerprint, ingredients, provider, result_fields
from ..types import GUARD, Digest, Entry, Observed, Resource
from . import console
from .project import Project, open_project
from .queue import sign_queued
from .withdrawn import last_good, refuse_inputs
from .workshop import ProjectWorkshop


def rollback(
    deployment: Annotated[str, typer.Argument(help="A deployment, for example local.")],
    to: Annotated[str, typer.Option("--to", metavar="ENTRY", help="The deployment's entry to go back to.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail and for plan.")] = "",
) -> int:
    """Deploy the artifact that ran before, or the one of --to, and hold it there: apply changes nothing until resume.

    The artifact's signature is verified again, and its measurements are judged by the bars of today's manifest.

    Examples:

      mlopsctl rollback local --reason RISK-114

      mlopsctl rollback local --to 3f9a1c
    """
    project = open_project()
    project.need_log()
    project.need_commit()
    want = project.resource(deployment)
    with locked(project.state / "lock", "mlopsctl rollback"):
        sign_queued(project)
        entry = _entry(project, want, to)
        with ProjectWorkshop(project, lambda address, line: console.note(f"{address}: {line}")) as workshop:
            inputs = workshop.world.inputs_of(entry.id, want)
            if inputs is None:
                raise _lost(entry, "the trail no longer says what it was made from")
            refuse_inputs(project.trail, inputs, f"entry {entry.id[:12]}")
            unmeasured = _judge(project, want, entry, inputs)
            _fetch(workshop, entry, inputs)
            project.trail.append(
                "rollback",
                address=str(want.address),
                facts={"to": entry.id, "reason": reason, "unmeasured": unmeasured},
                commit=project.repo.rev("HEAD"),
                location=entry.location,
            )
            observed = _deploy(workshop, want, inputs)
    for gate in unmeasured:
        console.note(f"{gate} never measured this model; the record says so")
    console.out(
        f"{want.address}: runs the artifact of entry {entry.id[:12]} again, at {observed.facts.get('endpoint')}"
    )
    console.note(f"it stays there until: mlopsctl resume {want.address.typed}")
    return 0


def _entry(project: Project, want: Resource, to: str) -> Entry:
    """The deployment's entry to go back to. Raises MlopsError where there is none."""
    if to:
        entry = project.trail.find(to)
        if entry.kind != "result" or entry.address != str(want.address):
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


def _judge(project: Project, want: Resource, entry: Entry, inputs: Inputs) -> list[str]:
    """Judges what is known of the old model by today's bars; the gates that never measured it.

    Raises GateError where one fails.
    """
    model = entry.facts.get("model") or next((i.seen.facts.get("model") for i in inputs if i.seen), None)
    unmeasured = []
    for need in want.needs:
        if need.role != GUARD:
            continue
        gate = project.resource(str(need.address))
        measured = _measurement(project, gate, model)
        if measured is None:
            unmeasured.append(str(need.address))
            continue
        verdict = provider(gate.provider).judge(gate, measured, ())
        if verdict.blocks:
            raise GateError(
                f"{need.address} {verdict.status.value} for the artifact of entry {entry.id[:12]}: {verdict.text}",
                hint="choose another entry with --to, or cut the deployment out: "
                f'mlopsctl halt {want.address.typed} --reason "…"',
                code="MLO4501",
            )
    return unmeasured


def _measurement(project: Project, gate: Resource, model: object) -> Observed | None:
    """The newest measurement of this model by a gate as it is today: another metric or view says nothing about its bars."""
    asked = (gate.provider, result_fields(gate.spec))
    for entry in project.trail.entries(str(gate.address), ("result",), newest_first=True):
        parts = entry.ingredients
        same = (parts.get("provider"), parts.get("spec")) == asked
        if same and model and model in parts.get("inputs", {}).get("model", ()):
            return entry.observed()
    return None


def _fetch(workshop: ProjectWorkshop, entry: Entry, inputs: Inputs) -> None:
    for item in inputs:
        if item.role == GUARD or item.seen is None:
            continue
        for name in (item.need.output, item.need.output + ".sig"):
            digest = item.seen.outputs.get(name, Digest(""))
            if digest and not workshop.here(digest):
                raise _lost(entry, f"its {name} ({digest[:19]}) is in no store")


def _lost(entry: Entry, why: str) -> EvidenceError:
    return EvidenceError(
        f"entry {entry.id[:12]} cannot be deployed again: {why}",
        hint="mlopsctl pull fetches trail and outputs; --to ENTRY names another entry",
        code="MLO7501",
    )


def _deploy(workshop: ProjectWorkshop, want: Resource, inputs: Inputs) -> Observed:
    parts = ingredients(want, {}, inputs)
    outcome = provider(want.provider).apply(want, inputs, workshop.context(want.address, inputs))
    return workshop.record(
        "result",
        want,
        status="done",
        made_from=fingerprint(parts) if parts else None,
        parts=parts,
        outputs=workshop.keep(outcome.outputs),
        outcome=outcome,
    )
