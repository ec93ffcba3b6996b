"""``mlopsctl audit log``: the entries of the trail, filtered and paged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain, islice
from typing import Annotated

import typer

from ..audit.trace import entry_json
from ..audit.trail import TrailLog
from ..audit.trust import KINDS
from ..errors import UsageError
from ..types import Entry
from . import console
from .audit_source import Offline, audit_trail, day_end, day_start
from .options import Format, check_format
from .pager import paged

_PAGE = 50


def log(
    address: Annotated[str, typer.Argument(help="Only this address; * stands for anything, ? for one letter.")] = "",
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only these kinds, for example result.")] = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="Only these, for example failed.")] = None,
    signer: Annotated[str, typer.Option(help="Only entries by this signer.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="From this day or UTC moment on: 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Up to the end of this day, or this moment.")] = "",
    before: Annotated[str, typer.Option(metavar="ENTRY", help="Only entries older than this one.")] = "",
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", help="At most so many; default: 50, all in the pager and in JSON.")
    ] = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="No pager on a terminal ($PAGER, else less).")] = False,
    offline: Offline = None,
    format: Format = "text",
) -> int:
    """The entries of the trail, newest first; only valid ones count and are shown.

    Examples:

      mlopsctl audit log

      mlopsctl audit log 'deployments.*' --kind result -n 5

      mlopsctl audit log --status failed --since 2026-11-01
    """
    check_format(format)
    unknown = sorted(set(kind or ()) - set(KINDS))
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: there is no such kind", hint=", ".join(sorted(KINDS)), code="MLO7245")
    since, until = since and day_start(since, "--since"), until and day_end(until, "--until")
    trail = audit_trail(offline)
    older = trail.find(before) if before else None
    with paged(not no_pager and format == "text") as everything:
        most = limit if limit is not None else -1 if everything or format == "json" else _PAGE
        found = trail.each(
            address, kind or (), signer=signer, statuses=status or (), since=since, until=until, before=older,
            newest_first=True, limit=most if most < 0 else most + 1,
        )  # fmt: skip
        if format == "json":
            _json(found, most)
        else:
            last = _table(found, most)
            if last is not None and limit is None:
                console.note(f"there are older ones: --before {last.id[:12]}, or -n -1 for all")
    _problems(trail)
    return 0


def _json(found: Iterable[Entry], most: int) -> None:
    """One document, written as the entries come: however many they are, one at a time is in memory."""
    console.out('{"schema_version": 1, "entries": [')
    comma = ""
    for number, entry in enumerate(found):
        if most < 0 or number < most:
            console.out(comma + json.dumps(entry_json(entry), ensure_ascii=False))
            comma = ","
    console.out("]}")


def _table(found: Iterable[Entry], most: int) -> Entry | None:
    """Aligned lines as the entries come, with the widths of the first page; the last one shown where more are left."""
    entries = iter(found)
    first = list(islice(entries, _PAGE))
    if not first:
        console.note("no entries")
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*map(_cells, first), strict=True)]
    last = None
    for number, entry in enumerate(chain(first, entries)):
        if 0 <= most <= number:
            return last
        last = entry
        cells = [cell.ljust(width) for cell, width in zip(_cells(entry), widths, strict=True)]
        colour = _COLOURS.get(entry.status) or _COLOURS.get(entry.kind, "")
        painted = [console.paint(cells[0], "yellow"), console.paint(cells[1], "grey"), *cells[2:5]]
        console.out("  ".join([*painted, console.paint(cells[5].rstrip(), colour)]).rstrip())
    return None


_COLOURS = {
    "passed": "green", "failed": "red", "failure": "red", "inconclusive": "yellow", "not_assessed": "yellow",
    "halt": "red", "withdraw": "red", "reject": "red", "incident": "red", "rollback": "yellow", "destroy": "yellow",
    "trust": "blue", "root": "blue",
}  # fmt: skip


def _cells(entry: Entry) -> tuple[str, ...]:
    from ..render.text import printable

    signer = entry.signer + ("" if entry.trusted else " (untrusted)")
    return entry.id[:12], entry.at, printable(signer), entry.kind, entry.address, printable(entry.status)


def _problems(trail: TrailLog) -> None:
    found = trail.problems()
    if found:
        console.note(f"warning: the trail has {len(found)} findings: mlopsctl audit verify")
