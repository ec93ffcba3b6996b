"""Deployments that were called otherwise: what the trail says of one under an old name is said of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..types import Entry

ENTRIES = "kind IN ('move', 'destroy') AND address >= 'deployments.' AND address < 'deployments/' ORDER BY seq, id"
"""The entries that give a deployment another name, or end one with all its names; as a condition of the trail's index."""


SHARED = "shared"
"""The ``scope`` of a name that is given once, and not by each clone to a deployment of its own."""


class Called(NamedTuple):
    """Signed names: ``was`` leads from each name to the one before, ``now`` from a name that was given up to the next."""

    was: Mapping[str, str]
    now: Mapping[str, str]
    later: Mapping[str, str]
    """The same as ``now``, of what was taken down too."""

    def names(self, address: str, declared: Mapping[str, str]) -> tuple[str, ...]:
        """The name and those before it, newest first. ``declared`` leads back too, before that is signed.

        What is declared of a name that was given up for another one counts for nothing: its history is the other's.
        """
        found = [address]
        while True:
            said = declared.get(found[-1], "")
            free = said and self.now.get(said, found[-1]) == found[-1]
            before = said if free else self.was.get(found[-1], "")
            if not before or before in found:
                return tuple(found)
            found.append(before)

    def today(self, address: str) -> str:
        """What it is called now, or was called last."""
        seen = [address]
        while (after := self.later.get(seen[-1], "")) and after not in seen:
            seen.append(after)
        return seen[-1]


def read_names(entries: Iterable[Entry]) -> Called:
    """The names after these moves and removals, oldest first.

    What was taken down wherever it had been renamed gives all its names free: whatever has one next is another deployment.
    """
    was: dict[str, str] = {}
    now: dict[str, str] = {}
    later: dict[str, str] = {}
    places: dict[str, set[str]] = {}
    for entry in entries:
        if entry.kind == "move":
            old = str(entry.facts.get("from", ""))
            was[entry.address], now[old] = old, entry.address
            later[old] = entry.address
            now.pop(entry.address, None)
            later.pop(entry.address, None)
            places.setdefault(entry.address, set()).add(
                SHARED if entry.facts.get("scope") == SHARED else entry.location
            )
        elif entry.address in was:
            # What everybody shares is one, wherever it was deployed to since; each clone takes down its own.
            places[entry.address] -= {entry.location, SHARED}
            if not places[entry.address]:
                now.pop(was.pop(entry.address), None)
    return Called(was, now, later)
