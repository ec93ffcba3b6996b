"""``mlopsctl runs``: every training run, failed ones too, from the trail alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from ..audit.conditions import (
    Condition,
    check_field,
    holds,
    number,
    read_condition,
    read_setting,
    select,
    sort_key,
    text_of,
)
from ..audit.ledger import no_collector
from ..audit.runs import Data, Line, Run, compare, complete, find_run, gate_json, run_json, with_gates
from ..audit.runs import runs as all_runs
from ..audit.trail import TrailLog
from ..errors import UsageError
from ..render.text import printable
from ..types import Json
from . import console
from .anywhere import here
from .options import Format, check_format

_WIDE = 44


def ls(
    address: Annotated[str, typer.Argument(help="Only this training step; * stands for anything.")] = "",
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="CONDITION", help="For example 'params.lr<0.01'; repeatable.")
    ] = None,
    sort: Annotated[str, typer.Option("--sort", metavar="FIELD", help="Largest first; default: newest first.")] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Smallest, or oldest, first.")] = False,
    limit: Annotated[int, typer.Option("-n", "--limit", help="At most so many runs; -1 for all.")] = 50,
    format: Format = "text",
) -> int:
    """Every training run with its settings and what measured its model; failed runs too.

    A condition is FIELD OPERATOR VALUE with = != < <= > >= or ~ (contains). Fields: params.NAME, gates.NAME (the value
    measured, else the verdict; also .status .n .lo .hi), claimed.NAME (what the program says of itself), made_with.NAME,
    data, address, at, code, commit, cost, entry, kind, message, run, seconds, seed, signer, status, trial. A run without the
    field fulfils != only. Works in a clone with nothing but the trail.

    Examples:

      mlopsctl runs ls

      mlopsctl runs ls --where 'params.lr<0.01' --where 'gates.accuracy>0.9' --sort gates.accuracy --limit 10
    """
    check_format(format)
    conditions = [read_condition(text) for text in where or ()]
    if sort:
        check_field(sort)
    trail = here()
    data = Data(trail)
    with no_collector():
        found = _chosen(trail, address, conditions, sort, data, limit=limit, reverse=reverse)
    if format == "json":
        console.out(json.dumps({"schema_version": 1, "runs": [run_json(run, data) for run in found]}, indent=2))
        return 0
    _table(found, data)
    return 0


def _chosen(
    trail: TrailLog,
    address: str,
    conditions: Sequence[Condition],
    sort: str,
    data: Data,
    *,
    limit: int,
    reverse: bool,
) -> list[Run]:
    """Reads no more of the trail than the question needs."""
    newest = not (conditions or sort or reverse)
    found = all_runs(trail, address, limit if newest else -1)
    found = select(found, [one for one in conditions if not one.needs_gates], data)
    asked = [one for one in conditions if one.needs_gates]
    if asked or sort.startswith("gates."):
        found = select(with_gates(trail, found), asked, data)
    if sort:
        keyed = [(sort_key(run, sort, data), run) for run in found]
        have = sorted((one for one in keyed if one[0][0]), key=lambda one: one[0], reverse=not reverse)
        found = [run for _, run in (*have, *(one for one in keyed if not one[0][0]))]
    elif reverse:
        found.reverse()
    found = complete(trail, found[:limit] if limit >= 0 else found)
    return found if asked or sort.startswith("gates.") else with_gates(trail, found)


def show(
    entry: Annotated[str, typer.Argument(help="The run's entry, or how its id begins.")], format: Format = "text"
) -> int:
    """One training run in full: settings, code, data, measurements, and apart from them what the program claims.

    Examples:

      mlopsctl runs show 3f2a9c01
    """
    check_format(format)
    trail = here()
    run = find_run(trail, entry)
    shown = run_json(run, Data(trail))
    if format == "json":
        console.out(json.dumps({"schema_version": 1, **shown}, indent=2))
        return 0
    for name, value in shown.items():
        if name not in ("gates", "claimed", "data", "made_with") and value not in (None, "", {}, []):
            text = (
                ", ".join(f"{key} {_short(item)}" for key, item in value.items()) if isinstance(value, dict) else value
            )
            console.out(f"{name + ':':12} {printable(text if isinstance(text, str) else text_of(text))}")
    for item in shown["data"]:
        console.out(f"{item['role'] + ':':12} {item['digest']}  {item['address']}".rstrip())
    for name, gate in run.gates.items():
        console.out(f"{'measured:':12} {name} {_figures(gate_json(gate))}  (entry {gate.id[:12]}, by {gate.signer})")
    for name, value in run.claimed.items():
        console.out(f"{'claimed:':12} {printable(f'{name} {text_of(value)}')}  (by the training program, not measured)")
    return 0


def compare_runs(
    entries: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Two or more runs, by their entries.")],
    everything: Annotated[bool, typer.Option("--all", help="Show what is the same, too.")] = False,
    format: Format = "text",
) -> int:
    """Runs side by side: what differs in settings, code by file, data and versions, and what was measured.

    Measurements are always shown, with their intervals. Two intervals that overlap say that the models may well be
    equally good.

    Examples:

      mlopsctl runs compare 3f2a9c01 77ab03d2
    """
    check_format(format)
    if len(entries) < 2:
        raise UsageError("one run compares with nothing", hint="mlopsctl runs compare RUN RUN", code="MLO7263")
    trail = here()
    chosen = [find_run(trail, entry) for entry in entries]
    lines = compare(trail, chosen)
    if format == "json":
        fields = [
            {"group": one.group, "name": one.name, "values": list(one.values), "differs": one.differs} for one in lines
        ]
        ids = [run.entry.id for run in chosen]
        console.out(json.dumps({"schema_version": 1, "runs": ids, "fields": fields}, indent=2))
        return 0
    rows = [
        (f"{one.group}.{one.name}" if one.group not in ("run", "code") else f"{one.group}: {one.name}",
         *(_cell(one, value) for value in one.values), _remark(one))
        for one in lines
        if everything or one.differs or one.group == "gates"
    ]  # fmt: skip
    for line in console.table(rows, ("", *(run.entry.id[:12] for run in chosen), "")):
        console.out(line)
    return 0


def tried(
    settings: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="Settings; a bare name is a parameter.")],
    format: Format = "text",
) -> int:
    """Was this combination tried, and what came of it? Exit code 0: it was; 1: it never was.

    A name is a parameter, or one of the fields of `runs ls` (seed, address, data, commit …; params.seed where a
    parameter has such a name). Where it was never tried, "never tried" is printed; errors print nothing on stdout.

    Examples:

      mlopsctl runs tried lr=0.01 depth=3

      mlopsctl runs tried address=train.classifier seed=7
    """
    check_format(format)
    conditions = [read_setting(text) for text in settings]
    trail = here()
    data = Data(trail)
    plain = [one for one in conditions if not one.needs_gates]
    with no_collector():
        found = with_gates(trail, select(all_runs(trail), plain, data))
    found = complete(trail, [run for run in found if all(holds(run, one, data) for one in conditions)])
    if format == "json":
        shown = {"schema_version": 1, "tried": bool(found), "runs": [run_json(run, data) for run in found]}
        console.out(json.dumps(shown, indent=2))
    elif found:
        _table(found, data)
    else:
        console.out("never tried: " + ", ".join(f"{one.field}={one.value}" for one in conditions))
    return 0 if found else 1


# --- Text --------------------------------------------------------------------------------------------------------


def _table(found: Sequence[Run], data: Data) -> None:
    if not found:
        console.note("no runs")
        return
    gates = sorted({name for run in found for name in run.gates})
    header = ("entry", "at", "by", "address", "status", "seconds", "params", "data", *gates, "note")
    rows = [
        (
            run.entry.id[:12],
            run.entry.at[:16].replace("T", " "),
            run.entry.signer + ("" if run.entry.trusted else " (untrusted)"),
            run.entry.address,
            f"trial {run.entry.status}" if run.trial else run.entry.status,
            text_of(run.seconds) if run.seconds is not None else "",
            _clip(", ".join(f"{name}={_short(value)}" for name, value in run.params.items())),
            _clip(", ".join(_view(item) for item in data.of(run))),
            *(_value(gate_json(run.gates[name])) if name in run.gates else "" for name in gates),
            _clip(str(run.entry.facts.get("message", "")).partition("\n")[0]),
        )
        for run in found
    ]
    kept = [n for n, name in enumerate(header) if n < 5 or any(row[n] for row in rows)]
    for line in console.table([tuple(row[n] for n in kept) for row in rows], tuple(header[n] for n in kept)):
        console.out(line)


def _clip(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"


def _short(value: Json) -> str:
    return text_of(value)


def _view(item: dict[str, str]) -> str:
    """``digits@1a8c0ce5``: which dataset or model, and which version of it."""
    name = item["address"].partition(":")[0].partition(".")[2]
    return f"{name}@{item['digest'].partition(':')[2][:8]}"


def _value(gate: dict[str, Json]) -> str:
    found = number(gate["value"])
    return f"{found:.4f}" if found is not None else str(gate["status"])


def _figures(gate: dict[str, Json]) -> str:
    ci = gate["ci"]
    interval = f" [{', '.join(_rounded(one) for one in ci)}]" if isinstance(ci, list) else ""
    rows = f" on {gate['n']} rows" if gate["n"] else ""
    return f"{_value(gate)}{interval}{rows}, {gate['status']}" if gate["value"] is not None else str(gate["status"])


def _rounded(value: Json) -> str:
    found = number(value)
    return f"{found:.4f}" if found is not None else text_of(value)


def _cell(line: Line, value: Json) -> str:
    if value is None:
        return "-"
    if line.group == "gates" and isinstance(value, dict):
        return _figures(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = text_of(value)
    algorithm, colon, rest = text.partition(":")
    return f"{algorithm}:{rest[:12]}{rest[64:]}" if colon and len(rest) >= 40 else _clip(text if len(text) != 40 else text[:12])  # fmt: skip


def _remark(line: Line) -> str:
    if line.group != "gates":
        return "differs" if line.differs else ""
    pairs = [[number(end) for end in value["ci"]] for value in line.values if isinstance(value, dict) and value["ci"]]
    ends = [(low, high) for low, high in pairs if low is not None and high is not None]
    if len(ends) < len(line.values):
        return ""
    overlap = max(low for low, _ in ends) <= min(high for _, high in ends)
    return "intervals overlap" if overlap else "intervals apart"
