"""The number of a release: how many times a deployment was put out, as its signer saw the trail. Pure.

A release is a ``result`` of a deployment: a rollback is one, too. Its number is one more than the greatest that its
signer knew, so that it is its place on the longest way through the graph of entries, and it is signed with it: no merge
and no revocation gives a release another number. Two clones that deployed before they knew of each other both signed
the same number; then the number alone names neither, unless both put out the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from .types import Entry

RELEASE = "release"
"""The fact that holds it; entries of early versions are counted in the order of the trail."""


def numbered(results: Iterable[Entry]) -> dict[str, int]:
    """The number of each of a deployment's results, oldest first, by the id of its entry."""
    found: dict[str, int] = {}
    last = 0
    for entry in results:
        said = entry.facts.get(RELEASE)
        last = said if isinstance(said, int) and not isinstance(said, bool) and said > 0 else last + 1
        found[entry.id] = last
    return found


def following(known: Iterable[int]) -> int:
    """The number of the next release, after those that are known."""
    return max(known, default=0) + 1
