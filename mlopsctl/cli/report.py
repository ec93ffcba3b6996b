"""``mlopsctl report``: evidence for people, from the trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..types import Action
from . import console
from .options import check_format

if TYPE_CHECKING:
    from ..plan import Assessment
    from ..render.targets import Row
    from .project import Project

FORMATS = ("text", "json", "markdown", "html")


def targets(
    model: Annotated[str, typer.Option("--model", help="Only this model's targets; default: all.")] = "",
    format: Annotated[str, typer.Option("--format", help="text, json, markdown or html.")] = "text",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it to this file instead.")] = None,
) -> int:
    """The targets of a model side by side: proof, agreement, metric, size, speed, room, tools and who signed it.

    All of it is read from the trail and the manifest; nothing is executed or measured. The HTML page is one file that
    needs nothing else.

    Examples:

      mlopsctl report targets

      mlopsctl report targets --format html -o targets.html

      mlopsctl report targets --model classifier --format json
    """
    from ..plan import survey
    from .project import open_readable
    from .world import ProjectWorld

    check_format(format, FORMATS)
    project = open_readable()
    project.need_trail()
    wanted = str(project.resource(f"train.{model}").address) if model else ""
    found = [one for one in survey(project.resources, ProjectWorld(project)) if one.step.address.section == "targets"]
    rows = [row for one in found for row in [_row(project, one)] if not wanted or f"train.{row['model']}" == wanted]
    write_targets(
        rows, f"{project.manifest.project.name}: targets", format, output, f"As the trail says; {len(rows)} targets."
    )
    return 0


def _row(project: Project, one: Assessment) -> Row:
    from ..render.status import state_of
    from ..render.targets import target_json

    seen, step = one.seen, one.step
    entry = project.trail.entry(seen.entry) if seen is not None else None
    model = next((item.need.address for item in one.inputs if item.role == "model"), None)
    state = "current" if step.action is Action.NOOP else state_of(one, None)
    return target_json(
        str(step.address),
        str(model).partition(".")[2] if model else "",
        seen.facts if seen is not None else None,
        state="not made" if state == "absent" else state,
        verdict=step.verdict if seen is not None else None,
        made_with=entry.made_with if entry else None,
        digest=str(seen.outputs.get("artifact", "")) if seen is not None else "",
        signed={"by": entry.signer, "entry": entry.id, "at": entry.at} if entry else None,
    )


def write_targets(rows: Sequence[Row], title: str, format: str, output: Path | None, note: str) -> None:
    """Prints the rows in a format of ``FORMATS``, or writes them to a file."""
    import json

    from ..render import targets as render

    def html() -> str:
        from ..render.targets_html import page

        return page(title, rows, note)

    make: dict[str, Callable[[], str]] = {
        "text": lambda: "\n".join(render.lines(rows) or ["no targets"]) + "\n",
        "json": lambda: json.dumps(render.document(rows), indent=2, ensure_ascii=False) + "\n",
        "markdown": lambda: render.markdown(title, rows),
        "html": html,
    }
    text = make[format]()
    if output is None:
        console.out(text.removesuffix("\n"))
        return
    from ..adapters.files import write_atomically

    write_atomically(output, text.encode())
    console.note(f"written: {output}")
