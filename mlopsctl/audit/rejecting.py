"""Signing the rejection of a line that never was valid."""

from __future__ import annotations

import hashlib

from ..errors import EvidenceError, MlopsError
from ..types import Entry
from .rejects import REJECTABLE
from .sharing import incoming
from .trail import TrailLog
from .verify import Finding, Line


def reject(trail: TrailLog, name: str, reason: str, commit: str = "") -> tuple[Finding, Entry]:
    """Signs the rejection of the line that ``name`` begins: an entry's id, the sha256 of a line, or NOTE:LINE.

    The line stands in this clone's trail, or in what was fetched from a remote and not taken in.

    Raises EvidenceError for a valid entry (MLO7173) and for a finding that is mended otherwise (MLO7174), MlopsError
    where nothing wrong begins like that (MLO7175).
    """
    with trail.ledger.journal.lock():
        finding, digest = _wrong(trail, name)
        which = {"line": digest} if digest else {"entry": finding.entry}
        entry = trail.append("reject", facts={**which, "code": finding.code, "reason": reason}, commit=commit)
        trail.flush()
    return finding, entry


def _wrong(trail: TrailLog, name: str) -> tuple[Finding, str]:
    """The one finding about the named line, and the sha256 of a line that has no id."""
    trail.settle()  # A signature that nobody relied on yet may be what is wrong.
    found: dict[tuple[str, str], tuple[Finding, str]] = {}
    bodies = {line.name: hashlib.sha256(line.text).hexdigest() for line in _lines(trail)}
    for one in _findings(trail):
        digest = bodies.get(one.entry, "") if ":" in one.entry else ""
        if name and (one.entry.startswith(name) or digest.startswith(name)):
            found[digest or one.entry, one.code] = one, digest
    if len({key for key, _ in found}) > 1:
        names = ", ".join(sorted(one.entry for one, _ in found.values())[:5])
        raise MlopsError(f"'{name}' begins several findings", hint=f"one of {names}", code="MLO7175")
    for one, digest in found.values():
        if one.code in REJECTABLE:
            return one, digest
    for one, _ in found.values():
        raise EvidenceError(
            f"{one.code} is no fault of the line '{one.entry[:12]}' itself: {one.message}",
            hint=f"bring back what is missing: mlopsctl pull --trail-only; see mlopsctl explain {one.code}",
            code="MLO7174",
        )
    if len(name) > 3 and any(
        (place := trail.ledger.place(entry)) and place.valid for entry in trail.ledger.index.ids_like(name)
    ):
        raise EvidenceError(
            f"entry {name[:12]} is valid, and a valid entry cannot be rejected",
            hint="a result that must not be used any more is withdrawn; a newer entry supersedes an older one",
            code="MLO7173",
        )
    raise MlopsError(
        f"nothing wrong in this trail begins with '{name}'",
        hint="mlopsctl audit verify --format json names every finding; mlopsctl pull --trail-only those of a remote",
        code="MLO7175",
    )


def _findings(trail: TrailLog) -> list[Finding]:
    """On record here, and about lines of remotes that were refused."""
    ledger = trail.ledger
    found = [Finding(*one) for one in ledger.index.findings()]
    for theirs in ledger.log.tracking().values():
        found += ledger.judge(incoming(trail, ledger.log.tip(), theirs))[1]
    return found


def _lines(trail: TrailLog) -> list[Line]:
    log = trail.ledger.log
    found: list[Line] = []
    for tip in (*log.tracking().values(), log.tip()):
        notes = log.notes(tip)
        for note, (_, body) in zip(notes, log.blobs(list(notes.values())), strict=True):
            found += [Line(text, note, number) for number, text in enumerate(body.split(b"\n"), 1) if text]
    return found
