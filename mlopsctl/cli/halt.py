"""``mlopsctl halt`` and ``resume``: cut a deployment out at once, and let it answer again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from ..adapters.git import find_repo
from ..adapters.store import LocalStore
from ..audit.code import without_secrets
from ..errors import MlopsError, NotSharedError
from ..holds import Hold
from ..provider import NO_SCRATCH, Context, Deployment, Probe, Trail, Tree
from ..registry import provider
from ..render.text import printable
from ..types import Address, Resource
from . import console
from .announced import is_shared
from .overrides import overrides
from .project import Project, open_project
from .queue import drop, queue, queued, sign_queued, try_to_sign
from .share import share_trail
from .switch import Offline, barred, deployment_of, refuse_review, shared
from .withdrawn import refuse, withdrawn

_LONGEST = 500
"""Letters of a reason; an entry has room for 8 KB, and a program's answer for less."""


def halt(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", help="Deployments, for example local or 'prod-*'.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; every refused request is told so.")],
    offline: Offline = False,
) -> int:
    """Refuse every request from now on, until ``resume``: acts first, records after.

    Needs no lock, clean tree, network, key, trail or valid manifest. What cannot be signed now is queued and signed by
    the next verb that can. The record of a deployment that others could change is pushed last, so that none of them
    deploys over the halt.

    Examples:

      mlopsctl halt local --reason "wrong prices since noon"
    """
    reason = _recordable(reason)
    repo = find_repo(Path.cwd())
    state = repo.common_dir / "mlops"
    # What this clone's own servers need for it lies on disk; only then is anything opened that may be slow or broken.
    chosen = _on_disk(state, pattern)
    done, failed = _halt_all(chosen, reason, _bare_context(repo.root, state))
    project, trouble = _project()
    if project is not None:
        others = _elsewhere(project, pattern, done)
        more, worse = _halt_all(others, reason, project.context())
        chosen, done, failed = {**chosen, **others}, done + more, failed + worse
    telling = not offline and any(is_shared(chosen[address]) for address in done)
    if failed:
        if project is not None and try_to_sign(project) and telling:
            share_trail(project.trail, project.repo)
        raise failed[0]
    if not done:
        raise MlopsError(
            f"no deployment that runs here matches '{pattern}'",
            hint="mlopsctl status shows what runs on this machine",
            code="MLO1535",
        )
    if project is None or not try_to_sign(project):
        raise NotSharedError(
            f"halted, but not signed yet{f': {trouble}' if trouble else ''}",
            hint="the record is kept; the next apply, resume or halt that can sign does so",
            code="MLO8501",
        )
    return share_trail(project.trail, project.repo) if telling else 0


def _recordable(reason: str) -> str:
    """What an entry can hold: anything else would wait for a signature for ever, and with it every verb that signs first."""
    text = without_secrets(reason.encode(errors="replace").decode())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def _halt_all(chosen: Mapping[Address, str], reason: str, ctx: Context) -> tuple[list[Address], list[MlopsError]]:
    """Halts each, queues its record, and says what it does now; a failure stops none of the others."""
    done, failed = [], []
    for address, name in chosen.items():
        module = cast(Deployment, provider(name))
        try:
            module.halt(address, reason, ctx)
        except (MlopsError, OSError) as error:
            failed.append(error if isinstance(error, MlopsError) else _cannot(address, error))
            console.show_error(failed[-1])
            continue
        done.append(address)
        try:
            queue(ctx.state, "halt", str(address), {"reason": reason, "location": module.lives_at(address, ctx)})
        except OSError as error:
            failed.append(_unrecorded(address, error))
        found = _probe(module, address, ctx)
        console.out(printable(f"{address}: {found.state}{f' ({found.text})' if found.text else ''}"))
    return done, failed


def _probe(module: Deployment, address: Address, ctx: Context) -> Probe:
    """How it is now; what cannot say so stops neither the halt of others nor a resume."""
    try:
        return module.probe(address, ctx)
    except (MlopsError, OSError) as error:
        return Probe("unknown", str(error))


def _cannot(address: Address, error: OSError) -> MlopsError:
    return MlopsError(
        f"{address} is not halted: {error}",
        hint=f"make its state folder writable, or take it down: mlopsctl destroy --target {address.typed}",
        code="MLO1539",
    )


def _unrecorded(address: Address, error: OSError) -> MlopsError:
    return NotSharedError(
        f"{address} is halted, and no record of it can be kept: {error}",
        hint="free some space and halt it again, so that it is recorded",
        code="MLO8502",
    )


def _project() -> tuple[Project | None, str]:
    """The project, or None and why it cannot be opened: a broken manifest or trail stops no halt."""
    try:
        project = open_project()
        project.trail.tips()
    except MlopsError as error:
        return None, error.message
    return project, ""


def _on_disk(state: Path, pattern: str) -> dict[Address, str]:
    """The matching deployments that have a state folder in this clone, with their providers."""
    found = {}
    folders = sorted((state / "deployments").glob("deployments.*"))
    # What was renamed has its folder under the first name, and a link to it under the last.
    renamed = {folder.resolve() for folder in folders if folder.is_symlink()}
    for folder in folders:
        if not folder.is_symlink() and folder.resolve() in renamed:
            continue
        address = Address.parse(folder.name)
        if matches(address, pattern):
            found[address] = "deployments/command" if (folder / "command.json").is_file() else "deployments/local"
    return found


def _elsewhere(project: Project, pattern: str, done: Collection[Address]) -> dict[Address, str]:
    """The matching deployments of the manifest that run and have no state folder here."""
    ctx = project.context()
    return {
        want.address: want.provider
        for want in project.resources
        if want.address.section == "deployments"
        and want.address not in done
        and matches(want.address, pattern)
        and provider(want.provider).read(want, None, ctx) is not None
    }


def matches(address: Address, pattern: str) -> bool:
    """Whether a name, an address or a glob of them means this deployment."""
    return address.matches(pattern) or address.matches(f"deployments.{pattern}")


def _bare_context(root: Path, state: Path) -> Context:
    """A context in which only the paths are there."""
    tree, trail = cast(Tree, None), cast(Trail, None)
    return Context(root, state, NO_SCRATCH, tree, LocalStore(state / "store"), trail, "", _mute)


def _mute(line: str) -> None:
    """Halting shows no progress."""


def resume(
    deployment: Annotated[str, typer.Argument(help="A deployment, for example local.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail.")] = "",
    offline: Offline = False,
) -> int:
    """Lift a halt or a rollback: signed first, then answered again.

    After a rollback the deployment stays as it is until the next apply, which deploys what the manifest says.

    Examples:

      mlopsctl resume local
    """
    project = open_project()
    project.need_log()
    want = deployment_of(project, deployment)
    refuse_review(str(want.address))
    _refuse_old_name(project, want)
    ctx = project.context()
    module = cast(Deployment, provider(want.provider))
    names = project.trail.names(want.address)
    waiting = any(record.address in names for record in queued(project.state))
    left = [record for record in sign_queued(project) if record.address in names]
    standing = [hold for hold in overrides(project.trail, want, ctx) if hold.kind in ("halt", "rollback")]
    halted = _probe(module, want.address, ctx).state == "halted" or waiting
    if not standing and not halted:
        console.note(f"nothing holds {want.address}")
        return 0
    kinds = _lifts(project, want, standing, halted=halted)
    ended = left if "halt" in kinds else []
    unsigned = [str(record.facts.get("reason", "")) for record in ended]
    project.trail.append(
        "resume",
        address=str(want.address),
        facts={
            "lifts": [hold.entry for hold in standing if hold.kind in kinds],
            "reason": reason,
            **({"unsigned": unsigned} if unsigned else {}),
        },
        commit=project.repo.rev("HEAD"),
        location=module.lives_at(want.address, ctx),
    )
    project.trail.flush()
    if "halt" in kinds:
        module.resume(want.address, ctx)
    drop(ended)
    for hold in standing:
        if hold.kind in kinds:
            console.out(printable(f"{want.address}: lifted: {hold}"))
    if any(hold.kind == "rollback" for hold in standing):
        console.note("mlopsctl apply deploys what the manifest says")
    console.out(f"{want.address}: {_probe(module, want.address, ctx).state}")
    return shared(project, want, offline=offline)


def _refuse_old_name(project: Project, want: Resource) -> None:
    """Raises GateError for a name that was given up: what halts the deployment since stands under the new one."""
    from .world import ProjectWorld

    site = ProjectWorld(project).site(want, None)
    if site.called:
        raise barred(want, (site.not_managed(),))


def _lifts(project: Project, want: Resource, standing: Sequence[Hold], *, halted: bool) -> list[str]:
    """What may be lifted: a halt of something withdrawn stays, so that it answers nobody again.

    Raises GateError where nothing else is to be lifted.
    """
    kinds = ["halt", "rollback"]
    seen = provider(want.provider).read(want, None, project.context())
    found = withdrawn(project.trail, own=seen) if seen is not None else ()
    if not found or not (halted or any(hold.kind == "halt" for hold in standing)):
        return kinds
    if not any(hold.kind == "rollback" for hold in standing):
        refuse(found, f"what {want.address} runs")
    console.note(f"{want.address} stays halted: what it runs is withdrawn; mlopsctl apply deploys something else")
    return ["rollback"]
