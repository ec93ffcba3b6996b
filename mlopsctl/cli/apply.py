"""``mlopsctl apply``: makes it so, records every step, and can be interrupted at any time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Annotated, TypedDict

import typer

from ..adapters.lock import locked
from ..apply import Event, Walk, summary
from ..errors import GateError, MlopsError, StaleError, UsageError, worst
from ..plan import digest, pending
from ..types import Address, Plan
from . import console
from .plan import Format, Replace, check_format, plan_project, show
from .project import Project, open_project
from .queue import sign_queued
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
        made = plan_project(project, replaced)
        if saved is not None:
            _check_stale(saved, made, planfile)
        if format == "text":
            show(made, "text")
        if pending(made) and saved is None and not yes:
            _ask()
        codes = _walk(project, made, replaced, format)
    return worst(codes + project.share(offline=offline))


def _saved(path: Path) -> SavedPlan:
    """Digest and replaced addresses of a saved plan. Raises UsageError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"plan_digest": str(found["plan_digest"]), "replaced": [str(item) for item in found["replaced"]]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no saved plan: {error}", hint=f"mlopsctl plan -o {path}", code="MLO6402") from None


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
    with ProjectWorkshop(project, printer.tell) as workshop:
        for event in Walk(made, project.resources, workshop, replaced):
            events.append(event)
            printer.event(event)
            if event.error is not None:
                codes.append(event.error.exit_code)
            if event.event == "block" or (event.verdict is not None and event.verdict.blocks):
                codes.append(GateError.exit_code)
    printer.summary(summary(events, made))
    return codes


class Printer:
    """Shows events as they come: lines of text with a live line on a terminal, or one JSON object a line."""

    def __init__(self, format: str):
        self._json = format == "json"
        self._live = not self._json and console.coloured(sys.stderr)
        self._begun = 0.0
        self._told = 0.0

    def tell(self, address: Address, line: str) -> None:
        """Progress inside a step: at most ten lines a second on a terminal, one in ten seconds elsewhere."""
        now = monotonic()
        if now - self._told < (0.1 if self._live else 10.0):
            return
        self._told = now
        if self._json:
            console.out(json.dumps({"event": "progress", "address": str(address), "text": line}))
        elif self._live:
            text = f"    {address}  {now - self._begun:.0f}s  {line}"[:110]
            sys.stderr.write(f"\r\x1b[2K{console.paint(text, 'grey', sys.stderr)}")
            sys.stderr.flush()
        else:
            console.note(f"    {address}: {line[:200]}")

    def event(self, event: Event) -> None:
        if event.event == "start":
            self._begun = monotonic()
        if self._json:
            console.out(json.dumps({key: value for key, value in _event_json(event) if value not in ("", None)}))
            return
        if self._live:
            sys.stderr.write("\r\x1b[2K")
        for line in _event_lines(event):
            console.note(line)
        if event.error is not None:
            console.show_error(event.error)

    def summary(self, counted: dict[str, object]) -> None:
        if self._json:
            console.out(json.dumps(counted))
            return
        words = ("applied", "skipped", "blocked", "failed", "unchanged")
        console.out(
            f"Apply: {', '.join(f'{counted[word]} {word}' for word in words if counted[word] or word == 'applied')}."
        )


def _event_json(event: Event) -> Iterator[tuple[str, object]]:
    yield "event", event.event
    yield "address", event.address
    yield "action", event.action.lower()
    yield "text", event.text
    yield "seconds", round(event.seconds, 3) if event.event in ("done", "fail") else None
    yield "entry", event.entry
    if event.error is not None:
        yield "error", {"code": event.error.code, "message": event.error.message, "hint": event.error.hint}
    if event.verdict is not None and event.verdict.text:
        yield "verdict", {"status": event.verdict.status.value, "text": event.verdict.text, "hint": event.verdict.hint}


_LOOK = {
    "start": ("…", "grey"),
    "done": ("✓ done", "green"),
    "skip": ("- skipped", "grey"),
    "block": ("✗ blocked", "red"),
    "fail": ("✗ failed", "red"),
    "hold": ("! held", "yellow"),
    "restore": ("? restoring", "yellow"),
    "verdict": ("✗ gate", "red"),
}


def _event_lines(event: Event) -> Iterator[str]:
    word, colour = _LOOK[event.event]
    text = event.text
    if event.verdict is not None and event.verdict.text:
        if event.verdict.blocks:
            word, colour = "✗ gate", "red"
        text = f"{event.verdict.status.value}: {event.verdict.text}"
    if event.event == "start":
        text = f"{event.action.lower()}: {event.text}"
    if event.event == "fail":
        text = ""
    took = f" ({event.seconds:.1f}s)" if event.event in ("done", "fail") else ""
    yield f"  {console.paint(f'{word:<11}', colour, sys.stderr)} {event.address}{took}" + (f"  {text}" if text else "")
    if event.verdict is not None and event.verdict.blocks and event.verdict.hint:
        yield f"              what would help: {event.verdict.hint}"
