"""Who knew whom: an entry builds on another where that is among its ancestors. Time and seq alone say nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .entry import parents_of

if TYPE_CHECKING:
    from .ledger import Ledger


def builds_on(ledger: Ledger, later: str, earlier: str) -> bool:
    """Whether ``earlier`` is an ancestor of ``later``; no entry builds on itself."""
    end = ledger.place(earlier)
    if end is None or later == earlier:
        return False
    waiting, seen = [later], {later}
    while waiting:
        payload = ledger.index.payload(waiting.pop())
        for parent in parents_of(payload) if payload is not None else ():
            if parent == earlier:
                return True
            place = ledger.place(parent)
            # Every ancestor has a smaller seq, so that nothing below the one that is looked for leads to it.
            if parent not in seen and place is not None and place.seq > end.seq:
                seen.add(parent)
                waiting.append(parent)
    return False
