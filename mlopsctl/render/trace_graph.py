"""A trace as boxes and arrows, and as a Mermaid flowchart."""

from __future__ import annotations

import re
from textwrap import wrap
from typing import NamedTuple

from ..audit.trace import Node
from ..types import Entry
from .text import printable, short
from .trace import details, figures

_WIDTH = 52
"""Characters of a line in a box."""


class Box(NamedTuple):
    """One entry, or a digest that no entry made; ``kind`` is the section, or ``missing``."""

    id: str
    kind: str
    title: str
    status: str
    lines: tuple[str, ...]


class Arrow(NamedTuple):
    """From what went in to what was made; ``label`` is the role."""

    source: str
    target: str
    label: str


class Graph(NamedTuple):
    """Every box once, however often the trace comes by."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def graph(node: Node) -> Graph:
    """The boxes and arrows of a trace."""
    boxes: dict[str, Box] = {}
    arrows: dict[Arrow, None] = {}
    _walk(node, boxes, arrows)
    return Graph(tuple(boxes.values()), tuple(arrows))


def _walk(node: Node, boxes: dict[str, Box], arrows: dict[Arrow, None]) -> str:
    if node.entry is None:
        boxes.setdefault(
            node.digest, Box(node.digest, "missing", "not in this trail", "", (short(node.digest), "no valid entry"))
        )
        return node.digest
    name = node.entry.id
    if name not in boxes:
        boxes[name] = _box(node.entry)
        for below in node.inputs:
            arrows[Arrow(_walk(below, boxes, arrows), name, below.role)] = None
        for gate in node.gates:
            boxes.setdefault(gate.id, _box(gate))
            arrows[Arrow(name, gate.id, "measured")] = None
    return name


def _box(entry: Entry) -> Box:
    section = entry.address.partition(".")[0]
    skipped = ("signed by", "code:", *(() if section == "train" else ("made with",)))
    lines = [line for line in details(entry) if not line.startswith(skipped)]
    if section == "data":
        lines = [figures(entry), *(f"{name}: {digest}" for name, digest in entry.outputs.items() if name == "all")]
    lines.append(f"commit {entry.commit[:12] or '(none yet)'}" + (f", tree {entry.tree[:12]}" if entry.tree else ""))
    lines.append(f"{entry.signer}, {entry.at}, {entry.id[:12]}")
    status = "" if entry.status == "done" else printable(entry.status)
    return Box(
        entry.id, section, printable(entry.address), status, tuple(part for line in lines for part in _fit(line))
    )


def _fit(text: str) -> list[str]:
    """A text in lines of a box: digests and decimals shortened, at most three lines."""
    words = [_decimals(short(word)) for word in printable(text).split()]
    return wrap(" ".join(words), _WIDTH, max_lines=3, placeholder=" …") if words else []


def _decimals(word: str) -> str:
    return re.sub(r"(\d\.\d{4})\d+", r"\1", word)


# --- Mermaid -----------------------------------------------------------------------------------------------------

_CLASSES = {
    "data": "stroke:#2a78c2", "train": "stroke:#8a5fbf", "gates": "stroke:#3d8b40", "targets": "stroke:#b4690e",
    "deployments": "stroke:#178a8a", "missing": "stroke:#c0392b,stroke-dasharray:5 4", "failed": "stroke:#c0392b",
}  # fmt: skip


def mermaid(found: Graph) -> list[str]:
    """A flowchart; colours are strokes only, so that it is read on light and dark pages. Source: mermaid's flowchart syntax."""
    names = {box.id: f"n{number}" for number, box in enumerate(found.boxes)}
    lines = ["flowchart TD"]
    for box in found.boxes:
        title = f"<b>{_entities(box.title)}</b>" + (f" {_entities(box.status)}" if box.status else "")
        text = "<br/>".join([title, *map(_entities, box.lines)])
        lines.append(f'  {names[box.id]}["{text}"]:::{_class(box)}')
    for arrow in found.arrows:
        lines.append(f'  {names[arrow.source]} -->|"{_entities(arrow.label)}"| {names[arrow.target]}')
    used = {_class(box) for box in found.boxes}
    return lines + [f"  classDef {name} {style},stroke-width:2px" for name, style in _CLASSES.items() if name in used]


def _class(box: Box) -> str:
    if box.kind == "gates" and box.status == "failed":
        return "failed"
    return box.kind if box.kind in _CLASSES else "missing"


def _entities(text: str) -> str:
    """Mermaid reads ``#`` and a number up to ``;`` as a character: everything but plain letters goes that way."""
    plain = " .,:-_/[]=()'…"
    return "".join(c if c.isalnum() or c in plain else f"#{ord(c)};" for c in text)
