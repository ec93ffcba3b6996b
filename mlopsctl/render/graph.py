"""What depends on what, as text, JSON, dot, Mermaid and SVG; with states, each is a word and a colour. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..errors import UsageError
from ..types import GUARD, Address, Resource

States = Mapping[Address, str]
"""One word for each resource; empty where nobody asked."""

MOST = 300
"""Boxes that a picture may have: with more of them nobody finds anything."""

_GOOD = ("current", "passed", "serving")
_BAD = ("failed", "blocked", "down")
_DOT = {"good": "darkgreen", "bad": "red3", "unsure": "darkorange3"}


def part(resources: Sequence[Resource], address: Address) -> tuple[Resource, ...]:
    """Everything that a resource is made from, and everything that is made from it."""
    needs = {want.address: [need.address for need in want.needs] for want in resources}
    users: dict[Address, list[Address]] = {}
    for name, needed in needs.items():
        for one in needed:
            users.setdefault(one, []).append(name)
    chosen = {*_closure(address, needs), *_closure(address, users)}
    return tuple(
        want._replace(needs=tuple(need for need in want.needs if need.address in chosen))
        for want in resources
        if want.address in chosen
    )


def _closure(start: Address, edges: Mapping[Address, Iterable[Address]]) -> set[Address]:
    found, waiting = {start}, [start]
    while waiting:
        for one in edges.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def grade(state: str) -> str:
    """The colour's meaning: ``good``, ``bad``, ``unsure``, "" for no state."""
    if not state:
        return ""
    return "good" if state in _GOOD else "bad" if state in _BAD else "unsure"


_ARROWS = {"gates": "guards", "deployments": "comes first"}
_WORDS = {"gates": "guarded by", "deployments": "comes after"}


def text(resources: Sequence[Resource], states: States) -> list[str]:
    lines = []
    for want in resources:
        state = states.get(want.address, "")
        lines.append(f"{want.address}  {state}".rstrip())
        for need in want.needs:
            what = _WORDS[need.address.section] if need.role == GUARD else f"{need.role} from"
            lines.append(f"  {what} {need.address}" + (f" ({need.output})" if need.output else ""))
    return lines


def as_json(resources: Sequence[Resource], states: States) -> list[str]:
    edges = [
        {"from": str(need.address), "to": str(want.address), "role": need.role, "output": need.output}
        for want in resources
        for need in want.needs
    ]
    nodes = [
        {"address": str(want.address), "provider": want.provider}
        | ({"state": states[want.address]} if want.address in states else {})
        for want in resources
    ]
    return [json.dumps({"schema_version": 1, "nodes": nodes, "edges": edges}, indent=2)]


def dot(resources: Sequence[Resource], states: States) -> list[str]:
    lines = ["digraph mlops {", "  rankdir=LR;", "  node [shape=box];"]
    for want in resources:
        state = states.get(want.address, "")
        look = f' [label="{want.address}\\n{state}", color={_DOT[grade(state)]}]' if state else ""
        lines.append(f'  "{want.address}"{look};')
        for need in want.needs:
            style = " [style=dashed]" if need.role == GUARD else ""
            lines.append(f'  "{need.address}" -> "{want.address}"{style};')
    return [*lines, "}"]


def mermaid(resources: Sequence[Resource], states: States) -> list[str]:
    names = {want.address: f"n{number}" for number, want in enumerate(resources)}
    lines = ["graph LR"]
    for want in resources:
        state = states.get(want.address, "")
        label = f"{want.address}<br/>{state}" if state else str(want.address)
        lines.append(f'  {names[want.address]}["{label}"]' + (f":::{grade(state)}" if state else ""))
        for need in want.needs:
            arrow = "-.->" if need.role == GUARD else "-->"
            lines.append(f"  {names[need.address]} {arrow} {names[want.address]}")
    if states:
        lines += ["  classDef good stroke:#2e7d32", "  classDef bad stroke:#c0392b", "  classDef unsure stroke:#9a6700"]
    return lines


def svg(resources: Sequence[Resource], states: States) -> list[str]:
    """A picture of at most MOST boxes; of more resources, the instances of one name share a box.

    Raises UsageError where that does not help.
    """
    from .trace_graph import Arrow, Box, Graph
    from .trace_svg import svg as drawn

    together = len(resources) > MOST
    groups: dict[Address, list[Resource]] = {}
    for want in resources:
        groups.setdefault(_group(want.address) if together else want.address, []).append(want)
    if len(groups) > MOST:
        raise UsageError(
            f"{len(groups):,} boxes are no picture",
            hint=f"mlopsctl graph {resources[-1].address} --format svg draws what one resource depends on and leads to",
            code="MLO3034",
        )
    boxes = tuple(
        Box(str(name), name.section, _title(name, wants), *_state(wants, states)) for name, wants in groups.items()
    )
    arrows: dict[Arrow, None] = {}
    for name, wants in groups.items():
        for need in (need for want in wants for need in want.needs):
            source = _group(need.address) if together else need.address
            if source != name:
                arrows[
                    Arrow(
                        str(source),
                        str(name),
                        _ARROWS[need.address.section] if need.role == GUARD else need.output or need.role,
                    )
                ] = None
    return drawn(Graph(boxes, tuple(arrows)), "what depends on what")


def _group(address: Address) -> Address:
    return address._replace(instance="")


def _title(name: Address, wants: Sequence[Resource]) -> str:
    return str(name) if len(wants) == 1 else f"{name} × {len(wants):,}"


def _state(wants: Sequence[Resource], states: States) -> tuple[str, tuple[str, ...]]:
    """The word beside the title, and the lines below: the provider, and of a group how many are in which state."""
    use = sorted({want.provider for want in wants})
    found = Counter(states[want.address] for want in wants if want.address in states)
    if len(found) <= 1:
        return next(iter(found), ""), (", ".join(use),)
    worst = max(found, key=lambda state: ("", "good", "unsure", "bad").index(grade(state)))
    return worst, (", ".join(use), ", ".join(f"{count} {state}" for state, count in found.most_common()))


WRITERS: Mapping[str, Callable[[Sequence[Resource], States], list[str]]] = {
    "text": text,
    "json": as_json,
    "dot": dot,
    "mermaid": mermaid,
    "svg": svg,
}
