"""What rollback, pin and promote share: checking an older artifact by today's rules, holding it, and deploying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, cast

import typer

from ..adapters.ci import under_review
from ..adapters.lock import locked
from ..controls import controls_on, same_settings, unapproved
from ..errors import EvidenceError, GateError, MlopsError
from ..provider import Deployment, Inputs, fingerprint, ingredients
from ..ratchet import Controls, as_in_force
from ..registry import provider
from ..soak import artifact_of
from ..swap import swapping
from ..types import GUARD, Address, Digest, Entry, Observed, Outcome, Resource, Verdict
from . import console
from .announced import is_shared
from .project import Project, open_project
from .queue import sign_queued
from .share import share_trail
from .versions import measurement
from .withdrawn import refuse_inputs
from .workshop import ProjectWorkshop

Offline = Annotated[bool, typer.Option("--offline", help="Neither fetch nor push the trail: nobody is told before.")]


@contextmanager
def switching(deployment: str, verb: str, *, offline: bool = False) -> Iterator[tuple[Resource, ProjectWorkshop]]:
    """The deployment and a workshop, alone in this clone. Raises GateError where a pull request asks for it."""
    project = open_project()
    project.need_log()
    project.need_commit()
    want = deployment_of(project, deployment)
    refuse_review(str(want.address))
    with locked(project.state / "lock", f"mlopsctl {verb}"):
        sign_queued(project)
        with ProjectWorkshop(project, _note, offline=offline) as workshop:
            site = workshop.world.site(want, workshop.world.read(want, None))
            if why := ((site.not_managed(),) if site.not_managed() else site.in_the_way(want)):
                raise barred(want, why)
            yield want, workshop


def _note(address: Address, line: str) -> None:
    console.note(f"{address}: {line}")


def shared(project: Project, want: Resource, *, offline: bool) -> int:
    """Tells everybody what was signed about a deployment that they could change too; the exit code of what did not arrive."""
    return 0 if offline or not is_shared(want.provider) else share_trail(project.trail, project.repo)


def deployment_of(project: Project, name: str) -> Resource:
    """The deployment of this name. Raises MlopsError for what is none."""
    want = project.resource(name)
    if want.address.section != "deployments":
        raise MlopsError(f"{want.address} is no deployment", hint="mlopsctl status lists them", code="MLO1541")
    return want


def refuse_review(what: str) -> None:
    """Raises GateError in a job of a pull request: a stranger's change decides nothing about what runs."""
    if review := under_review():
        raise GateError(
            f"{what} is not switched for {review}, which nobody merged yet",
            hint="merge it first, or run this outside of CI",
            code="MLO4510",
        )


def hold(workshop: ProjectWorkshop, kind: str, want: Resource, entry: Entry, reason: str, **facts: object) -> None:
    """Signs that the deployment stays on the artifact of this entry."""
    module = cast(Deployment, provider(want.provider))
    workshop.project.trail.append(
        kind,
        address=str(want.address),
        facts={"to": entry.id, "reason": reason, **facts},
        commit=workshop.project.repo.rev("HEAD"),
        location=module.lives_at(want.address, workshop.project.context()),
    )


def inputs_to(workshop: ProjectWorkshop, want: Resource, entry: Entry) -> tuple[Inputs, list[str]]:
    """What an entry deployed, brought here, and the gates of today that never measured it.

    Raises GateError for what is withdrawn or below today's bars, EvidenceError for what is lost.
    """
    inputs = workshop.world.inputs_of(entry.id, want)
    if inputs is None:
        raise _lost(entry, "the trail no longer says what it was made from")
    refuse_inputs(workshop.project.trail, inputs, f"entry {entry.id[:12]}")
    unmeasured = judge(workshop, want, entry, inputs)
    if lacking := lacks(workshop, inputs):
        raise _lost(entry, f"its {lacking} is in no store")
    return inputs, unmeasured


def refuse_blocked(workshop: ProjectWorkshop, want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """The approvals that ``apply`` would wait for. Raises GateError where it would not deploy this from here at all."""
    world = workshop.world
    site = world.site(want, world.read(want, None))
    blocked, waiting, _ = controls_on(_versions_of(workshop, want, str(want.address))[-1], inputs, {}, world, site)
    blocked += unapproved(want, site, world)
    if blocked:
        raise barred(want, blocked)
    return waiting


def barred(want: Resource, why: Sequence[str]) -> GateError:
    return GateError(f"{want.address} is blocked by {', '.join(why)}", hint="mlopsctl plan", code="MLO4511")


def say(want: Resource, entry: Entry, observed: Observed, unmeasured: Sequence[str], words: str) -> None:
    if entry.address == str(want.address) and not same_settings(want, entry):
        console.note(
            f"entry {entry.id[:12]} was deployed by another program, or with other settings; now it is with today's"
        )
    for gate in unmeasured:
        console.note(f"{gate} never measured this model; the record says so")
    console.out(f"{want.address}: {words} the artifact of entry {entry.id[:12]}, at {observed.facts.get('endpoint')}")


def judge(workshop: ProjectWorkshop, want: Resource, entry: Entry, inputs: Inputs) -> list[str]:
    """Judges what is known of the old model and artifact by the bars in force; the gates that never measured it.

    Raises GateError where one fails.
    """
    for item in inputs:
        address = next((str(need.address) for need in want.needs if need.role == item.role != GUARD), "")
        for target in _versions_of(workshop, want, address):
            # Another provider compared otherwise, and its record says nothing about these bars.
            if item.seen is not None and item.seen.ingredients.get("provider") == target.provider:
                _require(provider(target.provider).judge(target, item.seen, ()), target, want, entry)
    model = entry.facts.get("model") or next((i.seen.facts.get("model") for i in inputs if i.seen), None)
    unmeasured = []
    for guard in _guards(workshop, want):
        for gate in _versions_of(workshop, want, guard):
            measured = measurement(workshop.project, gate, model, artifact_of(entry.ingredients))
            if measured is None:
                unmeasured.append(guard)
                continue
            _require(provider(gate.provider).judge(gate, measured, ()), gate, want, entry)
    return list(dict.fromkeys(unmeasured))


def _guards(workshop: ProjectWorkshop, want: Resource) -> list[str]:
    """The gates that guard the deployment today, and those that did and were taken away without anybody's approval."""
    today = [str(need.address) for need in want.needs if need.role == GUARD]
    before = _approved(workshop, want)
    found = [*today, *(before["guards"] if before else ())]
    return [one for one in dict.fromkeys(found) if one.startswith("gates.")]


def _versions_of(workshop: ProjectWorkshop, want: Resource, address: str) -> list[Resource]:
    """A resource as the manifest has it, and last as it was approved, where people have yet to agree to looser controls."""
    today = next((one for one in workshop.project.resources if str(one.address) == address), None)
    controls = _approved(workshop, want)
    before = as_in_force(controls, address, today) if controls else None
    found = [one for one in (today, before) if one is not None]
    return found[:1] if today is not None and before == today._replace(where=None) else found


def _approved(workshop: ProjectWorkshop, want: Resource) -> Controls | None:
    """The controls in force, where the manifest loosens them and a protected deployment waits for approval of that."""
    site = workshop.world.site(want, workshop.world.read(want, None))
    return site.in_force if site.weakens and site.quorum(want) is not None else None


def _require(verdict: Verdict, judged: Resource, want: Resource, entry: Entry) -> None:
    if verdict.blocks:
        raise GateError(
            f"{judged.address} {verdict.status.value} for the artifact of entry {entry.id[:12]}: {verdict.text}",
            hint="choose another entry with --to, or cut the deployment out: "
            f'mlopsctl halt {want.address.typed} --reason "…"',
            code="MLO4501",
        )


def lacks(workshop: ProjectWorkshop, inputs: Inputs) -> str:
    """Brings what is deployed here; the first of it that is nowhere, "" where all is here."""
    for item in inputs:
        if item.role == GUARD or item.seen is None:
            continue
        for name in (item.need.output, item.need.output + ".sig"):
            digest = item.seen.outputs.get(name, Digest(""))
            if digest and not workshop.here(digest):
                return f"{name} ({digest[:19]})"
    return ""


def _lost(entry: Entry, why: str) -> EvidenceError:
    return EvidenceError(
        f"entry {entry.id[:12]} cannot be deployed again: {why}",
        hint="mlopsctl pull fetches trail and outputs; --to ENTRY names another entry",
        code="MLO7501",
    )


def deploy(workshop: ProjectWorkshop, want: Resource, inputs: Inputs, hold: Callable[[], None]) -> Observed:
    """Switches the deployment to these inputs and records it; ``hold`` signs that it stays there.

    Nothing is signed where somebody else changed what runs. Raises MlopsError after recording that it failed.
    """
    seen = workshop.world.read(want, None)
    try:
        with swapping(want, seen, workshop.context(want.address, inputs)) as context:
            hold()
            outcome = provider(want.provider).apply(want, inputs, context)
        return record_running(workshop, want, inputs, outcome, workshop.keep(outcome.outputs))
    except MlopsError as error:
        workshop.failed(want, error)
        raise


def record_running(
    workshop: ProjectWorkshop, want: Resource, inputs: Inputs, outcome: Outcome, outputs: Mapping[str, Digest]
) -> Observed:
    """Signs that the deployment runs what is among these inputs."""
    parts = ingredients(want, {}, inputs)
    made_from = fingerprint(parts) if parts else None
    return workshop.record(
        "result", want, status="done", made_from=made_from, parts=parts, outputs=outputs, outcome=outcome
    )
