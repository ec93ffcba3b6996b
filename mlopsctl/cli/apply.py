"""``mlopsctl apply``: makes it so, records every step, and can be interrupted at any time."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..adapters.lock import locked
from ..adapters.machine import this_machine
from ..adapters.steps import StepJournal
from ..adapters.times import lasting
from ..apply import Walk, summary
from ..errors import ApprovalError, GateError, MlopsError, StaleError, UsageError, worst
from ..planned import digest, pending, settled
from ..render.plan import read_digest, read_selection
from ..types import SECTIONS, Plan, Selection
from ..workshop import Event
from . import console
from .announce import freshen
from .asked import Exclude, Quick, Refresh, Replace, Set, Target, selection
from .moves import record_forgotten, record_moves
from .plan import plan_project, report_plan, show
from .progress import Printer, event_json, summary_line
from .project import Project, open_project
from .queue import sign_queued
from .share import push_after_apply
from .workshop import Interrupted, ProjectWorkshop
from .write import ReportFormat, Write, reports, written

if TYPE_CHECKING:
    from ..render.report import Report


class SavedPlan(NamedTuple):
    """The parts of a saved plan that apply needs: everything else is planned again and must agree."""

    digest: str
    selection: Selection


@written("apply", plans=True)
def apply(
    planfile: Annotated[Path | None, typer.Argument(help="A plan saved by 'mlopsctl plan -o'.")] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    target: Target = None,
    exclude: Exclude = None,
    replace: Replace = None,
    quick: Quick = False,
    set_: Set = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", metavar="N", help="How many steps run at a time; default: one a core.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("-k", "--keep-going", help="After a failure go on with what does not need it.")
    ] = False,
    refresh: Refresh = False,
    offline: Annotated[bool, typer.Option("--offline", help="Neither fetch nor push the trail.")] = False,
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """Make it so: pin data, train, measure gates, compile, deploy; each step signed into the trail.

    What is already made is never made again. An interrupted apply goes on where it stopped.

    Examples:

      mlopsctl apply

      mlopsctl apply -y --format json

      mlopsctl apply release.plan

      mlopsctl apply -y --target train.classifier

      mlopsctl apply -y --jobs 4 --keep-going

      mlopsctl apply -y --quick

      mlopsctl apply -y --quick --set train.classifier.seed=7
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one step has to run", hint="mlopsctl apply --jobs 1", code="MLO1240")
    saved = _saved(planfile) if planfile else None
    if saved is not None and (target or exclude or replace or refresh or quick or set_):
        raise UsageError(
            f"{planfile} is applied as it was saved: no option changes what it does",
            hint="give the option to mlopsctl plan -o, or apply without the file",
            code="MLO6003",
        )
    project = open_project(settings=saved.selection.settings if saved else set_ or ())
    project.need_log()
    project.need_commit()
    project.need_trail(offline=offline)
    project.need_beginning()
    with locked(project.state / "lock", "mlopsctl apply"):
        if not (offline or quick or set_):
            freshen(project)
        sign_queued(project)
        asked = (
            saved.selection
            if saved
            else selection(project, target, exclude, replace, refresh=refresh, quick=quick, settings=set_)
        )
        made = plan_project(project, asked, head=bool(write))
        report_plan(project, made)
        if saved is not None:
            _check_stale(saved, made, planfile)
        if format == "text":
            show(made, "text")
            if pending(made):
                console.note("")
        if asked.refresh_only:
            console.note("this plan only looked: there is nothing to apply")
            return 0
        if pending(made) and saved is None and not yes:
            _ask()
        codes = _walk(project, made, format, jobs, keep_going, offline=offline)
    if not offline:
        codes.append(push_after_apply(project))
    return worst(codes)


def _saved(path: Path) -> SavedPlan:
    """Digest and selection of a saved plan. Raises UsageError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        saved = SavedPlan(str(found["plan_digest"]), read_selection(found["selection"]))
        # Somebody may have read the file and said yes: its steps have to be those that its digest speaks of.
        if read_digest(found) != saved.digest:
            raise ValueError("its steps are not those of its digest, so that somebody edited it")
        return saved
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error if isinstance(error, OSError | ValueError) else "it lacks what a saved plan holds"
        # Never the path that was given: a hint that is copied must not overwrite what is there.
        hint = "save one: mlopsctl plan -o release.plan && mlopsctl apply release.plan"
        if "." in path.name and path.name.partition(".")[0] in SECTIONS:
            hint = f"a part of the manifest is chosen by --target {path.name}"
        raise UsageError(f"{path} is no saved plan: {why}", hint=hint, code="MLO6402") from None


def _check_stale(saved: SavedPlan, made: Plan, path: Path | None) -> None:
    if saved.digest != digest(made):
        raise StaleError(
            f"the plan in {path} is stale: planning again gives {digest(made)[:19]}, not {saved.digest[:19]}",
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


def _walk(project: Project, made: Plan, format: str, jobs: int | None, keep_going: bool, *, offline: bool) -> list[int]:
    """Runs the steps; the exit codes of what went wrong."""
    printer = Printer(format)
    codes: list[int] = [0]
    events: list[Event] = []

    def report() -> Report:
        from ..render.reports import apply_report, places

        counted = summary(events, made)
        documents = [*(event_json(event) for event in events), counted]
        return apply_report(made, events, documents, summary_line(counted), places(project.resources))

    reports(report)
    if settled(made) and not StepJournal(project.state / "steps.jsonl").left():
        # Every step was looked at a moment ago and stands: going through them again would find the same. Only what a
        # killed command left running has to be ended all the same.
        printer.summary(summary(events, made))
        return codes
    with closing(printer), _workshop(project, made, printer, offline=offline) as workshop:
        for left in workshop.interrupted:
            printer.event(interrupted(left))
        machine = this_machine()
        # One at a time keeps the order of the plan, in which cheap gates come first.
        jobs = jobs or (1 if made.selection.quick else machine.cpu)
        walk = Walk(made, project.resources, workshop, jobs=jobs, keep_going=keep_going, machine=machine)
        with closing(walk):
            for event in chain(record_moves(made, project, workshop), walk, record_forgotten(made, events, workshop)):
                events.append(event)
                printer.event(event)
                if event.error is not None:
                    codes.append(event.error.exit_code)
                if event.event == "block" or (event.verdict is not None and event.verdict.blocks):
                    codes.append(GateError.exit_code)
                if event.event == "wait":
                    codes.append(ApprovalError.exit_code)
    printer.summary(summary(events, made))
    if made.selection.trial and format == "text":
        keep = "write what was set into mlops.yaml, then: " if made.selection.settings else ""
        console.note(f"a trial: nothing of it is ever deployed; in full: {keep}mlopsctl apply")
    return codes


def _workshop(project: Project, made: Plan, printer: Printer, *, offline: bool) -> ProjectWorkshop:
    if made.selection.trial:
        from .trial import TrialWorkshop

        return TrialWorkshop(project, printer.tell, made.selection)
    return ProjectWorkshop(project, printer.tell, refresh=made.selection.refresh, offline=offline)


def interrupted(left: Interrupted) -> Event:
    """Says that an earlier command left a step unfinished."""
    text = f"was interrupted after {lasting(left.seconds)}"
    if left.processes:
        text += f"; {left.processes} of its processes still ran and were ended"
    return Event("interrupted", left.address, text=text)
