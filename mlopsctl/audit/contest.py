"""Two clones deployed to one place, neither knowing of the other: after a merge both are the latest."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import Entry
from .ledger import Ledger
from .order import builds_on

_LOOKED_AT = 8
"""So many of the newest entries are compared: whoever deploys after a merge builds on all before it."""


def heads(ledger: Ledger, entries: Sequence[Entry]) -> list[Entry]:
    """Of a deployment's entries, the newest first, those that no other one builds on: several where they are contested."""
    found: list[Entry] = []
    for entry in entries[:_LOOKED_AT]:
        if not any(builds_on(ledger, head.id, entry.id) for head in found):
            found.append(entry)
    return found
