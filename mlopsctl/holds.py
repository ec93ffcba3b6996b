"""Signed overrides of a deployment: what people decided that the manifest does not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .types import Entry

SLOTS = {"halt": "traffic", "rollback": "version", "pin": "version", "promote": "version"}
"""What an override decides: whether requests are answered, or which artifact runs."""

LIFTING = ("resume", "unhold")
"""Entry kinds that lift overrides: ``facts["lifts"]`` holds the ids of the entries that are in force no more."""

KINDS = (*SLOTS, *LIFTING)

_WORDS = {"halt": "halted", "rollback": "rolled back to {to}", "pin": "pinned to {to}", "promote": "promoted to {to}"}

BuildsOn = Callable[[str, str], bool]
"""Whether the first entry was written by somebody who knew the second one: it is among its ancestors."""


class Hold(NamedTuple):
    """One override in force. ``to`` is the entry whose artifact runs instead of the manifest's, "" for a halt."""

    kind: str
    entry: str
    since: str
    by: str
    reason: str
    to: str = ""

    def __str__(self) -> str:
        words = _WORDS[self.kind].format(to=self.to[:12])
        return f"{words} by {self.by} since {self.since}: {self.reason or 'no reason given'}"


def holds(entries: Iterable[Entry], builds_on: BuildsOn) -> tuple[Hold, ...]:
    """The overrides in force after these entries of one deployment, oldest first; of two of one slot the last one holds.

    One is lifted by name, and replaced by a newer one of its slot, so in both cases by somebody who knew of it: time,
    order and a merge never do that. Entries of earlier versions name kinds instead, and lift what they build on.
    """
    found = sorted(entries, key=lambda entry: (entry.seq, entry.id))
    named = [(one, entry.id) for entry in found if entry.kind in LIFTING for one in _lifts(entry)]
    lifted = {one for one, _ in named}
    return tuple(
        Hold(
            entry.kind,
            entry.id,
            entry.at,
            entry.signer,
            str(entry.facts.get("reason", "")),
            str(entry.facts.get("to", "")),
        )
        for entry in found
        if entry.kind in SLOTS
        and entry.id not in lifted
        and not any(one == entry.kind and builds_on(lifting, entry.id) for one, lifting in named)
        and not any(SLOTS.get(other.kind) == SLOTS[entry.kind] and builds_on(other.id, entry.id) for other in found)
    )


def _lifts(entry: Entry) -> list[str]:
    named = entry.facts.get("lifts")
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
