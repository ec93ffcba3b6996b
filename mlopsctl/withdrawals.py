"""What people ruled out, and what follows from it.

A withdrawal names roots only. Whether something follows from one is found by walking back from it, at every plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .types import CHAMPION, CHAMPION_ROWS, SECTIONS, Entry, Json

KIND = "withdraw"
"""The kind of both entries: one with ``facts["roots"]`` withdraws, one with ``facts["lifts"]`` ends withdrawals."""


MADE_IN = {
    "data": "data", "validation": "data", "base": "train", "model": "train", "artifact": "targets",
    CHAMPION: "train", CHAMPION_ROWS: "data",
}  # fmt: skip
"""Role of an input -> the section whose signers vouch for it: a key for data must not wash a model."""

Node = tuple[str, str]
"""``("entry", id)``, or the section that made it and a digest."""


class Withdrawal(NamedTuple):
    """One withdrawal in force.

    A root is a digest (of an output, ``gitoid:`` of a commit or of a tree of code), ``entry:ID``, ``signer:NAME`` or
    ``key:ID``.
    """

    entry: str
    since: str
    by: str
    reason: str
    roots: frozenset[str]

    def __str__(self) -> str:
        return f"withdrawn by {self.by} since {self.since}: {self.reason or 'no reason given'}"


class Found(NamedTuple):
    """A withdrawal that reaches something; ``origin`` is the address, else the root, where it begins."""

    withdrawal: Withdrawal
    origin: str
    entry: str = ""
    """The entry that the withdrawal names; "" where it names bytes that no entry made."""

    def __str__(self) -> str:
        return f"{self.origin} {self.withdrawal}"


class Origins(Protocol):
    """Questions to the valid part of the trail."""

    def entry(self, entry_id: str) -> Entry | None: ...

    def makers(self, digest: str, section: str = "") -> Sequence[Entry]:
        """Every result that has this output, of the section if one is given; untrusted ones only where no other is."""

    def key_id(self, entry: Entry) -> str:
        """The id of the key that signed."""


def in_force(entries: Iterable[Entry]) -> tuple[Withdrawal, ...]:
    """The withdrawals that nothing ended, oldest first. One is ended by name only: never by time, order or a merge."""
    found, lifted = [], set()
    for entry in sorted(entries, key=lambda e: (e.seq, e.id)):
        if entry.kind != KIND:
            continue
        lifted |= set(_texts(entry.facts.get("lifts")))
        roots = frozenset(_texts(entry.facts.get("roots")))
        if roots:
            found.append(Withdrawal(entry.id, entry.at, entry.signer, str(entry.facts.get("reason", "")), roots))
    return tuple(one for one in found if one.entry not in lifted)


def _texts(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def inputs_of(entry: Entry) -> list[Node]:
    """What an entry was made from: pairs of the section that made it ("" for a role of no section) and digest."""
    given = entry.ingredients.get("inputs")
    pairs = [
        (MADE_IN.get(role, ""), str(item))
        for role, some in (given.items() if isinstance(given, dict) else ())
        for item in (some if isinstance(some, list) else [some])
    ]
    return list(dict.fromkeys(pairs))


def names(entry: Entry, key: str = "") -> frozenset[str]:
    """Every root that names this entry; one that names an output of it names all of it."""
    trees = {str(entry.ingredients["tree"])} if entry.ingredients.get("tree") else set()
    commit = {f"gitoid:{entry.commit}"} if entry.commit else set()
    tree = {f"gitoid:{entry.tree}"} if entry.tree else set()
    own = {f"entry:{entry.id}", f"signer:{entry.signer}", f"key:{key}", *entry.outputs.values()}
    return frozenset(own | trees | tree | commit)


def reach(
    entries: Iterable[str], digests: Iterable[str], standing: Sequence[Withdrawal], origins: Origins
) -> tuple[Found, ...]:
    """The withdrawals that these entries or bytes follow from, the nearest first.

    An entry is clean where no root names it and all its inputs are clean. Bytes are clean where no root names them
    and one entry that made them is clean: what a trusted signer attests again may be used again.
    """
    if not standing:
        return ()
    # What bytes were meant as nobody says here: they are looked at as everything that they were made as.
    start: list[Node] = [("entry", one) for one in entries]
    start += [(section, digest) for digest in digests for section in SECTIONS]
    past = _Past(standing, origins)
    past.collect(start)
    past.mark_clean()
    return tuple(past.blame(start))


@dataclass
class _Past:
    """All that went into something, and what of it is clean."""

    standing: Sequence[Withdrawal]
    origins: Origins
    entries: dict[Node, Entry] = field(default_factory=dict)
    below: dict[Node, list[Node]] = field(default_factory=dict)
    """Of an entry what it was made from, of bytes the entries that made them."""
    clean: set[Node] = field(default_factory=set)

    def collect(self, start: Sequence[Node]) -> None:
        """Walks back; without recursion, because a model may have thousands of ancestors."""
        waiting = [*start]
        while waiting:
            node = waiting.pop()
            if node in self.below:
                continue
            if node[0] == "entry":
                entry = self.entries.get(node) or self.origins.entry(node[1])
                if entry is not None:
                    self.entries[node] = entry
                self.below[node] = inputs_of(entry) if entry is not None else []
            else:
                made = {("entry", entry.id): entry for entry in self.origins.makers(node[1], node[0])}
                self.entries |= made
                self.below[node] = [*made]
            waiting += self.below[node]

    def named(self, node: Node) -> list[Withdrawal]:
        """The withdrawals that name an entry or bytes."""
        entry = self.entries.get(node)
        if node[0] == "entry" and entry is None:
            return []
        known = names(entry, self._key(entry)) if entry is not None else {node[1]}
        return [one for one in self.standing if one.roots & known]

    def _key(self, entry: Entry) -> str:
        asked = any(root.startswith("key:") for one in self.standing for root in one.roots)
        return self.origins.key_id(entry) if asked else ""

    def mark_clean(self) -> None:
        """The least set that fulfils the rule of ``reach``: a circle of entries does not clean itself."""
        above: dict[Node, list[Node]] = {}
        for node, some in self.below.items():
            for one in some:
                above.setdefault(one, []).append(node)
        waits = {node: len(some) if node[0] == "entry" else min(len(some), 1) for node, some in self.below.items()}
        ready = deque(node for node, count in waits.items() if not count)
        while ready:
            node = ready.popleft()
            if node in self.clean or self.named(node):
                continue
            self.clean.add(node)
            for one in above.get(node, ()):
                waits[one] -= 1
                if waits[one] <= 0:
                    ready.append(one)

    def blame(self, start: Sequence[Node]) -> Iterator[Found]:
        """Walks back through what is not clean to what a withdrawal names."""
        waiting, seen, told = deque(start), set[Node](), set[str]()
        nameless: list[Found] = []
        while waiting:
            node = waiting.popleft()
            if node in seen or node in self.clean:
                continue
            seen.add(node)
            entry = self.entries.get(node)
            for one in self.named(node):
                if entry is None:
                    nameless.append(Found(one, node[1][:19] + "…"))
                elif one.entry not in told:
                    told.add(one.entry)
                    yield Found(one, entry.address or entry.kind, entry.id)
            waiting += self.below[node]
        # Bytes are blamed through an entry that made them, which says more; those of nobody by themselves.
        yield from {found.withdrawal.entry: found for found in nameless if found.withdrawal.entry not in told}.values()
