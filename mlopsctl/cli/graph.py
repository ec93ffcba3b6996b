"""``mlopsctl graph``: what depends on what, from the manifest alone, or with the state of each resource."""

from __future__ import annotations

from typing import Annotated

import typer

from ..plan import survey
from ..render.graph import WRITERS, part
from . import console
from .options import check_format
from .project import open_project
from .world import ProjectWorld


def graph(
    address: Annotated[
        str | None, typer.Argument(help="Only what this one is made from, and what is made from it.")
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="Say and colour how each resource stands.")] = False,
    format: Annotated[str, typer.Option("--format", help="text, json, dot, mermaid or svg.")] = "text",
) -> int:
    """What depends on what: each resource with what it needs.

    Examples:

      mlopsctl graph

      mlopsctl graph --state --format svg > graph.svg

      mlopsctl graph deployments.local --format mermaid
    """
    check_format(format, tuple(WRITERS))
    project = open_project()
    resources = part(project.resources, project.resource(address).address) if address else project.resources
    states = {}
    if state:
        from ..render.status import state_of

        project.need_trail()
        states = {one.step.address: state_of(one, None) for one in survey(project.resources, ProjectWorld(project))}
    for line in WRITERS[format](resources, states):
        console.out(line)
    return 0
