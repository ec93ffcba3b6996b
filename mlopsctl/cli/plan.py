"""``mlopsctl plan``: what apply would do and why; executes nothing of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..adapters import watch
from ..adapters.git import WorkTree
from ..manifest import check_views
from ..plan import EVERYTHING, make_plan
from ..planned import drifted, pending, settled
from ..types import Plan, Selection
from . import console
from .asked import Exclude, Quick, Refresh, Replace, Set, Target, selection
from .project import Project, open_project
from .world import ProjectWorld
from .write import ReportFormat, Write, check_target, reports, written

if TYPE_CHECKING:
    from ..render.report import Report


@written("plan", plans=True)
def plan(
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Save the plan for 'mlopsctl apply FILE'.")] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option(help="Exit 2 when changes are pending, 4 when blocked, 5 when people must approve.")
    ] = False,
    refresh: Refresh = False,
    refresh_only: Annotated[
        bool, typer.Option("--refresh-only", help="Look for drift, and plan nothing else.")
    ] = False,
    target: Target = None,
    exclude: Exclude = None,
    replace: Replace = None,
    quick: Quick = False,
    set_: Set = None,
    why: Annotated[
        bool,
        typer.Option("--why", help="Show every input of every step, old and new, and each file that counts as code."),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not fetch the trail, even when it is missing.")
    ] = False,
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """Show what apply would do, and why. Nothing is executed and nothing is changed.

    Examples:

      mlopsctl plan

      mlopsctl plan -o release.plan && mlopsctl apply release.plan

      mlopsctl plan --target 'train.*' --exclude gates.slow

      mlopsctl plan --refresh-only --detailed-exitcode

      mlopsctl plan --why --format json

      mlopsctl plan --set train.classifier.seed=7
    """
    if out is not None:
        check_target(out)
    project = open_project(settings=set_ or ())
    project.need_trail(offline=offline)
    asked = selection(
        project, target, exclude, replace, refresh=refresh, refresh_only=refresh_only, quick=quick, settings=set_
    )
    # A text shows neither the commit nor whether the tree is dirty, so git is not asked.
    made = plan_project(project, asked, head=out is not None or format == "json" or bool(write), why=why)
    report_plan(project, made)
    if out is not None:
        save(made, out)
    show(made, format, why=why)
    if out is not None and format == "text":
        console.note(f"saved: mlopsctl apply {out}")
    if not detailed_exitcode:
        return 0
    if any(step.waits_for for step in made.steps):
        return 5
    if any((step.blocked_by and not step.free_at) or (step.verdict and step.verdict.blocks) for step in made.steps):
        return 4
    return 2 if pending(made) or drifted(made) or any(step.free_at for step in made.steps) else 0


def plan_project(project: Project, asked: Selection = EVERYTHING, *, head: bool = True, why: bool = False) -> Plan:
    """The plan of an opened project.

    With ``head`` it also names the commit and whether tracked files differ from it, with ``why`` all inputs of steps.
    """
    check_views(project.resources)
    commit, _, dirty = project.repo.head() if head else ("", "", False)
    project.trail.expect(want.address for want in project.resources)
    made = make_plan(
        project.manifest.project.name,
        project.manifest.digest,
        project.resources,
        world_of(project, asked),
        selection=asked,
        warnings=project.trail.problems(),
        commit=commit,
        dirty=dirty,
        trail_tips=project.trail.tips(),
        why=why,
    )
    if isinstance(project.tree, WorkTree):
        project.tree.remember()
    return made


def world_of(project: Project, asked: Selection) -> ProjectWorld:
    """What the plan asks: a trial also knows earlier trials."""
    if asked.trial:
        from .trial import TrialWorld

        return TrialWorld(project, asked)
    return ProjectWorld(project, refresh=asked.refresh)


def report_plan(project: Project, made: Plan) -> None:
    """What the verb at work has to say, until it knows more."""

    def report() -> Report:
        from ..render.reports import places, plan_report

        return plan_report(made, places(project.resources))

    reports(report)
    if settled(made) and made.selection == EVERYTHING:
        watch.settled()
    else:
        watch.needs("something to do")


def show(made: Plan, format: str, *, why: bool = False) -> None:
    """Prints the plan as text or JSON; other formats are made of its report."""
    if format == "json":
        import json

        from ..render.plan import plan_json

        console.out(json.dumps(plan_json(made), indent=2))
        return
    if format != "text":
        return
    from ..render.plan import plan_text

    for line in console.folded(plan_text(made, console.paint, why=why)):
        console.out(line)


def save(made: Plan, path: Path) -> None:
    """Writes the plan for a later apply, whole or not at all."""
    import json

    from ..adapters.files import write_atomically
    from ..render.plan import plan_json

    write_atomically(path, (json.dumps(plan_json(made), indent=2) + "\n").encode())
