"""Differences as text, JSON and Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..diff import DataChange, Difference, Figure, Lines, Measured
from ..types import Change, Json
from .markdown import code, folded, table, text
from .plan import SCHEMA_VERSION, Paint, value
from .report import Case, Level, Remark, Report
from .text import printable

_GLYPH = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "renamed": (">", "grey")}
_NOTHING = "No differences in data, code, parameters, gates, targets or deployments."
_SHOWN = 12
"""Rows of a table that a pull request shows unfolded."""


# --- JSON ------------------------------------------------------------------------------------------------------


def diff_json(found: Sequence[Difference], old: str, new: str) -> dict[str, Json]:
    """As ``diff --format json`` prints it; see schemas/diff.schema.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "old": old,
        "new": new,
        "differences": [_json(one) for one in found],
    }


def _json(one: Difference) -> dict[str, Json]:
    return {
        "address": str(one.address),
        "kind": one.kind,
        "changes": _changes(one.changes),
        "files": [{**change, **_counted(one.lines.get(change["field"]))} for change in _changes(one.files)],
        "figures": _changes(one.figures),
        "measured": [_measured_json(item) for item in one.measured],
        "data": _data_json(one.data) if one.data is not None else None,
        "notes": list(one.notes),
        "weakens": list(one.weakens),
        "previously": one.previously or None,
    }


def _changes(changes: Sequence[Change]) -> list[dict[str, Json]]:
    return [{"field": change.field, "old": change.old, "new": change.new} for change in changes]


def _counted(lines: Lines | None) -> dict[str, Json]:
    return {"lines_added": lines.added, "lines_removed": lines.removed} if lines is not None else {}


def _measured_json(item: Measured) -> dict[str, Json]:
    return {
        "metric": item.metric,
        "view": item.view,
        "old": _figure_json(item.old),
        "new": _figure_json(item.new),
        "overlap": item.overlap,
    }


def _figure_json(figure: Figure | None) -> Json:
    if figure is None:
        return None
    return {**figure._asdict(), "ci": list(figure.ci) if figure.ci else None}


def _data_json(data: DataChange) -> dict[str, Json]:
    return {name: list(item) if isinstance(item, tuple) else item for name, item in data._asdict().items()}


# --- Text ------------------------------------------------------------------------------------------------------


def diff_text(found: Sequence[Difference], paint: Paint) -> list[str]:
    """One block a resource: code, fields, data, then the measured figures side by side."""
    lines = []
    for one in found:
        glyph, colour = _GLYPH[one.kind]
        was = f", before {one.previously}" if one.previously else ""
        lines.append(paint(f"{glyph} {one.address}  {one.kind}{was}", colour))
        lines += [f"    {paint('weakens', 'yellow')} {printable(what)}" for what in one.weakens]
        lines += [f"    {printable(what)}" for what in _words(one)]
        for item in one.measured:
            lines += [f"    {line}" for line in _side_by_side(item)]
        lines += [f"    {printable(note)}" for note in one.notes]
    return lines or [_NOTHING]


def _words(one: Difference) -> Iterator[str]:
    for file in one.files:
        yield f"{file.field}  {_file_word(file)}{_plus_minus(one.lines.get(file.field))}"
    for change in one.changes:
        yield f"{change.field}: {value(change.old)} -> {value(change.new)}"
    yield from _data_words(one.data)
    for change in one.figures:
        if change.field == "size" and one.data is not None and one.data.size is not None:
            continue
        yield f"{change.field}: {_measure(change)}  (measured)"


def _measure(change: Change) -> str:
    if change.field == "size" and isinstance(change.old, int) and isinstance(change.new, int):
        return f"{change.old:,} -> {change.new:,} bytes"
    return f"{value(change.old)} -> {value(change.new)}"


def _file_word(change: Change) -> str:
    if change.old is None:
        return "added"
    return "removed" if change.new is None else "changed"


def _plus_minus(lines: Lines | None) -> str:
    return f"  +{lines.added} -{lines.removed}" if lines is not None else ""


def _data_words(data: DataChange | None) -> Iterator[str]:
    """What became of rows, columns and files, in a line each."""
    if data is None:
        return
    if data.rows_added is not None and data.rows_removed is not None:
        moved = [f"+{data.rows_added:,} -{data.rows_removed:,}"]
        moved += [f"{data.rows_changed:,} changed"] if data.rows_changed is not None else []
        same = not data.rows_added and not data.rows_removed and not data.rows_changed
        yield "rows: " + ("the same ones, written otherwise" if same else ", ".join(moved))
    for word, names in (("columns added", data.columns_added), ("columns removed", data.columns_removed)):
        if names:
            yield f"{word}: {_some(names)}"
    files = (("files added", data.files_added), ("removed", data.files_removed), ("changed", data.files_changed))
    for word, names in files:
        if names:
            yield f"{word if word.startswith('files') else f'files {word}'}: {len(names):,}: {_some(names)}"
    if data.size is not None and data.size[0] != data.size[1]:
        yield f"size: {data.size[0]:,} -> {data.size[1]:,} bytes"


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _side_by_side(item: Measured) -> list[str]:
    head = f"{item.metric} on {item.view}" if item.view else item.metric
    lines = [f"{head}:", f"  before  {_figure(item.old)}", f"  after   {_figure(item.new)}"]
    return [*lines, *([f"  {_overlap(item)}"] if _overlap(item) else [])]


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    parts = [f"{figure.value:.4g}", _interval(figure)]
    parts += [f"n {figure.n:,}"] if figure.n is not None else []
    parts += [f"needs {figure.bar}" if figure.bar else "", figure.status]
    return "  ".join(part for part in parts if part)


def _interval(figure: Figure) -> str:
    return f"[{figure.ci[0]:.4g}, {figure.ci[1]:.4g}]" if figure.ci else ""


def _overlap(item: Measured) -> str:
    if item.overlap is None:
        return ""
    return "the intervals overlap: neither is shown to be better" if item.overlap else "the intervals do not overlap"


# --- Markdown --------------------------------------------------------------------------------------------------


def diff_report(found: Sequence[Difference], old: str, new: str) -> Report:
    """A case for each resource that differs; the page for a pull request."""
    many = f"{len(found)} resource{'s' * (len(found) != 1)} differ{'s' * (len(found) == 1)}"
    cases = tuple(Case(str(one.address), text=one.kind, group=one.address.section) for one in found)
    title = f"{old} to {new}: {many}"
    remarks = tuple(
        Remark(Level.WARNING, "MLO3035", what, "", str(one.address)) for one in found for what in one.weakens
    )
    return Report("diff", title, remarks, cases, (diff_json(found, old, new),), tuple(diff_markdown(found)))


def diff_markdown(found: Sequence[Difference]) -> list[str]:
    """What differs in one table, the gates side by side in another; long details are folded away."""
    if not found:
        return [_NOTHING]
    lines = _fold("Resources that differ", ("", "resource", "what"), [_row(one) for one in found])
    measured = [(one, item) for one in found for item in one.measured]
    if measured:
        header = ("resource", "metric", "before", "after", "")
        rows = [_gate_row(one, item) for one, item in measured]
        lines += ["**Measured**", "", *_fold("Figures", header, rows)]
    fields = [(one, change) for one in found for change in (*one.changes, *one.figures)]
    if fields:
        rows = [(code(str(one.address)), code(c.field), code(value(c.old)), code(value(c.new))) for one, c in fields]
        lines += folded(f"Every field that differs ({len(rows)})", table(("resource", "field", "old", "new"), rows))
    files = [(one, file) for one in found for file in one.files]
    if files:
        shown = [
            (code(str(one.address)), code(file.field), _file_word(file) + _plus_minus(one.lines.get(file.field)))
            for one, file in files
        ]
        lines += folded(f"Files that differ ({len(shown)})", table(("resource", "file", ""), shown))
    notes = [f"* {code(str(one.address))} {text(note)}" for one in found for note in one.notes]
    return [*lines, *notes]


def _fold(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = table(header, rows)
    return [*lines, ""] if len(rows) <= _SHOWN else folded(f"{title} ({len(rows)})", lines)


def _row(one: Difference) -> tuple[str, str, str]:
    what = [f"before {code(one.previously)}"] if one.previously else []
    what += [f"⚠️ weakens: {text(line)}" for line in one.weakens]
    what += [code(change.field) for change in one.changes]
    if one.files:
        what.append(f"{len(one.files)} file{'s' * (len(one.files) != 1)}")
    what += [text(word) for word in _data_words(one.data)]
    shown = "; ".join(what[:6]) + (f" and {len(what) - 6} more" if len(what) > 6 else "")
    return f"`{_GLYPH[one.kind][0]}` {one.kind}", code(str(one.address)), shown


def _gate_row(one: Difference, item: Measured) -> tuple[str, ...]:
    metric = f"{item.metric} on {item.view}" if item.view else item.metric
    return code(str(one.address)), text(metric), text(_figure(item.old)), text(_figure(item.new)), text(_overlap(item))
