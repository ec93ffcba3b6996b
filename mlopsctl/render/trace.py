"""A trace as text: each entry, what it says, who signed it, and below it what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..audit.trace import Node
from ..measures.words import metrics_words
from ..types import Entry
from .plan import Paint
from .text import printable

_COLOUR = {"passed": "green", "failed": "red", "inconclusive": "yellow", "not_assessed": "yellow"}
_FIGURES = ("value", "ci", "n", "proof", "agreement", "max_abs_diff", "runtime", "opset", "rows", "path", "endpoint")


def trace_text(node: Node, paint: Paint) -> list[str]:
    """Indented lines, the deployment first; an entry that was shown already is only named."""
    return list(_lines(node, "", set(), paint))


def _lines(node: Node, indent: str, shown: set[str], paint: Paint) -> Iterator[str]:
    role = f"{printable(node.role)}: " if node.role else ""
    if node.entry is None:
        yield f"{indent}{role}{printable(node.digest)} was made by no valid entry of this trail"
        return
    entry = node.entry
    if entry.id in shown:
        yield f"{indent}{role}{paint(entry.address, 'bold')}  entry {entry.id[:12]}, as above"
        return
    shown.add(entry.id)
    yield f"{indent}{role}{paint(entry.address, 'bold')}{status_word(entry, paint)}"
    for line in details(entry):
        yield f"{indent}    {printable(line)}"
    for gate in node.gates:
        yield f"{indent}    gate: {paint(gate.address, 'bold')}{status_word(gate, paint)}"
        for line in details(gate):
            yield f"{indent}        {printable(line)}"
    for below in node.inputs:
        yield from _lines(below, indent + "    ", shown, paint)


def status_word(entry: Entry, paint: Paint) -> str:
    """A status that says more than that it was done."""
    word = printable(entry.status)
    return "" if word in ("", "done") else f"  {paint(word, _COLOUR.get(word, ''))}"


def details(entry: Entry) -> list[str]:
    """What an entry says of itself, a line each: figures, command, environment, code, outputs, and who signed it."""
    spec: dict[str, Any] = dict(entry.ingredients.get("spec") or {})
    lines = []
    for name, label in (("run", "command"), ("import", "import"), ("params", "params"), ("metric", "metric")):
        if spec.get(name):
            lines.append(f"{label}: {words(spec[name])}")
    if isinstance(entry.facts.get("origin"), dict):
        lines.append(f"origin: imported, {_origin(entry.facts['origin'])}")
    found = figures(entry)
    if found:
        lines.append(found)
    lines += [f"{name}: {digest}" for name, digest in entry.outputs.items() if not name.endswith(".sig")]
    if entry.made_with:
        lines.append("made with: " + ", ".join(f"{name} {value}" for name, value in sorted(entry.made_with.items())))
    tree = f", tree {entry.tree[:12]}" if entry.tree else ""
    lines.append(f"code: commit {entry.commit[:12] or '(none yet)'}{tree}")
    trust = "" if entry.trusted else " (a key without the role: this machine only)"
    return [*lines, f"signed by {entry.signer}{trust} at {entry.at}, entry {entry.id[:12]}"]


def _origin(origin: dict[str, Any]) -> str:
    """Whose word stands for an imported model, or for each that a deployment runs."""
    if "state" not in origin:
        return ", ".join(f"{address} {words}" for address, words in origin.items())
    return f"{origin['state']} by {origin['by']} ({origin.get('how')})" if "by" in origin else str(origin["state"])


def figures(entry: Entry) -> str:
    """What was measured, in one line."""
    found = ((name, entry.facts.get(name)) for name in _FIGURES)
    said = [f"{name} {words(value)}" for name, value in found if value not in (None, "", [], {})]
    beside = metrics_words(entry.facts)
    return ", ".join([*said, *([beside] if beside else [])])


def words(value: Any) -> str:
    """A value as people write it: decimals in entries are text, floats of a spec ``{"float": text}``."""
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return str(value["float"])
        return ", ".join(f"{name} {words(item)}" for name, item in value.items())
    return "[" + ", ".join(map(words, value)) + "]" if isinstance(value, list) else str(value)
