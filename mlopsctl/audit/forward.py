"""Questions about what was made from what, answered by the index: forward and back, one step at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..types import Entry
from ..verifiers import key_id
from ..withdrawals import KIND, Withdrawal, in_force
from .statement import MEMBER
from .trail import TrailLog
from .verify import VALID

_AT_ONCE = 500
_SKIMMED = (
    *(f"$.predicate.{MEMBER}.{name}" for name in ("facts", "ingredients", "outputs", "made_with")),
    "$.subject[0].digest.gitCommit",
)


def makers(trail: TrailLog, digest: str, section: str = "") -> list[Entry]:
    """Every result that has this output, newest first; untrusted ones only where no trusted one has it."""
    query = "id IN (SELECT id FROM outputs WHERE digest = ?) AND kind IN ('result', 'import') AND address GLOB ?"
    found = trail.select(f"{query} ORDER BY seq DESC, id", (digest, f"{section}.*" if section else "*"))
    return [entry for entry in found if entry.trusted] or found


def load(trail: TrailLog, ids: Sequence[str]) -> list[Entry]:
    """Those of these entries that are valid, oldest first."""
    found: list[Entry] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        found += trail.select(f"id IN ({','.join('?' * len(some))})", some)
    return sorted(found, key=lambda entry: (entry.seq, entry.id))


def made_with(trail: TrailLog, digests: Sequence[str]) -> list[Entry]:
    """Every entry that has one of these among its inputs, oldest first; failed attempts too."""
    found: dict[str, Entry] = {}
    for start in range(0, len(digests), _AT_ONCE):
        some = digests[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        query = f"id IN (SELECT id FROM inputs WHERE digest IN ({marks})) ORDER BY seq, id"  # noqa: S608 - marks only
        found |= {entry.id: entry for entry in trail.select(query, some)}
    return sorted(found.values(), key=lambda entry: (entry.seq, entry.id))


class Brief(NamedTuple):
    """What the index has of an entry without reading it."""

    id: str
    seq: int
    at: str
    signer: str
    kind: str
    address: str
    status: str
    trusted: bool


def briefs(trail: TrailLog, ids: Sequence[str]) -> list[Brief]:
    """Those of these entries that are valid, oldest first."""
    found = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        query = f"state IN ('valid', 'local') AND id IN ({marks})"
        for row in trail.ledger.index.members(query, some):
            entry_id, seq, at, signer, kind, address, status, state, _ = row
            found.append(Brief(entry_id, seq, at, signer, kind, address, status, state == VALID))
    return sorted(found, key=lambda one: (one.seq, one.id))


def skim(trail: TrailLog, pattern: str, kinds: Sequence[str], *, inputs_only: bool = False) -> list[Entry]:
    """The valid entries of these addresses and kinds, oldest first, without parents, tree and what they supersede.

    For thousands at once: half of a payload is there for readers of standard predicates, and is not read. With
    ``inputs_only`` of the ingredients neither is anything else.
    """
    trail.sync()
    where = f"state IN ('valid', 'local') AND address GLOB ? AND kind IN ({','.join('?' * len(kinds))})"
    paths = [f"{path}.inputs" if inputs_only and path.endswith("ingredients") else path for path in _SKIMMED]
    found = []
    for row in trail.ledger.index.members(where, (pattern.replace("[", "[[]"), *kinds), paths):
        entry_id, seq, at, signer, kind, address, status, state, text = row
        facts, ingredients, outputs, made_with, commit, _ = json.loads(text)
        ingredients = {"inputs": ingredients or {}} if inputs_only else ingredients
        found.append(
            Entry(
                entry_id, seq, (), at, signer, kind, address, status, facts=facts or {}, ingredients=ingredients or {},
                outputs=outputs or {}, made_with=made_with or {}, commit=commit or "", trusted=state == VALID,
            )
        )  # fmt: skip
    return sorted(found, key=lambda entry: (entry.seq, entry.id))


def signer_key_id(trail: TrailLog, entry: Entry) -> str:
    """The id of the key that the policy in force for the entry gives its signer; "" for an untrusted entry."""
    place = trail.ledger.place(entry.id)
    policy = trail.ledger.policy_at(place) if place and place.valid else None
    rule = policy.signers.get(entry.signer) if policy else None
    return key_id(rule.key) if rule else ""


def standing(trail: TrailLog) -> tuple[Withdrawal, ...]:
    """The withdrawals in force. They have no address, which the index finds them by."""
    found: tuple[Withdrawal, ...] = trail.remembered(
        "withdrawals", lambda: in_force(trail.select("address = '' AND kind = ?", (KIND,)))
    )
    return found


@dataclass(frozen=True)
class TrailOrigins:
    """The trail as ``withdrawals.Origins``."""

    trail: TrailLog

    def entry(self, entry_id: str) -> Entry | None:
        return self.trail.entry(entry_id)

    def makers(self, digest: str, section: str = "") -> Sequence[Entry]:
        return makers(self.trail, digest, section)

    def key_id(self, entry: Entry) -> str:
        return signer_key_id(self.trail, entry)
