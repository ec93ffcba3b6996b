"""Two clones deployed to one place, neither knowing of the other: after a merge both are the latest."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from ..types import Entry
from .entry import parents_of
from .ledger import Ledger

LOOKED_AT = 64
"""So many of the newest entries are compared: a clone that deployed more often than that since a merge hides the other."""


def heads(ledger: Ledger, entries: Sequence[Entry]) -> list[Entry]:
    """Of a deployment's entries, the newest first, those that no other one builds on: several where they are contested."""
    found: list[Entry] = []
    known: set[str] = set()
    above: list[tuple[int, str]] = []
    for entry in entries:
        # Every ancestor has a smaller seq: once all above this one are opened, it is known or a head.
        while above and -above[0][0] > entry.seq:
            payload = ledger.index.payload(heappop(above)[1])
            for parent in parents_of(payload) if payload is not None else ():
                place = ledger.place(parent)
                if parent not in known and place is not None:
                    known.add(parent)
                    heappush(above, (-place.seq, parent))
        if entry.id not in known:
            found.append(entry)
            heappush(above, (-entry.seq, entry.id))
    return found
