"""``mlopsctl graph``: what depends on what, from the manifest alone."""

from __future__ import annotations

from ..types import GUARD, Resource
from . import console
from .options import Format, check_format
from .project import open_project


def graph(format: Format = "text") -> int:
    """What depends on what: each resource with what it needs. Formats: text, json, dot, mermaid.

    Examples:

      mlopsctl graph

      mlopsctl graph --format dot | dot -Tsvg > graph.svg
    """
    check_format(format, ("text", "json", "dot", "mermaid"))
    for line in _WRITERS[format](open_project().resources):
        console.out(line)
    return 0


def _text(resources: tuple[Resource, ...]) -> list[str]:
    lines = []
    for want in resources:
        lines.append(str(want.address))
        for need in want.needs:
            what = "guarded by" if need.role == GUARD else f"{need.role} from"
            lines.append(f"  {what} {need.address}" + (f" ({need.output})" if need.output else ""))
    return lines


def _json(resources: tuple[Resource, ...]) -> list[str]:
    import json

    edges = [
        {"from": str(need.address), "to": str(want.address), "role": need.role, "output": need.output}
        for want in resources
        for need in want.needs
    ]
    nodes = [{"address": str(want.address), "provider": want.provider} for want in resources]
    return [json.dumps({"schema_version": 1, "nodes": nodes, "edges": edges}, indent=2)]


def _dot(resources: tuple[Resource, ...]) -> list[str]:
    lines = ["digraph mlops {", "  rankdir=LR;", "  node [shape=box];"]
    for want in resources:
        lines.append(f'  "{want.address}";')
        for need in want.needs:
            style = " [style=dashed]" if need.role == GUARD else ""
            lines.append(f'  "{need.address}" -> "{want.address}"{style};')
    return [*lines, "}"]


def _mermaid(resources: tuple[Resource, ...]) -> list[str]:
    names = {want.address: f"n{number}" for number, want in enumerate(resources)}
    lines = ["graph LR"]
    for want in resources:
        lines.append(f'  {names[want.address]}["{want.address}"]')
        for need in want.needs:
            arrow = "-.->" if need.role == GUARD else "-->"
            lines.append(f"  {names[need.address]} {arrow} {names[want.address]}")
    return lines


_WRITERS = {"text": _text, "json": _json, "dot": _dot, "mermaid": _mermaid}
