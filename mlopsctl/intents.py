"""Announced changes of shared deployments: who is about to touch one, so that nobody else does meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .types import Entry

INTENT = "intent"
"""The kind of both entries: one with ``facts["does"]`` announces, ``facts["lifts"]`` ends what others announced."""

CLOSING = ("result", "failure", "destroy")
"""Kinds of entries that end an intent: they name it as ``facts["intent"]``."""

KINDS = (INTENT, *CLOSING)

_UNTOUCHED = frozenset({"MLO6001", "MLO6021", "MLO6022", "MLO6023", "MLO8021"})
"""Codes of attempts that gave way before they touched the place."""
LOOKED_AT = 64
"""So many of a deployment's newest entries are looked at: whatever ends an intent comes after it."""


class Intent(NamedTuple):
    """A change that was announced and that nobody ended yet."""

    entry: str
    since: str
    by: str
    does: str
    artifact: str = ""

    def __str__(self) -> str:
        what = f" {self.artifact[:19]}" if self.artifact else ""
        return f"{self.by} announced at {self.since} to {self.does}{what} (entry {self.entry[:12]})"


def standing(entries: Iterable[Entry]) -> tuple[Intent, ...]:
    """The intents among the newest entries of one deployment that no other one of them ends, oldest first."""
    found = sorted(entries, key=lambda entry: (entry.seq, entry.id))
    ended = {str(entry.facts.get("intent")) for entry in found if entry.kind in CLOSING}
    ended |= {one for entry in found if entry.kind == INTENT for one in _lifts(entry)}
    return tuple(
        Intent(entry.id, entry.at, entry.signer, str(entry.facts["does"]), str(entry.facts.get("artifact", "")))
        for entry in found
        if entry.kind == INTENT and entry.facts.get("does") and entry.id not in ended
    )


def half_done(newest: Entry | None) -> str:
    """Why nobody knows what a deployment runs after its newest entry of KINDS; "" where that says it.

    An attempt that failed, was killed, or was ended by somebody else, may have changed the place before.
    """
    if newest is None or newest.kind not in (INTENT, "failure"):
        return ""
    if newest.kind == INTENT:
        return f"nobody knows how far the change came that {newest.signer} {_what(newest)} (entry {newest.id[:12]})"
    if not newest.facts.get("intent") or newest.facts.get("code") in _UNTOUCHED:
        return ""
    return f"nobody knows what the attempt left that failed at {newest.at} (entry {newest.id[:12]})"


def _what(entry: Entry) -> str:
    return f"{'announced' if entry.facts.get('does') else 'ended from outside'} at {entry.at}"


def _lifts(entry: Entry) -> list[str]:
    named = entry.facts.get("lifts")
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
