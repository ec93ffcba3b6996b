"""Differences as text, JSON and Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from ..diff import Difference
from ..types import Change, Json
from .plan import SCHEMA_VERSION, Paint, value
from .report import Case, Report

_GLYPH = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def diff_json(found: Sequence[Difference], old: str, new: str) -> dict[str, Json]:
    """As ``diff --format json`` prints it; see schemas/diff.schema.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "old": old,
        "new": new,
        "differences": [
            {
                "address": str(one.address),
                "kind": one.kind,
                "changes": _changes(one.changes),
                "files": _changes(one.files),
                "figures": _changes(one.figures),
            }
            for one in found
        ],
    }


def _changes(changes: Sequence[Change]) -> list[Json]:
    return [{"field": change.field, "old": change.old, "new": change.new} for change in changes]


def diff_text(found: Sequence[Difference], paint: Paint) -> list[str]:
    """One block a resource: what differs, then the measured figures side by side."""
    lines = []
    for one in found:
        glyph, colour = _GLYPH[one.kind]
        lines.append(paint(f"{glyph} {one.address}  {one.kind}", colour))
        lines += [f"    {file.field}  {_file_word(file)}" for file in one.files]
        lines += [f"    {c.field}: {value(c.old)} -> {value(c.new)}" for c in one.changes]
        lines += [f"    {c.field}: {value(c.old)} -> {value(c.new)}  (measured)" for c in one.figures]
    return lines or ["No differences in data, code, parameters, gates, targets or deployments."]


def diff_report(found: Sequence[Difference], old: str, new: str) -> Report:
    """A case for each resource that differs; the table for a pull request."""
    many = f"{len(found)} resource{'s' * (len(found) != 1)} differ{'s' * (len(found) == 1)}"
    cases = tuple(Case(str(one.address), text=one.kind, group=one.address.section) for one in found)
    title = f"{old} to {new}: {many}"
    return Report("diff", title, (), cases, (diff_json(found, old, new),), tuple(diff_markdown(found)))


def diff_markdown(found: Sequence[Difference]) -> list[str]:
    """A table for a pull request."""
    if not found:
        return ["No differences in data, code, parameters, gates, targets or deployments."]
    lines = ["| resource | | what | old | new |", "|---|---|---|---|---|"]
    for one in found:
        rows = [(f"`{file.field}` {_file_word(file)}", "", "") for file in one.files]
        rows += [(change.field, value(change.old), value(change.new)) for change in (*one.changes, *one.figures)]
        for what, old, new in rows or [("", "", "")]:
            lines.append(f"| `{one.address}` | {one.kind} | {what} | {_cell(old)} | {_cell(new)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _file_word(change: Change) -> str:
    if change.old is None:
        return "added"
    return "removed" if change.new is None else "changed"
