"""``mlopsctl audit impact``: what was made from something, where it runs, and ruling it out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from ..audit.forward import Brief, standing
from ..audit.impact import Impact, Period, Start, impact_json, resolve
from ..audit.impact import impact as walk_forward
from ..audit.trail import TrailLog
from ..errors import MlopsError, UsageError
from ..render.text import printable
from ..types import Address, Entry
from ..withdrawals import KIND
from . import console
from .anywhere import here, share
from .options import Format, check_format
from .people import check_words

_MUCH = 1000
MOST_ROOTS = 80
"""What fits into the 8 KiB of an entry."""


def impact(
    what: Annotated[
        str, typer.Argument(help="An address, an entry, a digest, a commit, signer:NAME, a key's id, or a withdrawal.")
    ] = "",
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Withdraw it: nothing may use it any more.")] = False,
    lift: Annotated[str, typer.Option("--lift", metavar="ENTRY", help="End this withdrawal.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for everybody who meets it.")] = "",
    every_version: Annotated[
        bool, typer.Option("--every-version", help="Of an address all results, not only the newest.")
    ] = False,
    limit: Annotated[int, typer.Option("-n", "--limit", help="Show so many entries as text; -1 for all.")] = 100,
    format: Format = "text",
) -> int:
    """Everything made from something: entries, who signed them, and the deployments that run it or ever ran it.

    An address means its newest result. Hex digits may begin an entry, a commit or a key; entry:, commit: or key: in
    front says which. With --quarantine nothing that was made from it may be used any more, in any clone that has
    fetched: plan blocks it, rollback, serve and predict refuse it, status names what is live. Running servers are not
    stopped: the halt commands are printed. --lift ends a withdrawal. Both need the role govern. A reason is kept for
    ever: name no persons in it.

    Examples:

      mlopsctl audit impact data.digits

      mlopsctl audit impact train.classifier --quarantine --reason "trained on rows that were withdrawn"

      mlopsctl audit impact --lift 3f9a1c20 --reason "false alarm, see RISK-114"
    """
    check_format(format)
    _check_words(what, lift, reason, quarantine=quarantine)
    trail = here()
    if lift:
        return _lift(trail, lift, check_words(reason, "the reason"), format)
    start = resolve(trail, what, every_version=every_version)
    if quarantine and len(start.roots) > MOST_ROOTS:
        raise MlopsError(
            f"'{what}' has {len(start.roots)} roots, and one withdrawal names at most {MOST_ROOTS}",
            hint="withdraw what they have in common: a dataset, a commit, signer:NAME or a key",
            code="MLO7254",
        )
    entry = _withdraw(trail, start, check_words(reason, "the reason")) if quarantine else None
    found = walk_forward(trail, start)
    if format == "json":
        shown = {**impact_json(found), "quarantine": entry.id if entry else None}
        # Indenting is done in Python, and takes longer than all the rest where there is much.
        console.out(json.dumps(shown, indent=2 if len(found.reached) < _MUCH else None))
    else:
        _print(found, limit)
        _advise(found, quarantined=entry is not None)
    return share(trail) if entry is not None else 0


def _check_words(what: str, lift: str, reason: str, *, quarantine: bool) -> None:
    """Raises UsageError for words that do not go together."""
    if bool(what) == bool(lift) or (lift and quarantine):
        raise UsageError(
            "name either what to follow, or with --lift the withdrawal to end",
            hint='mlopsctl audit impact data.digits; mlopsctl audit impact --lift ENTRY --reason "…"',
            code="MLO7255",
        )
    if bool(reason) != (quarantine or bool(lift)):
        raise UsageError(
            "--quarantine and --lift need a --reason, and nothing else has one",
            hint=f'mlopsctl audit impact {what or "--lift " + lift} {"--quarantine " if not lift else ""}--reason "…"',
            code="MLO7256",
        )


def _withdraw(trail: TrailLog, start: Start, reason: str) -> Entry | None:
    """Appends the withdrawal; None, with a note, where the same roots are withdrawn already."""
    for one in standing(trail):
        if set(start.roots) <= one.roots:
            console.note(f"nothing is recorded: {start.what} was {one} (entry {one.entry[:12]})")
            return None
    return trail.append(
        KIND, facts={"what": start.what, "roots": list(start.roots), "reason": reason}, commit=_newest_commit(trail)
    )


def _newest_commit(trail: TrailLog) -> str:
    """The commit that the newest entry is about: a clone of the trail alone has no other."""
    entry = trail.entry(trail.tips()[0]) if trail.tips() else None
    return entry.commit if entry else ""


def _lift(trail: TrailLog, wanted: str, reason: str, format: str) -> int:
    named = trail.find(wanted)
    ended = next((one for one in standing(trail) if one.entry == named.id), None)
    if ended is None:
        raise MlopsError(
            f"entry {named.id[:12]} is no withdrawal in force",
            hint="mlopsctl audit log --kind withdraw shows them",
            code="MLO7257",
        )
    entry = trail.append(KIND, facts={"lifts": [ended.entry], "reason": reason}, commit=_newest_commit(trail))
    if format == "json":
        console.out(json.dumps({"schema_version": 1, "lifted": ended.entry, "entry": entry.id}, indent=2))
    else:
        console.out(f"ended: {printable(str(ended))}")
        console.out(f"  by entry {entry.id[:12]}, signed by {entry.signer}")
    return share(trail)


# --- Text --------------------------------------------------------------------------------------------------------


def _print(found: Impact, limit: int) -> None:
    start = found.start
    for one in found.withdrawn:
        console.out(console.paint(f"{printable(str(one))} (entry {one.entry[:12]})", "red"))
    console.out(f"{start.what}: {_count(len(start.entries), 'entry', 'entries')}")
    for line in console.table([_row(entry, "") for entry in _first(start.entries, limit)]):
        console.out(f"  {line}")
    for digest in start.digests if not start.entries else ():
        console.out(f"  {digest}: made by no valid entry of this trail")
    console.out("")
    console.out(f"made from it: {_count(len(found.reached), 'entry', 'entries')}")
    names = {entry.id: entry.address or entry.kind for entry in start.entries}
    names |= {one.entry.id: one.entry.address or one.entry.kind for one in found.reached}
    rows = []
    for item in found.reached[: limit if limit >= 0 else None]:
        sources = ", ".join(dict.fromkeys(names[parent] for parent in item.parents))
        rows.append(_row(item.entry, f"from {sources}" if sources else ""))
    for line in console.table(rows):
        console.out(f"  {line}")
    if len(found.reached) > len(rows):
        console.out(f"  … and {len(found.reached) - len(rows)} more: -n -1, or --format json")
    console.out("")
    console.out(f"deployments: {_count(len(found.deployments), 'release', 'releases')}")
    for period in found.deployments:
        console.out(f"  {_period(period)}")


def _first(entries: Sequence[Entry], limit: int) -> Sequence[Entry]:
    return entries[:limit] if limit >= 0 else entries


def _count(number: int, one: str, many: str) -> str:
    return f"{number or 'no'} {one if number == 1 else many}"


def _row(entry: Entry | Brief, last: str) -> tuple[str, ...]:
    signer = entry.signer + ("" if entry.trusted else " (untrusted)")
    return entry.id[:12], entry.at, signer, entry.address or entry.kind, entry.status, last


def _period(one: Period) -> str:
    entry = one.entry
    where = f" at {printable(entry.location)}" if entry.location else ""
    when = f"ran from {entry.at} until {one.until}" if one.until else f"runs since {entry.at}"
    why = f", judged by {', '.join(one.judged_by)}" if one.judged_by else ""
    text = f"{entry.address}{where}  {when}{why}  (entry {entry.id[:12]}, signed by {entry.signer})"
    return text if one.until else console.paint(text, "yellow")


def _advise(found: Impact, *, quarantined: bool) -> None:
    """What to do next, on stderr."""
    live = sorted({Address.parse(one.address).name for one in found.deployments if not one.until})
    if quarantined or found.withdrawn:
        if quarantined:
            console.note("withdrawn: plan blocks what follows from it, rollback, serve and predict refuse it")
        for name in live:
            console.note(f'still answering, cut it out: mlopsctl halt {name} --reason "withdrawn"')
    elif found.reached and found.start.entries:
        console.note(f'to rule it out: mlopsctl audit impact {found.start.what} --quarantine --reason "…"')
