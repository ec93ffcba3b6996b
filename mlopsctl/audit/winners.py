"""Results of one fingerprint: only one is in force, and a merge may change which. What follows is made by no new wish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..canonical import digest_of
from ..types import Digest, Entry, Json, Observed
from ..withdrawals import MADE_IN
from .trail import IN_FORCE, TrailLog

Parts = Mapping[str, Json]


def results(trail: TrailLog, made_from: Digest) -> list[Entry]:
    """Every result of a fingerprint that none supersedes; the first one is in force."""
    return trail.select(f"made_from = ? AND {IN_FORCE} ORDER BY state DESC, seq, id", [made_from])


class Swap(NamedTuple):
    """Two results of one fingerprint: the one that was used, and the one in force."""

    used: Entry
    in_force: Entry

    def __str__(self) -> str:
        return (
            f"another result of {self.in_force.address} is in force since a merge: entry {self.in_force.id[:12]} "
            f"by {self.in_force.signer} in place of {self.used.id[:12]} by {self.used.signer}"
        )


def swapped(trail: TrailLog, before: Observed, parts: Parts) -> Swap | None:
    """The change of winner that alone tells ``parts`` from what ``before`` was made from; None where more differs."""
    recipes = _Recipes(trail)
    if before.ingredients == parts or recipes.of(before.ingredients) != recipes.of(parts):
        return None
    return _first(trail, recipes.differing(before.ingredients, parts))


def swapped_input(trail: TrailLog, before: Observed, parts: Parts) -> Swap | None:
    """A change of winner among the inputs themselves."""
    return _first(trail, _Recipes(trail).differing(before.ingredients, parts, deep=False))


def _first(trail: TrailLog, pairs: Iterator[tuple[Entry, Entry]]) -> Swap | None:
    for used, now in pairs:
        others = [entry.id for entry in results(trail, now.made_from)]
        if used.made_from == now.made_from and used.id in others and others[0] == now.id:
            return Swap(used, now)
    return None


class _Recipes:
    """What a result was made by, with every input replaced by what that was made by: equal for every winner."""

    def __init__(self, trail: TrailLog):
        self._trail = trail
        self._known: dict[str, str] = {}

    def of(self, parts: Parts) -> str:
        # What is said of how inputs are read follows from the inputs.
        own = {name: parts.get(name) for name in ("provider", "version", "spec", "tree")}
        return str(
            digest_of(
                {**own, "inputs": {role: sorted(self._of_bytes(*one) for one in some) for role, some in _given(parts)}}
            )
        )

    def _of_bytes(self, role: str, digest: str) -> str:
        if digest not in self._known:
            self._known[digest] = digest  # bytes that were made from themselves have no other recipe
            made = self._maker(role, digest)
            self._known[digest] = self.of(made.ingredients) if made else digest
        return self._known[digest]

    def _maker(self, role: str, digest: str) -> Entry | None:
        return self._trail.with_output(Digest(digest), MADE_IN.get(role, ""))

    def differing(self, before: Parts, parts: Parts, *, deep: bool = True) -> Iterator[tuple[Entry, Entry]]:
        """Pairs of makers of inputs that differ, the farthest upstream first."""
        old, new = dict(_given(before)), dict(_given(parts))
        for role, given in new.items():
            for (_, was), (_, now) in zip(old.get(role, ()), given, strict=False):
                pair = (self._maker(role, was), self._maker(role, now)) if was != now else (None, None)
                if pair[0] is not None and pair[1] is not None:
                    yield from self.differing(pair[0].ingredients, pair[1].ingredients) if deep else ()
                    yield pair[0], pair[1]


def _given(parts: Parts) -> list[tuple[str, list[tuple[str, str]]]]:
    given = parts.get("inputs") or {}
    return [(role, [(role, str(digest)) for digest in some]) for role, some in sorted(given.items())]
