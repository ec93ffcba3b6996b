"""Signed overrides of a deployment: what people decided that the manifest does not say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .types import Entry

KINDS = ("halt", "rollback", "resume")
"""Entry kinds that set or lift an override. ``resume`` names in ``facts["lifts"]`` what it lifts."""


class Hold(NamedTuple):
    """One override in force. ``to`` is the entry that a rollback went back to, "" for a halt."""

    kind: str
    entry: str
    since: str
    by: str
    reason: str
    to: str = ""

    def __str__(self) -> str:
        words = "halted" if self.kind == "halt" else f"rolled back to {self.to[:12]}"
        return f"{words} by {self.by} since {self.since}: {self.reason or 'no reason given'}"


def holds(entries: Iterable[Entry]) -> tuple[Hold, ...]:
    """The overrides in force after these entries of one deployment, oldest entry first.

    A newer override replaces one of its own kind, ``resume`` lifts the kinds it names; time never does.
    """
    standing: dict[str, Hold] = {}
    for entry in sorted(entries, key=lambda e: (e.seq, e.id)):
        if entry.kind == "resume":
            for kind in entry.facts.get("lifts", ()):
                standing.pop(kind, None)
        elif entry.kind in KINDS:
            standing[entry.kind] = Hold(
                entry.kind,
                entry.id,
                entry.at,
                entry.signer,
                str(entry.facts.get("reason", "")),
                str(entry.facts.get("to", "")),
            )
    return tuple(standing.values())
