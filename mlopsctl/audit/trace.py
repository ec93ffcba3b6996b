"""Walking back through the trail: from a deployment to its artifact, gates, training run, data, code and people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..types import CHAMPION, CHAMPION_ROWS, COMPARED, RUNNING, Digest, Entry, Json
from .trail import TrailLog

_MAX_DEPTH = 64
SECTIONS = {
    "data": "data",
    "validation": "data",
    "model": "train",
    "artifact": "targets",
    CHAMPION: "train",
    CHAMPION_ROWS: "data",
}
"""Role of an input -> the section whose signers vouch for it."""


@dataclass(frozen=True)
class Node:
    """One entry of a trace and what went into it. ``entry`` is None where no valid entry has the digest."""

    role: str
    digest: str
    entry: Entry | None
    inputs: tuple[Node, ...] = ()
    gates: tuple[Entry, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Nested, with the figures as the entries have them."""
        if self.entry is None:
            return {"role": self.role, "digest": self.digest, "missing": True}
        return {
            "role": self.role,
            "digest": self.digest,
            **entry_json(self.entry),
            "gates": [entry_json(gate) for gate in self.gates],
            "inputs": [node.as_json() for node in self.inputs],
        }


def entry_json(entry: Entry) -> dict[str, Json]:
    """All of an entry as plain JSON."""
    return {
        "id": entry.id,
        "kind": entry.kind,
        "address": entry.address,
        "status": entry.status,
        "seq": entry.seq,
        "parents": list(entry.parents),
        "at": entry.at,
        "signer": entry.signer,
        "trusted": entry.trusted,
        "commit": entry.commit,
        "tree": entry.tree,
        "made_from": entry.made_from,
        "ingredients": dict(entry.ingredients),
        "outputs": dict(entry.outputs),
        "facts": dict(entry.facts),
        "made_with": dict(entry.made_with),
        "location": entry.location,
        "supersedes": list(entry.supersedes),
        "predicate_type": entry.predicate_type,
    }


def trace(trail: TrailLog, entry: Entry) -> Node:
    """The tree of everything that went into ``entry``, from the trail alone."""
    measured: dict[str, list[Entry]] = {}
    newest: dict[tuple[str, str], Entry] = {}
    for gate in trail.entries("gates.*", ("result",)):
        for digest in _digests(gate.ingredients, "model", "artifact"):
            newest[gate.address, digest] = gate
    for (_, digest), gate in sorted(newest.items()):
        measured.setdefault(digest, []).append(gate)
    return _node(trail, "", "", entry, measured, 0)


def ancestry(trail: TrailLog, entries: Iterable[str]) -> list[Entry]:
    """These entries and all that went into them, each once, newest first; what a gate compared with did not."""
    found: dict[str, Entry] = {}
    waiting = [entry for entry in map(trail.entry, entries) if entry is not None]
    while waiting:
        entry = waiting.pop()
        if entry.id in found:
            continue
        found[entry.id] = entry
        for role, digests in (entry.ingredients.get("inputs") or {}).items():
            if role in COMPARED:
                continue
            made = [trail.with_output(Digest(digest), SECTIONS.get(role, ""), before=entry.seq) for digest in digests]
            waiting += [one for one in made if one is not None]
    return sorted(found.values(), key=lambda entry: (entry.seq, entry.id), reverse=True)


def _node(
    trail: TrailLog, role: str, digest: str, entry: Entry, measured: Mapping[str, list[Entry]], depth: int
) -> Node:
    below = []
    inputs: Mapping[str, Any] = entry.ingredients.get("inputs") or {}
    for name in sorted(inputs):
        for given in inputs[name] if depth < _MAX_DEPTH else ():
            if name == RUNNING:
                made = trail.result(Digest(given))
            else:
                made = trail.with_output(Digest(given), SECTIONS.get(name, ""), before=entry.seq)
            found = made is not None and made.id != entry.id
            if found and made is not None:
                below.append(_node(trail, name, given, made, measured, depth + 1))
            else:
                below.append(Node(name, given, None))
    gates = tuple(gate for output in entry.outputs.values() for gate in measured.get(output, ()))
    return Node(role, digest, entry, tuple(below), gates)


def _digests(ingredients: Mapping[str, Json], *roles: str) -> list[str]:
    inputs = ingredients.get("inputs") or {}
    return [str(digest) for role in roles for digest in inputs.get(role) or ()]
