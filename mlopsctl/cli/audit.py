"""``mlopsctl audit``: reading, checking and following the trail."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..adapters.git import find_repo
from ..audit.checks import verify as verify_trail
from ..audit.sharing import adopt_fetched, fetch_state
from ..audit.trace import Node, entry_json
from ..audit.trace import trace as walk_back
from ..audit.trail import TrailLog
from ..errors import EvidenceError, MlopsError
from ..types import Entry
from . import console
from .options import Format, check_format
from .project import open_project
from .trail import open_trail, warn


def _trail() -> TrailLog:
    """The trail of the project, or of a clone that has nothing but the trail. Raises MlopsError without one."""
    from pathlib import Path

    try:
        trail = open_project().trail
    except MlopsError as error:
        if error.code not in ("MLO1006", "MLO1007"):
            raise
        repo = find_repo(Path.cwd())
        trail = open_trail(repo, repo.common_dir / "mlops")
    if fetch_state(trail) == "missing":
        warn(adopt_fetched(trail))
    if fetch_state(trail) == "missing":
        raise MlopsError("this clone has not fetched the trail yet", hint="mlopsctl pull --trail-only", code="MLO8005")
    return trail


def log(
    address: Annotated[str, typer.Argument(help="Only this address; * stands for anything.")] = "",
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only these kinds, for example result.")] = None,
    signer: Annotated[str, typer.Option(help="Only entries by this signer.")] = "",
    since: Annotated[str, typer.Option(help="Only from this UTC time on, for example 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="Only up to this UTC time.")] = "",
    limit: Annotated[int, typer.Option("-n", "--limit", help="At most so many entries; -1 for all.")] = 50,
    format: Format = "text",
) -> int:
    """The entries of the trail, newest first; only valid ones count and are shown.

    Examples:

      mlopsctl audit log

      mlopsctl audit log 'deployments.*' --kind result -n 5
    """
    check_format(format)
    trail = _trail()
    found = trail.entries(address, kind or (), signer=signer, since=since, until=until, newest_first=True, limit=limit)
    if format == "json":
        shown = {"schema_version": 1, "entries": [entry_json(entry) for entry in found]}
        console.out(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    rows = [
        (
            entry.id[:12],
            entry.at,
            entry.signer + ("" if entry.trusted else " (untrusted)"),
            entry.kind,
            entry.address,
            entry.status,
        )
        for entry in found
    ]
    for line in console.table(rows):
        console.out(line)
    _problems(trail)
    return 0


def show(
    entry: Annotated[str, typer.Argument(help="The entry's id, or how it begins.")],
    statement: Annotated[bool, typer.Option("--statement", help="The signed in-toto statement, as it is.")] = False,
    format: Format = "text",
) -> int:
    """One entry in full.

    Examples:

      mlopsctl audit show 3f2a9c01

      mlopsctl audit show 3f2a9c01 --statement
    """
    check_format(format)
    trail = _trail()
    found = trail.find(entry)
    if statement:
        row = trail.ledger.index.one("id = ?", (found.id,))
        console.out(row[0].decode() if row else "")
        return 0
    if format == "json":
        console.out(json.dumps({"schema_version": 1, **entry_json(found)}, indent=2, ensure_ascii=False))
        return 0
    for name, value in entry_json(found).items():
        if value not in ("", [], {}):
            text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            console.out(f"{name + ':':15} " + text.replace("\n", "\n" + " " * 16))
    return 0


def verify(
    strict: Annotated[bool, typer.Option("--strict", help="A root entry that nobody pinned is a finding too.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Forget what was verified before; check every signature.")
    ] = False,
    format: Format = "text",
) -> int:
    """Check every entry, signature and link, and that nothing seen before is gone.

    Examples:

      mlopsctl audit verify

      mlopsctl audit verify --strict --full --format json
    """
    check_format(format)
    verdict = verify_trail(_trail().ledger, full=full, roots=strict)
    if format == "json":
        console.out(json.dumps({"schema_version": 1, **verdict.as_json()}, indent=2))
        return 0 if verdict.ok else EvidenceError.exit_code
    for finding in (*verdict.findings, *verdict.warnings):
        bad = finding in verdict.findings
        word = console.paint("finding" if bad else "warning", "red" if bad else "yellow")
        console.out(f"{word}[{finding.code}] entry {finding.entry[:12] or '-'}: {finding.message}")
    word = console.paint("ok", "green") if verdict.ok else console.paint("NOT OK", "red")
    console.out(
        f"{word}: {verdict.entries} valid entries, {len(verdict.tips)} tip{'s' * (len(verdict.tips) != 1)}, "
        f"{len(verdict.findings)} findings; root {verdict.root}, freshness {verdict.freshness}"
    )
    if verdict.findings:
        console.note(f"  next: mlopsctl explain {verdict.findings[0].code}")
    return 0 if verdict.ok else EvidenceError.exit_code


def trace(
    what: Annotated[str, typer.Argument(help="An address such as deployments.local, or an entry's id.")],
    format: Format = "text",
) -> int:
    """From a deployment back to its artifact, gates, training run, data, code and people.

    Examples:

      mlopsctl audit trace deployments.local

      mlopsctl audit trace train.classifier --format json
    """
    check_format(format)
    trail = _trail()
    entry = trail.latest(what) if "." in what else trail.find(what)
    if entry is None:
        raise MlopsError(
            f"the trail has no result for '{what}'", hint="mlopsctl audit log shows addresses", code="MLO7115"
        )
    node = walk_back(trail, entry)
    if format == "json":
        console.out(json.dumps({"schema_version": 1, **node.as_json()}, indent=2, ensure_ascii=False))
        return 0
    _print(node, "", set())
    _problems(trail)
    return 0


def _problems(trail: TrailLog) -> None:
    found = trail.problems()
    if found:
        console.note(f"warning: the trail has {len(found)} findings: mlopsctl audit verify")


def _print(node: Node, indent: str, printed: set[str]) -> None:
    role = f"{node.role}: " if node.role else ""
    if node.entry is None:
        console.out(f"{indent}{role}{node.digest[:19]}… made by no valid entry of this trail")
        return
    entry = node.entry
    again = f"  entry {entry.id[:12]}, as above" if entry.id in printed else ""
    console.out(indent + role + console.paint(entry.address, "bold") + (again or _status(entry)))
    if again:
        return
    printed.add(entry.id)
    for line in _details(entry):
        console.out(f"{indent}    {line}")
    for gate in node.gates:
        console.out(
            f"{indent}    gate: {console.paint(gate.address, 'bold')}{_status(gate)}  {_figures(gate)}".rstrip()
        )
        console.out(f"{indent}        signed by {gate.signer} at {gate.at}, entry {gate.id[:12]}")
    for below in node.inputs:
        _print(below, indent + "    ", printed)


def _status(entry: Entry) -> str:
    return f"  {entry.status}" if entry.status not in ("", "done") else ""


def _words(value: Any) -> str:
    """Figures as people write them: decimals in entries are text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(item)}" for name, item in value.items())
    return "[" + ", ".join(map(_words, value)) + "]" if isinstance(value, list) else str(value)


def _details(entry: Entry) -> list[str]:
    trust = "" if entry.trusted else " (a key without the role: this machine only)"
    lines = [f"signed by {entry.signer}{trust} at {entry.at}, entry {entry.id[:12]}, commit {entry.commit[:12] or '-'}"]
    for name, digest in entry.outputs.items():
        if not name.endswith(".sig"):
            lines.append(f"{name}: {digest}")
    if entry.facts.get("origin"):
        lines.append(f"origin: imported, {_origin(entry.facts['origin'])}")
    figures = _figures(entry)
    return [*lines, figures] if figures else lines


def _origin(origin: dict[str, Any]) -> str:
    """Whose word stands for an imported model, or for each that a deployment runs."""
    if "state" not in origin:
        return ", ".join(f"{address} {words}" for address, words in origin.items())
    return f"{origin['state']} by {origin['by']} ({origin['how']})" if "by" in origin else str(origin["state"])


_SHOWN = ("value", "ci", "n", "proof", "agreement", "max_abs_diff", "runtime", "opset", "rows", "path", "endpoint")


def _figures(entry: Entry) -> str:
    spec: dict[str, Any] = dict(entry.ingredients.get("spec") or {})
    words = [f"{name} {spec[name]}" for name in ("run", "metric", "params") if spec.get(name)]
    for name in _SHOWN:
        value = entry.facts.get(name)
        if value not in (None, "", [], {}):
            words.append(f"{name} {_words(value)}")
    return ", ".join(words)
