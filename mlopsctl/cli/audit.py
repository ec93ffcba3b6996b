"""``mlopsctl audit show`` and ``verify``: one entry in full, and whether everything holds."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from ..audit.trace import entry_json
from ..errors import EvidenceError
from ..render.text import printable
from . import console
from .anchors import witnesses
from .audit_checks import checked
from .audit_source import At, Offline, Root, audit_trail
from .options import Format, check_format
from .write import ReportFormat, Write, reports, written

if TYPE_CHECKING:
    from ..render.report import Report


def show(
    entry: Annotated[str, typer.Argument(help="The entry's id, or how it begins.")],
    statement: Annotated[bool, typer.Option("--statement", help="The signed in-toto statement, as it is.")] = False,
    offline: Offline = None,
    format: Format = "text",
) -> int:
    """One entry in full.

    Examples:

      mlopsctl audit show 3f2a9c01

      mlopsctl audit show 3f2a9c01 --statement
    """
    check_format(format)
    trail = audit_trail(offline)
    found = trail.find(entry)
    if statement:
        row = trail.ledger.index.one("id = ?", (found.id,))
        console.out(row[0].decode() if row else "")
        return 0
    assured = witnesses(trail).assurance(found)
    if format == "json":
        shown = {"schema_version": 1, **entry_json(found), "assurance": assured.as_json()}
        console.out(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    for name, value in {**entry_json(found), "signature": assured.signature, "time": assured.time}.items():
        if value not in ("", [], {}):
            text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            console.out(f"{name + ':':15} " + printable(text).replace("\n", "\n" + " " * 16))
    return 0


@written("audit verify")
def verify(
    strict: Annotated[bool, typer.Option("--strict", help="A root entry that nobody pinned is a finding too.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Forget what was verified before; check every signature.")
    ] = False,
    anchors: Annotated[
        list[str] | None, typer.Option("--anchor", help="Also look at this place: s3://…, tsa:…, file:… or tag:….")
    ] = None,
    countersigner: Annotated[
        list[str] | None, typer.Option(help="A public key whose countersignatures on receipts count.")
    ] = None,
    read_bytes: Annotated[
        bool, typer.Option("--bytes", help="Hash every output that is in the store here against what was attested.")
    ] = False,
    at: At = "",
    offline: Offline = None,
    root: Root = "",
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """Check every entry, signature and link, that nothing seen before is gone, and what is remembered outside.

    Examples:

      mlopsctl audit verify

      mlopsctl audit verify --strict --full --format json

      mlopsctl audit verify --anchor s3://acme-audit/digits --anchor file:/media/stick/

      mlopsctl audit verify --offline for-the-auditor --root 3f2a9c01…
    """
    verdict, more, lines = checked(
        offline, root, at, anchors or (), countersigner or (), strict=strict, full=full, read_bytes=read_bytes
    )
    document = {"schema_version": 1, **verdict.as_json(), **more}

    def report() -> Report:
        from ..render.reports import audit_report

        return audit_report(verdict, document, lines)

    reports(report)
    if format == "json":
        console.out(json.dumps(document, indent=2, ensure_ascii=False))
    if format != "text":
        return 0 if verdict.ok else EvidenceError.exit_code
    for finding in (*verdict.findings, *verdict.warnings):
        bad = finding in verdict.findings
        word = console.paint("finding" if bad else "warning", "red" if bad else "yellow")
        console.out(f"{word}[{finding.code}] {_place(finding.entry)}: {printable(finding.message)}")
    word = console.paint("ok", "green") if verdict.ok else console.paint("NOT OK", "red")
    console.out(
        f"{word}: {verdict.entries} valid entries, {len(verdict.tips)} tip{'s' * (len(verdict.tips) != 1)}, "
        f"{len(verdict.findings)} findings; root {verdict.root}, freshness {verdict.freshness}"
    )
    for line in lines:
        console.out(printable(line))
    if verdict.findings:
        console.note(f"  next: mlopsctl explain {verdict.findings[0].code}")
    return 0 if verdict.ok else EvidenceError.exit_code


def _place(entry: str) -> str:
    """An entry by the head of its id; a note's line or a file as it is."""
    return f"entry {entry[:12] or '-'}" if not re.search(r"[^0-9a-f]", entry) else printable(entry)
