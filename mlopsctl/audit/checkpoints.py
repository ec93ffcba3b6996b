"""Checkpoints: signed entries that say, with SHA-512 over the payloads, what all entries before them were.

The chain itself is SHA-256 over each entry. A checkpoint protects the range before it once more, under its own signer's
key: an older range is countersigned by another party, or with a stronger key, by a checkpoint that they sign.

``facts.sha512`` is the SHA-512 of one line for each ancestor, in the order of (seq, id), in the form that
``sha512sum`` prints: the SHA-512 of the payload's bytes in hex, two spaces, the entry's id, a newline. ``facts.entries``
is the number of lines.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from ..types import Entry
from .dsse import entry_id
from .ledger import Ledger
from .trail import TrailLog, read_payload
from .verify import VALID, Finding

KIND = "checkpoint"
_PARENTS = re.compile(rb'"parents":\[([^\]]*)\]')
_META = "checkpoints"


def write_checkpoint(trail: TrailLog, reason: str, commit: str = "") -> Entry:
    """Signs a checkpoint over everything that stands in the trail now.

    Raises EvidenceError where there is no trail or key, or the key lacks the role ``govern``.
    """
    with trail.ledger.journal.lock():
        trail.settle()
        count, digest = Ranges(trail.ledger).below(trail.ledger.tips())
        return trail.append(KIND, facts={"entries": count, "sha512": digest, "reason": reason}, commit=commit)


def newest_checkpoint(trail: TrailLog) -> Entry | None:
    """The checkpoint that covers the whole trail: the only tip is it itself."""
    tips = trail.tips()
    entry = trail.entry(tips[0]) if len(tips) == 1 else None
    return entry if entry is not None and entry.kind == KIND else None


def checkpoint_findings(ledger: Ledger) -> list[Finding]:
    """Every checkpoint whose range is now other than what it says.

    An id stands for everything before it, so a checkpoint that was met stays met until the index starts anew.
    """
    rows = list(ledger.index.many("address = '' AND kind = 'checkpoint' AND state = ? ORDER BY seq, id", (VALID,)))
    if not rows:
        return []
    met = set(json.loads(ledger.index.meta(_META, "[]")))
    waiting = [(entry_id(payload), payload) for payload, _ in rows]
    waiting = [(entry, payload) for entry, payload in waiting if entry not in met]
    if not waiting:
        return []
    fields = {entry: read_payload(payload) for entry, payload in waiting}
    ranges = Ranges(ledger, max(one["seq"] for one in fields.values()))
    found = []
    for entry, one in fields.items():
        facts, (count, digest) = one.get("facts", {}), ranges.below(one["parents"])
        if (facts.get("entries"), facts.get("sha512")) == (count, digest):
            met.add(entry)
        else:
            text = f"the {count} entries before this checkpoint are not those that it was signed over"
            found.append(Finding("MLO7180", entry, text))
    ledger.index.set_meta(_META, sorted(met))
    return found


class Ranges:
    """The entries of a trail in the order of (seq, id), and what checkpoints make of them."""

    def __init__(self, ledger: Ledger, before: int = 2**53) -> None:
        self._rank: dict[str, int] = {}
        self._parents: list[tuple[int, ...]] = []
        self._lines: list[bytes] = []
        ledger.settle()  # or the two answers below could differ by an entry whose signature does not hold
        where = "state IN ('valid', 'retired') AND seq < ?"
        payloads = ledger.index.many(f"{where} ORDER BY seq, id", (before,))
        for (payload, _), entry in zip(payloads, ledger.index.ids(where, (before,)), strict=True):
            self._rank[entry] = len(self._lines)
            self._parents.append(self._known(_parents(payload)))
            self._lines.append(f"{hashlib.sha512(payload).hexdigest()}  {entry}\n".encode())
        self._start_anew()

    def _start_anew(self) -> None:
        self._tips: set[int] = set()
        self._within: set[int] = set()
        self._last = -1
        self._hash = hashlib.sha512()

    def _known(self, ids: Iterable[str]) -> tuple[int, ...]:
        return tuple(self._rank[one] for one in ids if one in self._rank)

    def ancestors(self, ids: Sequence[str]) -> set[str]:
        """The ids of these entries and of all before them."""
        reached, _ = self._walk(self._known(ids), set())
        return {entry for entry, rank in self._rank.items() if rank in reached}

    def below(self, tips: Sequence[str]) -> tuple[int, str]:
        """(number, SHA-512 in hex) of these entries and all before them.

        Checkpoints mostly follow each other: asked for in their order, each goes on from the one before.
        """
        start = self._known(tips)
        fresh, touched = self._walk(start, self._within)
        if not self._tips <= touched:
            self._start_anew()
            fresh, _ = self._walk(start, self._within)
        if not fresh or min(fresh) > self._last:
            self._hash.update(b"".join(self._lines[rank] for rank in sorted(fresh)))
        else:
            everything = sorted(self._within | fresh)
            self._hash = hashlib.sha512(b"".join(self._lines[rank] for rank in everything))
        self._within |= fresh
        self._tips = set(start)
        self._last = max(self._last, *fresh) if fresh else self._last
        return len(self._within), self._hash.hexdigest()

    def _walk(self, start: Iterable[int], known: set[int]) -> tuple[set[int], set[int]]:
        """What is reached from ``start`` outside of ``known``, and what of ``known`` was touched on the way."""
        fresh: set[int] = set()
        touched: set[int] = set()
        waiting = list(start)
        while waiting:
            rank = waiting.pop()
            if rank in known:
                touched.add(rank)
            elif rank not in fresh:
                fresh.add(rank)
                waiting += self._parents[rank]
        return fresh, touched


def _parents(payload: bytes) -> list[str]:
    """The parents of a stored payload, without parsing all of it where the word stands in it once."""
    found = _PARENTS.findall(payload)
    if len(found) == 1:
        return [one.strip('"') for one in found[0].decode().split(",") if one]
    parents: list[str] = read_payload(payload)["parents"]
    return parents
