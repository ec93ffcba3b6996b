"""``mlopsctl apply``: makes it so, records every step, and can be interrupted at any time."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from ..adapters.lock import locked
from ..apply import Walk, summary
from ..errors import ApprovalError, GateError, MlopsError, StaleError, UsageError, worst
from ..plan import digest, pending
from ..types import Plan
from . import console
from .options import Format, check_format
from .plan import Replace, plan_project, replaced_addresses, show
from .progress import Printer
from .project import Project, open_project
from .queue import sign_queued
from .share import push_after_apply
from .workshop import ProjectWorkshop


class SavedPlan(TypedDict):
    """The parts of a saved plan that apply needs: everything else is planned again and must agree."""

    plan_digest: str
    replaced: list[str]


def apply(
    planfile: Annotated[Path | None, typer.Argument(help="A plan saved by 'mlopsctl plan -o'.")] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    replace: Replace = None,
    offline: Annotated[bool, typer.Option("--offline", help="Neither fetch nor push the trail.")] = False,
    format: Format = "text",
) -> int:
    """Make it so: pin data, train, measure gates, compile, deploy; each step signed into the trail.

    What is already made is never made again. An interrupted apply goes on where it stopped.

    Examples:

      mlopsctl apply

      mlopsctl apply -y --format json

      mlopsctl apply release.plan
    """
    check_format(format)
    saved = _saved(planfile) if planfile else None
    replaced = list(replace or ()) + (saved["replaced"] if saved else [])
    project = open_project()
    project.need_log()
    project.need_commit()
    project.need_trail(offline=offline)
    with locked(project.state / "lock", "mlopsctl apply"):
        sign_queued(project)
        replaced = replaced_addresses(project, replaced)
        made = plan_project(project, replaced)
        if saved is not None:
            _check_stale(saved, made, planfile)
        if format == "text":
            show(made, "text")
        if pending(made) and saved is None and not yes:
            _ask()
        codes = _walk(project, made, replaced, format)
    if not offline:
        codes.append(push_after_apply(project))
    return worst(codes)


def _saved(path: Path) -> SavedPlan:
    """Digest and replaced addresses of a saved plan. Raises UsageError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"plan_digest": str(found["plan_digest"]), "replaced": [str(item) for item in found["replaced"]]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Never the path that was given: a hint that is copied must not overwrite what is there.
        hint = "save one: mlopsctl plan -o release.plan && mlopsctl apply release.plan"
        raise UsageError(f"{path} is no saved plan: {error}", hint=hint, code="MLO6402") from None


def _check_stale(saved: SavedPlan, made: Plan, path: Path | None) -> None:
    if saved["plan_digest"] != digest(made):
        raise StaleError(
            f"the plan in {path} is stale: planning again gives {digest(made)[:19]}, not {str(saved['plan_digest'])[:19]}",
            hint=f"look at what changed and save it again: mlopsctl plan -o {path}",
            code="MLO6002",
        )


def _ask() -> None:
    if not console.interactive():
        raise UsageError(
            "apply may not ask here: stdin is no terminal, or CI is set",
            hint="mlopsctl apply -y, or a saved plan: mlopsctl plan -o FILE && mlopsctl apply FILE",
            code="MLO6403",
        )
    if not console.confirm("Apply this plan?"):
        raise MlopsError("not applied", hint="nothing was changed", code="MLO1013")


def _walk(project: Project, made: Plan, replaced: list[str], format: str) -> list[int]:
    """Runs the steps; the exit codes of what went wrong."""
    printer = Printer(format)
    codes, events = [0], []
    with closing(printer), ProjectWorkshop(project, printer.tell) as workshop:
        for event in Walk(made, project.resources, workshop, replaced):
            events.append(event)
            printer.event(event)
            if event.error is not None:
                codes.append(event.error.exit_code)
            if event.event == "block" or (event.verdict is not None and event.verdict.blocks):
                codes.append(GateError.exit_code)
            if event.event == "wait":
                codes.append(ApprovalError.exit_code)
    printer.summary(summary(events, made))
    return codes
