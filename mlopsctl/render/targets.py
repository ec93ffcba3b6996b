"""What the artifacts of a model came to, side by side: one row a target, as JSON, text and Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..measures.names import SHARES
from ..types import Json, Verdict
from .markdown import code, table
from .markdown import text as marked
from .plan import SCHEMA_VERSION
from .text import one_line

Row = Mapping[str, Any]

_SPEED = re.compile(r"latency|load_|cycles|fmax|mhz|throughput|seconds|_ms$|_us$|_ns$", re.IGNORECASE)
_ROOM = re.compile(r"lut|bytes|^ff|flip|bram|dsp|cells|area|flash|ram|memory|stack|slices", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
HEAD = (
    "target",
    "model",
    "device",
    "proof",
    "agreement",
    "largest difference",
    "metric",
    "size",
    "speed",
    "room",
    "signed",
)


def target_json(
    target: str,
    model: str,
    facts: Mapping[str, Json] | None,
    *,
    state: str = "current",
    verdict: Verdict | None = None,
    made_with: Mapping[str, str] | None = None,
    digest: str = "",
    signed: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    """One row, as ``schemas/report-targets.schema.json`` has it; ``facts`` are None where there is no artifact.

    ``signed`` says by whom (``by``, with ``entry`` and ``at`` where a trail attests it); None for an unsigned artifact.
    """
    said = facts or {}
    figures = {name: _plain(value) for name, value in _flat(said.get("figures") or {})}
    return {
        "target": target,
        "model": model,
        "state": state,
        "device": said.get("device"),
        "arch": said.get("arch"),
        "runtime": said.get("runtime"),
        "proof": said.get("proof"),
        "view": said.get("view"),
        "rows": said.get("n"),
        "agreement": _plain(said.get("agreement")),
        "max_abs_diff": _plain(said.get("max_abs_diff")),
        "not_assessed": said.get("not_assessed"),
        "metric": _metric(said.get("metrics") or {}),
        "size": said.get("size"),
        "figures": figures,
        "verdict": {"status": verdict.status.value, "text": verdict.text} if verdict is not None else None,
        "digest": digest or None,
        "signed": dict(signed) if signed else None,
        "made_with": dict(made_with or {}),
    }


def document(rows: Sequence[Row]) -> dict[str, Json]:
    return {"schema_version": SCHEMA_VERSION, "targets": [dict(row) for row in rows]}


def _metric(said: Mapping[str, Any]) -> Json:
    if not said.get("metric"):
        return None
    sides = {
        name: {
            "value": _plain(said[name].get("value")),
            "ci": [_plain(end) for end in said[name].get("ci") or ()] or None,
        }
        for name in ("artifact", "original", "drop")
    }
    return {"name": said["metric"], "n": said.get("n"), "confidence": _plain(said.get("confidence")), **sides}


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _plain(value: Any) -> Any:
    """Decimals, which signed entries hold as text, as numbers."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


# --- for people --------------------------------------------------------------------------------------------------


def cells(row: Row) -> tuple[str, ...]:
    """The row in words, under ``HEAD``."""
    device = row["device"] or ""
    arch = "" if row["arch"] in (None, "", device) else f" ({row['arch']})"
    return (
        row["target"],
        row["model"],
        device + arch,
        row["proof"] or row["state"],
        agreement(row),
        _number(row["max_abs_diff"]),
        metric(row),
        size(row["size"]),
        figures(row, "speed"),
        figures(row, "room"),
        signed(row),
    )


def agreement(row: Row) -> str:
    if row["agreement"] is None:
        return "not assessed" if row["proof"] else ""
    return f"{100 * row['agreement']:.4g} % of {row['rows']} rows"


def metric(row: Row) -> str:
    found = row["metric"]
    if not found:
        return ""
    return f"{found['name']} {_figure(found['name'], found['artifact'])}"


def model_metric(row: Row) -> str:
    """The same of the model, for who wants to compare."""
    found = row["metric"]
    return f"{found['name']} {_figure(found['name'], found['original'])}" if found else ""


def _figure(name: str, said: Mapping[str, Any]) -> str:
    if said["value"] is None:
        return "undefined"
    shown = "{:.4f}" if name in SHARES else "{:.4g}"
    ci = said["ci"]
    interval = f" [{shown.format(ci[0])}, {shown.format(ci[1])}]" if ci and None not in ci else ""
    return shown.format(said["value"]) + interval


def figures(row: Row, kind: str) -> str:
    """The figures about ``speed``, ``room`` or ``other``."""
    return ", ".join(f"{name} {_number(value)}" for name, value in row["figures"].items() if _kind(name) == kind)


def _kind(name: str) -> str:
    return "speed" if _SPEED.search(name) else "room" if _ROOM.search(name) else "other"


def signed(row: Row) -> str:
    return f"by {row['signed']['by']}" if row["signed"] else "no" if row["proof"] else ""


def size(count: Any) -> str:
    if count is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.3g} {unit}" if unit != "B" else f"{count} B"
        count /= 1024
    return ""


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def lines(rows: Sequence[Row]) -> list[str]:
    """A block a target: a table of so many columns fits no terminal."""
    found: list[str] = []
    for row in rows:
        found += [*([""] if found else []), one_line(row["target"])]
        named = [pair for pair in zip(HEAD[1:], cells(row)[1:], strict=True) if pair[1]]
        named += [("other", other)] if (other := figures(row, "other")) else []
        named += [("tools", tools)] if (tools := made_with(row)) else []
        named += [("verdict", f"{row['verdict']['status']}: {row['verdict']['text']}")] if row["verdict"] else []
        wide = max(len(name) for name, _ in named)
        found += [f"  {name.ljust(wide)}  {one_line(text)}" for name, text in named]
    return found


def worth_a_column(told: Sequence[Sequence[str]]) -> list[int]:
    """The places of ``told`` that say something: not where all are empty, nor the model where there is only one."""
    places = range(len(told[0]) if told else 1)
    return [
        place
        for place in places
        if any(row[place] for row in told) and (place != 1 or len({row[1] for row in told}) > 1)
    ]


def made_with(row: Row) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(row["made_with"].items()))


def markdown(title: str, rows: Sequence[Row]) -> str:
    """A page with one table; columns that no target fills are left out."""
    head = (*HEAD, "tools")
    told = [(*cells(row), made_with(row)) for row in rows]
    kept = worth_a_column(told)
    body = table(
        [head[place] for place in kept],
        [[(code if place == 0 else marked)(row[place]) for place in kept] for row in told],
    )
    notes = [f"* {code(row['target'])}: {marked(row['verdict']['text'])}" for row in rows if _worth(row)]
    return "\n".join([f"### {marked(title)}", "", *body, *(["", *notes] if notes else []), ""])


def _worth(row: Row) -> bool:
    return bool(row["verdict"]) and row["verdict"]["status"] != "passed"
