"""``mlopsctl destroy``: takes deployments down; what was trained, measured and recorded stays."""

from __future__ import annotations

from typing import Annotated

import typer

from ..adapters.lock import locked
from ..controls import controls_on
from ..errors import ApprovalError, MlopsError, UsageError
from ..swap import take_down
from ..types import Observed, Resource
from . import console
from .announced import is_shared
from .halt import matches
from .project import Project, open_project
from .queue import sign_queued
from .switch import Offline, barred, refuse_review, shared
from .workshop import ProjectWorkshop


def destroy(
    target: Annotated[list[str] | None, typer.Option("--target", help="A deployment or a glob; repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every deployment of this clone.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    offline: Offline = False,
) -> int:
    """Take deployments down: ends what runs and removes its state; each is a signed entry.

    The next apply deploys again what the manifest still declares. A protected deployment goes only with the approvals
    that apply would wait for: take it out of mlops.yaml and have its removal approved. To cut one out at once, halt it.

    Examples:

      mlopsctl destroy --target local

      mlopsctl destroy --all -y
    """
    if bool(target) == everything:
        raise UsageError("say which deployments", hint="--target NAME, or --all", code="MLO6468")
    project = open_project()
    project.need_log()
    with locked(project.state / "lock", "mlopsctl destroy"):
        found = [(want, seen) for want, seen in _here(project) if everything or _chosen(want, target or [])]
        for pattern in target or [] if not found else []:
            if not any(matches(want.address, pattern) for want in project.resources):
                project.resource(pattern)
        if not found:
            console.note("nothing that runs here matches; mlopsctl status shows what does")
            return 0
        refuse_review(", ".join(str(want.address) for want, _ in found))
        for want, seen in found:
            console.out(f"  - {want.address}  {seen.facts.get('endpoint', '')}")
        if not yes:
            _ask()
        sign_queued(project)
        with ProjectWorkshop(
            project, lambda address, line: console.note(f"{address}: {line}"), offline=offline
        ) as workshop:
            for want, seen in found:
                _require_approvals(workshop, want, seen)
            for want, seen in found:
                _take_down(workshop, want, seen)
    others = [want for want, _ in found if is_shared(want.provider)]
    return shared(project, others[0], offline=offline) if others else 0


def _require_approvals(workshop: ProjectWorkshop, want: Resource, seen: Observed) -> None:
    """Raises GateError and ApprovalError where apply would not take it down either, were it gone from the manifest."""
    gone = want._replace(spec=None)
    governed = controls_on(gone, (), {}, workshop.world, workshop.world.site(gone, seen), removes=seen.entry)
    if governed.blocked:
        raise barred(want, governed.blocked)
    if governed.waiting:
        raise ApprovalError(
            f"{want.address} is protected, and taking it down waits for {', '.join(governed.waiting)}",
            hint=f"take it out of mlops.yaml, and ask for mlopsctl approve {want.address.typed}; "
            f'to cut it out at once: mlopsctl halt {want.address.typed} --reason "…"',
            code="MLO5003",
        )


def _take_down(workshop: ProjectWorkshop, want: Resource, seen: Observed) -> None:
    # What runs may lie elsewhere than the manifest says by now: it is looked at, and removed, where it was deployed.
    gone = want._replace(spec=None)
    try:
        outcome = take_down(gone, seen, workshop.context(want.address))
    except MlopsError as error:
        workshop.failed(want, error)
        raise
    workshop.record("destroy", gone, status="done", made_from=seen.made_from, outcome=outcome)
    console.out(f"{want.address}: gone")


def _here(project: Project) -> list[tuple[Resource, Observed]]:
    """What this clone deployed and has not taken down, declared or not."""
    from .world import ProjectWorld

    world = ProjectWorld(project)
    declared = [want for want in project.resources if want.address.section == "deployments"]
    # Where the manifest says another `use:` since, what runs is taken down by what made it.
    declared = [want._replace(provider=world.sites.made_by_another(want) or want.provider) for want in declared]
    found = [(want, seen) for want in declared if (seen := world.read(want, None)) is not None]
    return found + list(world.undeclared(frozenset(want.address for want in declared)))


def _chosen(want: Resource, patterns: list[str]) -> bool:
    return any(matches(want.address, pattern) for pattern in patterns)


def _ask() -> None:
    if not console.interactive():
        raise UsageError("destroy may not ask here", hint="mlopsctl destroy … -y", code="MLO6469")
    if not console.confirm("Take these down?"):
        raise MlopsError("nothing was taken down", hint="nothing was changed", code="MLO1538")
