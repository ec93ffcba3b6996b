"""``mlopsctl audit trace``: from a deployment back to its artifact, gates, training run, data, code and people."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..audit.trace import Node
from ..audit.trace import trace as walk_back
from ..audit.trail import TrailLog
from ..errors import MlopsError
from ..types import Entry
from . import console
from .anchors import signer_lines
from .audit_source import At, Offline, Root, audit_trail
from .options import check_format


def trace(
    what: Annotated[str, typer.Argument(help="An address such as deployments.local, or an entry's id.")],
    at: At = "",
    offline: Offline = None,
    root: Root = "",
    format: Annotated[str, typer.Option("--format", help="text, json, mermaid or svg.")] = "text",
) -> int:
    """From a deployment back to its artifact, gates, training run, data, code and people.

    Examples:

      mlopsctl audit trace deployments.local

      mlopsctl audit trace deployments.local --at 2026-11-01 --format json

      mlopsctl audit trace train.classifier --format svg > trace.svg
    """
    check_format(format, ("text", "json", "mermaid", "svg"))
    trail = audit_trail(offline, root, at)
    node = walk_back(trail, _entry(trail, what, at))
    for line in _written(trail, node, format, what, at):
        console.out(line)
    problems = trail.problems()
    if problems:
        console.note(f"warning: the trail has {len(problems)} findings: mlopsctl audit verify")
    return 0


def _written(trail: TrailLog, node: Node, format: str, what: str, at: str) -> list[str]:
    if format == "json":
        shown = {"schema_version": 1, **({"as_of": at} if at else {}), **node.as_json()}
        return [json.dumps(shown, indent=2, ensure_ascii=False)]
    if format == "text":
        from ..render.trace import trace_text

        return [*trace_text(node, console.paint), *signer_lines(trail, node)]
    from ..render.trace_graph import graph, mermaid

    if format == "mermaid":
        return mermaid(graph(node))
    from ..render.trace_svg import svg

    return svg(graph(node), f"{what}{' at ' + at if at else ''}: what it was made from, and who signed it")


def _entry(trail: TrailLog, what: str, at: str) -> Entry:
    """The entry to start from: the newest result of an address, or the one named. Raises MlopsError."""
    if "." not in what:
        return trail.find(what)
    when = f" at {at}" if at else ""
    entry = trail.latest(what, ("result", "destroy"))
    if entry is None:
        raise MlopsError(
            f"the trail has no result for '{what}'{when}", hint="mlopsctl audit log shows addresses", code="MLO7115"
        )
    if entry.kind == "destroy":
        raise MlopsError(
            f"{what} did not run{when or ' any more'}: {entry.signer} took it down at {entry.at}",
            hint=f"mlopsctl audit log {what} shows when it ran; --at ENTRY shows what",
            code="MLO7237",
        )
    return entry
