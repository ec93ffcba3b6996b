"""Keys that sign no more: what they signed after their last good entry stands in the graph, and counts for nothing.

The place of an entry decides, never the time that it claims: whoever holds a retired key can write any time into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .entry import parents_of
from .graph import Place
from .trust import Policy

if TYPE_CHECKING:
    from .ledger import Ledger

KEPT = ("root", "trust", "halt", "rollback", "pin", "promote")
"""Kinds that no retirement takes back: trust is signed by the root keys, and an override of a deployment never lapses."""


def retire(ledger: Ledger, fresh: Sequence[tuple[str, object]]) -> None:
    """Sets aside what retired keys signed outside of their last good entries; ``fresh`` names what was just taken in."""
    policy = ledger.policy_in_force()
    digest = policy.digest if policy else ""
    changed = ledger.index.meta("retired") != digest
    if policy is None or not (changed or policy.retired):
        return
    if changed:
        ledger.index.restore_retired()
        ledger.index.set_meta("retired", digest)
    signed = signed_by_retired(ledger, policy)
    for signatures, last_good in signed:
        # What comes in after the last good entries were judged cannot be one of their ancestors.
        good = ancestors(ledger, last_good) if changed else set()
        for place_policy, signer in signatures:
            ledger.index.set_retired(
                place_policy, signer, KEPT, good, None if changed else [entry for entry, _ in fresh]
            )


def signed_by_retired(ledger: Ledger, policy: Policy) -> list[tuple[list[tuple[str, str]], tuple[str, ...]]]:
    """For each retired key: the pairs of (policy of the place, signer's name) that mean it, and its last good entries."""
    pairs = ledger.index.signers()
    found = []
    for item in policy.retired:
        means = [(digest, name) for digest, name in pairs if _key(ledger, digest, name) == item.key]
        found.append((means, item.last_good))
    return found


def _key(ledger: Ledger, digest: str, name: str) -> str:
    policy = ledger.policy_at(Place(0, "", digest, True))
    rule = policy.signers.get(name) if policy else None
    return rule.key if rule else ""


def ancestors(ledger: Ledger, entries: Iterable[str]) -> set[str]:
    """These entries and everything that they build on: ids name contents, so no signature is asked for."""
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        entry = waiting.pop()
        if entry in found:
            continue
        payload = ledger.index.payload(entry)
        if payload is not None:
            found.add(entry)
            waiting += parents_of(payload)
    return found
