"""``mlopsctl gate run``: measures one gate now, on the view of its own or on another."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..adapters.share import sharing
from ..budgets import share_of
from ..errors import GateError, MlopsError, UsageError
from ..looks import looks, nth_model, refuse_looks
from ..plan import survey
from ..provider import MEANING, Context, Inputs, fingerprint, ingredients, with_meaning
from ..providers.gates.exposure import refuse_seen_rows
from ..registry import provider
from ..types import Digest, Input, Json, Observed, Outcome, Resource, Status, Verdict
from . import console
from .given import specs_of
from .project import Project, open_project
from .world import ProjectWorld
from .write import ReportFormat, Write, reports, written

if TYPE_CHECKING:
    from ..providers.gates.metric import Assessed
    from ..render.report import Report

_COLOURS = {Status.PASSED: "green", Status.FAILED: "red", Status.INCONCLUSIVE: "yellow", Status.NOT_ASSESSED: "yellow"}


@written("gate run")
def run(
    name: Annotated[str, typer.Argument(help="The gate, for example accuracy.")],
    view: Annotated[str, typer.Option("--view", help="Measure on this view: test, val or all.")] = "",
    errors: Annotated[
        Path | None, typer.Option("--errors", help="Write the rows the model gets wrong, as CSV.")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Append the measurement to the trail.")] = False,
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """Measure one gate now and judge it by today's bars; exits 4 when it blocks.

    Nothing is recorded unless --record is given.

    Examples:

      mlopsctl gate run accuracy

      mlopsctl gate run accuracy --view val --errors errors.csv

      mlopsctl gate run accuracy --format json
    """
    project = open_project()
    project.need_trail()
    want, inputs = _wanted(project, name, view)
    if errors is not None and want.provider != "gates/metric":
        raise UsageError(f"{want.address} judges no rows", hint="--errors is for gates with metric:", code="MLO6470")
    with _context(project, want) as here:
        ctx = here._replace(looks=view == "val")
        outcome, assessed = _measure(want, with_meaning(inputs, ctx.store), ctx)
    verdict = provider(want.provider).judge(want, Observed(Digest(""), {}, outcome.facts), inputs)
    nth = nth_model(inputs, ProjectWorld(project))
    entry = _record(project, want, inputs, outcome, verdict) if record else ""

    def report() -> Report:
        from ..render.reports import gate_report

        return gate_report(want, verdict, gate_json(want, outcome.facts, verdict, entry, nth))

    reports(report)
    if errors is not None and assessed is not None:
        count = _write_errors(errors, assessed)
        console.note(f"{count} rows written to {errors}")
    _show(want, outcome.facts, verdict, entry, nth, format)
    return GateError.exit_code if verdict.blocks else 0


def _wanted(project: Project, name: str, view: str) -> tuple[Resource, Inputs]:
    """The gate and its inputs as they stand, with another view where one is asked for. Raises MlopsError."""
    want = project.resource(name if name.startswith("gates.") else f"gates.{name}")
    world = ProjectWorld(project)
    refuse_looks((want,), world, "gate run", "mlopsctl apply measures the one model of a release")
    found = next(one for one in survey(project.resources, world) if one.step.address == want.address)
    inputs: Inputs = tuple(found.inputs)
    if view:
        want, inputs = _on_view(project, want, inputs, view)
    for item in inputs:
        if item.seen is None:
            raise MlopsError(
                f"{want.address} needs {item.need.address}, which has yet to run",
                hint="mlopsctl apply",
                code="MLO1317",
            )
        if item.digest is None:
            have = ", ".join(sorted(set(item.seen.outputs) - {MEANING}))
            raise MlopsError(
                f"{item.need.address} has no view '{item.need.output}'; it has {have}",
                hint="choose one of them, or let split: make one: split: {test: 0.2, val: 0.1}",
                code="MLO1318",
            )
    return want, inputs


def _on_view(project: Project, want: Resource, inputs: Inputs, view: str) -> tuple[Resource, Inputs]:
    known = ("test", "val", "all")
    if view not in known or not hasattr(want.spec, "view"):
        what = f"'{view}' is no view to measure on" if hasattr(want.spec, "view") else f"{want.address} has no view"
        raise UsageError(what, hint="one of " + ", ".join(known) + ", at a gate with metric:", code="MLO6471")
    moved = tuple(Input(item.need._replace(output=view), item.seen) if item.role == "data" else item for item in inputs)
    spec = replace(want.spec, view=view)
    # As for the manifest itself: no figure from rows that the model was trained on.
    model, data = (next(item.need.address for item in inputs if item.role == role) for role in ("model", "data"))
    refuse_seen_rows(model, data, view, specs_of(project.resources))
    return want._replace(spec=spec, needs=tuple(item.need for item in moved)), moved


@contextmanager
def _context(project: Project, want: Resource) -> Iterator[Context]:
    """A scratch folder that is gone afterwards; measuring needs no key."""
    work = project.state / "work"
    work.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"run-{want.address.name}-", dir=work))
    try:
        yield project.context(scratch, lambda line: console.note(f"    {want.address}: {line}"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _measure(want: Resource, inputs: Inputs, ctx: Context) -> tuple[Outcome, Assessed | None]:
    with sharing(share_of(want, None)):
        return _measured(want, inputs, ctx)


def _measured(want: Resource, inputs: Inputs, ctx: Context) -> tuple[Outcome, Assessed | None]:
    if want.provider != "gates/metric":
        return provider(want.provider).apply(want, inputs, ctx), None
    from ..providers.gates.metric import assess

    found = assess(want, inputs, ctx)
    return Outcome({}, found.facts, found.made_with), found


def _record(project: Project, want: Resource, inputs: Inputs, outcome: Outcome, verdict: Verdict) -> str:
    """The id of the entry that holds the measurement; an equal one that stands already is not written twice."""
    from ..adapters.lock import locked
    from .workshop import ProjectWorkshop, on_record

    if verdict.status is Status.NOT_ASSESSED:
        console.note("not recorded: what could not be assessed is no result")
        return ""
    project.need_log()
    project.need_commit()
    with locked(project.state / "lock", "mlopsctl gate run"):
        by_name = provider(want.provider)
        sources = by_name.sources(want, project.tree)
        parts = ingredients(want, sources, inputs)
        made_from = fingerprint(parts) if parts is not None else None
        stands = project.trail.result(made_from) if made_from else None
        if stands is not None and dict(stands.facts) == on_record("gates", outcome.facts):
            console.note(f"already recorded: {stands.id[:12]}")
            return stands.id
        with ProjectWorkshop(project, lambda address, line: console.note(f"    {address}: {line}")) as workshop:
            seen = workshop.record(
                "result",
                want,
                status=verdict.status.value,
                made_from=made_from,
                parts=parts,
                outcome=outcome,
                sources=sources,
            )
        return seen.entry


def _write_errors(path: Path, found: Assessed) -> int:
    """The rows the model gets wrong, the worst first, with what it said; how many."""
    from ..adapters.files import write_atomically

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["_row", *found.table.columns, "_predicted", "_error"])
    count = 0
    if found.rows is not None:
        import numpy as np

        error = np.nan_to_num(found.rows.error, nan=np.inf)
        columns = [column.tolist() for column in found.table.columns.values()]
        for row in np.argsort(-error, kind="stable").tolist():
            if error[row] > 0:
                values = ["" if column[row] is None else column[row] for column in columns]
                writer.writerow([row + 1, *values, found.rows.predicted[row], found.rows.error[row]])
                count += 1
    write_atomically(path, text.getvalue().encode())
    return count


def _show(want: Resource, facts: Any, verdict: Verdict, entry: str, nth: int | None, format: str) -> None:
    if format == "json":
        console.out(json.dumps(gate_json(want, facts, verdict, entry, nth), indent=2))
        return
    if format != "text":
        return
    word = console.paint(verdict.status.value, _COLOURS[verdict.status])
    console.out(f"{word}  {want.address}  {verdict.text}")
    if verdict.hint and verdict.status is not Status.PASSED:
        console.note(f"  what would help: {verdict.hint}")
    for line in looks(nth):
        console.note(f"  {line}" + ("" if entry else " (what is not recorded is not counted)"))
    if entry:
        console.note(f"recorded: {entry[:12]}")


def gate_json(want: Resource, facts: Any, verdict: Verdict, entry: str = "", nth: int | None = None) -> dict[str, Json]:
    """What ``gate run --format json`` prints; decimals are numbers here."""
    least, most = getattr(want.spec, "min", None), getattr(want.spec, "max", None)
    return {
        "schema_version": 1,
        "gate": str(want.address),
        "status": verdict.status.value,
        "blocks": verdict.blocks,
        "metric": facts.get("metric"),
        "value": _number(facts.get("value")),
        "ci": [_number(limit) for limit in facts["ci"]] if facts.get("ci") else None,
        "confidence": _number(facts.get("confidence")),
        "threshold": least if least is not None else most,
        "min": least,
        "max": most,
        "n": facts.get("n"),
        "view": facts.get("view"),
        "method": facts.get("method"),
        "text": verdict.text,
        "hint": verdict.hint,
        "entry": entry or None,
        "nth_model": nth,
    }


def _number(text: Any) -> float | None:
    return None if text is None else float(text)
