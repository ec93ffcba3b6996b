"""The lines of notes and journal that the index has not judged yet, as a stream: a long trail is never held whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from io import BytesIO

from ..errors import EvidenceError
from .ports import Index, Journal, Log
from .verify import Line

LOCAL_NOTE = "local"
JOURNAL_NOTE = ""


class Gone(Exception):
    """Something that was judged before is not there any more: all of it must be judged anew."""


def new_lines(log: Log, journal: Journal, index: Index, tip: str) -> Iterator[Line]:
    """New lines, those of one note together; tells the index what was read. Raises Gone."""
    moved = journal.stamp()[0] < int(index.meta("journal", "0")) or tip != index.meta("tip")
    # Lines of the journal may have gone into notes since, and nowhere else.
    missing = index.lines(JOURNAL_NOTE) if moved else set()
    if missing:
        missing -= {_digest(text) for text in journal.read(journal.shared)[0]}
    for line in _of_notes(log, index, tip):
        if missing:
            missing.discard(_digest(line.text))
        yield line
    if missing:
        raise Gone
    if moved:
        index.forget_journal()
        index.set_meta("journal", "0")
    yield from _of_journal(journal, index)
    index.set_meta("tip", tip)


def _of_notes(log: Log, index: Index, tip: str) -> Iterator[Line]:
    now, before = log.notes(tip), index.notes()
    if not before.keys() <= now.keys():
        raise Gone
    changed = {note: blob for note, blob in now.items() if before.get(note) != blob}
    grown = [note for note in changed if note in before]
    try:
        old = dict(zip(grown, (body for _, body in log.blobs([before[note] for note in grown])), strict=True))
    except EvidenceError:
        raise Gone from None  # git has dropped the old version, or it is damaged
    for note, (_, body) in zip(changed, log.blobs(list(changed.values())), strict=True):
        if note not in old:
            if body.find(b"\n") == len(body) - 1 > 0:  # one entry, as on most commits
                yield Line(body[:-1], note, 1)
                continue
            yield from (Line(text, note, number) for number, text in _numbered(body))
            continue
        known = set(old.pop(note).split(b"\n"))
        texts = {text for _, text in _numbered(body)}
        # A line gone, or one that stands twice: judge all of it anew.
        if not known - {b""} <= texts or sum(1 for _ in _numbered(body)) > len(texts):
            raise Gone
        yield from (Line(text, note, number) for number, text in _numbered(body) if text not in known)
    index.set_notes(changed.items())


def _of_journal(journal: Journal, index: Index) -> Iterator[Line]:
    for path, name, start in (
        (journal.shared, JOURNAL_NOTE, int(index.meta("journal", "0"))),
        (journal.local, LOCAL_NOTE, int(index.meta("local", "0"))),
    ):
        lines, end = journal.read(path, start)
        index.add_lines((name, _digest(text)) for text in lines)
        index.set_meta("local" if name else "journal", str(end))
        yield from (Line(text, "", number, name == LOCAL_NOTE) for number, text in enumerate(lines, 1))


def lines_of(body: bytes) -> set[bytes]:
    """The lines of a note."""
    return {text for _, text in _numbered(body)}


def _numbered(body: bytes) -> Iterable[tuple[int, bytes]]:
    """Lines with their numbers, one by one: a note that everything hangs on is large."""
    return ((number, line.rstrip(b"\n")) for number, line in enumerate(BytesIO(body), 1) if line != b"\n")


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()
