"""The trail as it stood at a moment or at an entry: only what stood then, judged as it was judged then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from ..errors import MlopsError
from .dsse import BadLine
from .entry import Record, read_line
from .fixed_log import FixedLog, fixed_trail
from .ledger import Ledger
from .ports import Index
from .trail import TrailLog


def lines_of(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    """(note, line) of every shared line there is, those that wait in the journal last."""
    notes = ledger.log.notes(ledger.log.tip())
    for note, (_, body) in zip(notes, ledger.log.blobs(list(notes.values())), strict=True):
        yield from ((note, line) for line in body.split(b"\n") if line)
    for line in ledger.journal.read(ledger.journal.shared)[0]:
        with suppress(BadLine):
            yield read_line(line).commit, line


def as_of(trail: TrailLog, at: str, index: Index) -> TrailLog:
    """The trail at ``at``: a UTC moment, or an entry's id, which gives what that entry built on and itself.

    Raises MlopsError where nothing stood then (MLO7238).
    """
    found: list[tuple[str, bytes, Record]] = []
    for note, line in lines_of(trail.ledger):
        with suppress(BadLine):
            found.append((note, line, read_line(line)))
    records = {record.id: record for _, _, record in found}
    standing = _until(records.values(), at) if "-" in at else _ancestors(records, trail.find(at).id)
    bodies: dict[str, list[bytes]] = {}
    for note, line, record in found:
        if record.id in standing:
            bodies.setdefault(note, []).append(line)
    if not bodies:
        raise MlopsError(f"no entry of this trail stood at {at}", hint="mlopsctl audit log -n -1", code="MLO7238")
    log = trail.ledger.log
    whole = {note: b"".join(line + b"\n" for line in lines) for note, lines in bodies.items()}
    fixed = FixedLog(whole, frozenset(log.code_names(log.tip())), log.code_files)
    return fixed_trail(fixed, trail.ledger.expected, trail.ledger.check, index)


def _until(records: Iterable[Record], moment: str) -> set[str]:
    """What stood at a moment. A backdated entry stood no earlier than what it names."""
    latest: dict[str, str] = {}
    for record in sorted(records, key=lambda one: one.seq):
        before = [latest[parent] for parent in record.parents if parent in latest]
        latest[record.id] = max([str(record.fields["at"]), *before])
    return {entry for entry, at in latest.items() if at <= moment}


def _ancestors(records: dict[str, Record], entry: str) -> set[str]:
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        one = waiting.pop()
        if one in records and one not in found:
            found.add(one)
            waiting += records[one].parents
    return found
