"""``mlopsctl approve``: agree to one release of a protected deployment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import typer

from ..approvals import People, Quorum, count, disqualified, release_digest, removal_digest
from ..errors import ApprovalError, GateError, MlopsError, UsageError
from ..plan import removal, survey
from ..provider import Inputs
from ..render.release import release_text
from ..site import Site
from ..types import Action, Address, Digest, Resource, Step, Verdict
from . import console
from .project import Project, open_project
from .share import share_trail
from .world import ProjectWorld


def approve(
    deployment: Annotated[str, typer.Argument(help="A deployment with `approvals:`, for example production.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail.")] = "",
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Neither fetch nor push the trail.")] = False,
) -> int:
    """Agree to the release that plan shows: this artifact, these measurements, this manifest, and nothing else.

    The text that is shown is part of what is signed. Author and trainer of a release cannot approve it.

    Examples:

      mlopsctl approve production

      mlopsctl approve production --reason RISK-114 -y
    """
    project = open_project()
    project.need_log()
    project.need_trail(offline=offline)
    world = ProjectWorld(project)
    asked = _removal(world, deployment) or _declared(project, world, deployment)
    people = world.people(asked.want, asked.inputs)
    _check_person(project, people, asked.quorum)
    text = release_text(
        asked.step, asked.release, asked.inputs, asked.verdicts, people.makers, asked.quorum, project.repo.rev("HEAD")
    )
    for line in text:
        console.out(line)
    if not yes and not _agreed():
        raise MlopsError("not approved", hint="nothing was changed", code="MLO1013")
    shown = "sha256:" + hashlib.sha256("\n".join(text).encode()).hexdigest()
    entry = project.trail.append(
        "approval",
        address=str(asked.want.address),
        facts={"release": asked.release, "text": shown, **({"reason": reason} if reason else {})},
        commit=project.repo.rev("HEAD"),
    )
    project.trail.flush()
    have = count(asked.quorum, asked.release, world.people(asked.want, asked.inputs))
    console.out(f"approved: entry {entry.id[:12]}, {len(have.approvers)} of {asked.quorum.needed} approvals")
    return 0 if offline else share_trail(project.trail, project.repo)


class _Asked(NamedTuple):
    """What somebody is asked to agree to: a release, or that a deployment is taken down."""

    want: Resource
    step: Step
    inputs: Inputs
    verdicts: Mapping[Address, Verdict | None]
    quorum: Quorum
    release: Digest


def _removal(world: ProjectWorld, name: str) -> _Asked | None:
    """The removal of a protected deployment that left the manifest; None where no such one is meant."""
    declared = frozenset(want.address for want in world.project.resources)
    for want, seen in world.undeclared(declared):
        step, quorum = removal(want, seen, world), world.site(want, seen).quorum(want)
        if name in (str(want.address), want.address.bare) and step.action is Action.DELETE and quorum is not None:
            if step.blocked_by:
                raise _blocked(step)
            return _Asked(want, step, (), {}, quorum, removal_digest(want, seen.entry))
    return None


def _declared(project: Project, world: ProjectWorld, name: str) -> _Asked:
    """The release of a deployment that could go out now. Raises MlopsError where there is none to agree to."""
    want = project.resource(name)
    found = {one.step.address: one for one in survey(project.resources, world)}
    one = found[want.address]
    verdicts = {address: each.step.verdict for address, each in found.items()} | dict(one.judged)
    site = world.site(want, one.seen) if want.address.section == "deployments" else Site()
    quorum = site.quorum(want)
    if quorum is None:
        raise UsageError(
            f"{want.address} needs no approval",
            hint="approvals: {count: 2} under the deployment asks for two",
            code="MLO6415",
        )
    if one.step.action is Action.NOOP and not one.step.waits_for:
        raise MlopsError(f"{want.address} runs already what the manifest says", hint="mlopsctl plan", code="MLO1551")
    if one.step.blocked_by and not one.step.free_at:
        raise _blocked(one.step)
    release = release_digest(want, one.inputs, verdicts, site.weakens)
    if release is None:
        raise MlopsError(
            f"there is no release of {want.address} to agree to yet: {one.step.reason.text}",
            hint="mlopsctl apply makes and measures it, and stops before the deployment",
            code="MLO1552",
        )
    return _Asked(want, one.step, one.inputs, verdicts, quorum, release)


def _blocked(step: Step) -> GateError:
    return GateError(f"{step.address} is blocked by {', '.join(step.blocked_by)}", hint="mlopsctl plan", code="MLO4502")


def _check_person(project: Project, people: People, quorum: Quorum) -> None:
    """Raises ApprovalError where this key's approval could not count."""
    policy = project.trail.ledger.policy_in_force()
    name = policy.name_of(project.signer().key) if policy else ""
    trainers = {maker.signer for maker in people.makers if maker.address.startswith("train.")}
    why = disqualified(name, people, trainers, quorum.role)
    mail = project.repo.git("var", "GIT_AUTHOR_IDENT").decode().partition("<")[2].partition(">")[0] if not why else ""
    if mail and _wrote(project, mail, people):
        why = "wrote the code"
    if why:
        raise ApprovalError(
            f"'{name or project.signer().name}' {why}, and somebody else has to approve",
            hint="ask another signer with the role approve; mlopsctl trust show lists them",
            code="MLO5001",
        )


def _wrote(project: Project, address: str, people: People) -> bool:
    from ..audit.trust import committer

    return committer(project.manifest.project.log, address) in people.authors


def _agreed() -> bool:
    if not console.interactive():
        raise UsageError(
            "approve may not ask here: stdin is no terminal, or CI is set",
            hint="read the release above, then: mlopsctl approve -y",
            code="MLO6403",
        )
    return console.confirm("Approve this release?")
