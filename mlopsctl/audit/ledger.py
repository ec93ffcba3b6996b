"""Brings the index up to what the notes and the journal hold now, judging every new line once.

The index is a cache: whatever does not simply grow (a line gone, a finding on record, another pinned root) makes it
start anew; signatures that held stay known, so that costs parsing only.

Signatures are half of the work, so those of entries that steer nothing are *owed* until somebody relies on the entry:
the index has every answer vouched for, and whoever appends, unites or verifies settles all of them first.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from ..errors import MlopsError
from ..types import Json
from .dsse import pae
from .entry import Record
from .graph import Place, heads, in_force, new_tips
from .ports import Anchor, Index, IndexRow, Journal, Log, OwedRow
from .reading import Gone, new_lines
from .rejects import known_rejects, silence
from .retire import retire
from .statement import MEMBER
from .trust import Policy, read_policy
from .verify import INVALID, RETIRED, VALID, WARNINGS, Check, CheckDigest, Expected, Finding, Judge, Judged, Line

_GROUP = 500
"""So many payloads are written at once, and so often it is told how far a long reading is."""
# What is left of a line once it was read.
_SHARED_LINE, _OWN_LINE = Line(b""), Line(b"", local=True)


def _needs_message(key: str, digest: bytes, signature: bytes) -> None:
    return None


@dataclass
class Ledger:
    """The judged trail of one clone."""

    log: Log
    journal: Journal
    index: Index
    anchor: Anchor
    expected: Expected
    check: Check
    check_digest: CheckDigest = _needs_message
    anchored: bool = False
    """Whether an anchor of an earlier time stood here and was met."""
    progress: Callable[[str, int], object] = lambda doing, entries: None
    """Told now and then what a long work is at, and ("", 0) at its end."""
    _held: set[tuple[str, str, bytes]] = field(default_factory=set)
    _policies: dict[str, Policy] = field(default_factory=dict)
    _looked: bool = False
    _nothing_known: bool = False
    _just_judged: tuple[str, list[OwedRow]] = ("", [])
    """All that a first load owes, and the key of the index that it made."""

    def __post_init__(self) -> None:
        self.index.vouch = self._vouch
        self.index.edges_at = (f"$.predicate.{MEMBER}.ingredients.inputs", f"$.predicate.{MEMBER}.outputs")

    # --- What is known (graph.Known) -------------------------------------------------------------------------

    def place(self, entry_id: str) -> Place | None:
        row = None if self._nothing_known else self.index.place(entry_id)
        return Place(row[0], row[1], row[2], row[3] in (VALID, RETIRED)) if row else None

    def nothing(self) -> bool:
        return self._nothing_known

    def policy(self, digest: str) -> Policy | None:
        if digest not in self._policies:
            row = self.index.policy(digest)
            if row is None:
                return None
            self._policies[digest] = read_policy(json.loads(row[1]), [one for one in row[0].split(",") if one])
        return self._policies[digest]

    def tips(self) -> list[str]:
        """Ids of the valid shared entries that no other one names as a parent, sorted."""
        found: list[str] = json.loads(self.index.meta("tips", "[]"))
        return found

    def policy_in_force(self) -> Policy | None:
        """The trust policy that the next entry must name."""
        return self.policy(in_force(self.newest_policies(), self._policies))

    def newest_policies(self) -> tuple[str, ...]:
        """Digests of the newest policies at the tips: several where concurrent changes of trust are not settled."""
        seen = [place.policy for place in map(self.place, self.tips()) if place is not None]
        self._load(",".join(seen))
        return heads(seen, self._policies)

    def policy_at(self, place: Place) -> Policy | None:
        """The policy in force after the entry of this place."""
        self._load(place.policy)
        return self.policy(in_force(heads([place.policy], self._policies), self._policies))

    def _load(self, digests: str) -> None:
        """Reads these policies and all that went before them."""
        waiting = [digest for digest in digests.split(",") if digest]
        known: set[str] = set()
        while waiting:
            digest = waiting.pop()
            if digest not in known and (found := self.policy(digest)) is not None:
                known.add(digest)
                waiting += found.previous

    def judge(self, lines: Iterable[Line]) -> tuple[list[Judged], list[Finding], dict[str, Policy]]:
        """Judges lines against this trail, their signatures too, without taking them in."""
        judge = self._judge()
        judged = judge.judge(lines)
        return judged, self._told(judge, judged), judge.policies

    def _told(self, judge: Judge, judged: Sequence[Judged]) -> list[Finding]:
        """What a judge found, without what a valid entry rejects."""
        if not judge.findings:
            return []
        stored = self.index.many("kind = 'reject' AND state = 'valid'", ())
        return silence(judge.findings, judge.digests, known_rejects(stored, judged))

    def _judge(self, *, lazy: bool = False) -> Judge:
        # Where nobody pinned the root, the first one seen stays the root: a later one is never a second choice.
        expected = self.expected._replace(root=self._root())
        return Judge(expected, self, self._checked, lazy, frozenset(self.index.failed() if lazy else ()))

    def _root(self) -> str:
        """The pinned root, else the one that this clone has seen."""
        seen = self.expected.root or self.index.meta("root")
        return seen or str((self.anchor.read() or {}).get("root", ""))

    def _checked(self, key: str, message: bytes, signature: bytes) -> bool:
        """A signature that held under a key holds for ever: what is judged first and taken in then is checked once."""
        one = (hashlib.sha256(message).hexdigest(), key, signature)
        if one not in self._held and self.check(key, message, signature):
            self._held.add(one)
        return one in self._held

    def broken(self) -> bool:
        """Whether anything but warnings is on record."""
        return any(code not in WARNINGS for code, _, _ in self.index.findings())

    # --- Catching up -----------------------------------------------------------------------------------------

    def key(self) -> str:
        """What the index must have been made from to be current."""
        return json.dumps([*self.expected, self.log.tip(), *self.journal.stamp()])

    def sync(self) -> None:
        """Takes in what is new. Raises EvidenceError for damaged git objects only: bad lines become findings."""
        if self.index.meta("key") == self.key():
            self._look_at_anchor()
            return
        with self._alone(), self.index.change():
            self._catch_up()
        self.progress("", 0)
        self._look_at_anchor()
        self.raise_anchor()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as stack:
            # A clone that cannot be written has no writer to wait for.
            with suppress(OSError):
                stack.enter_context(self.journal.lock())
            yield

    def _catch_up(self) -> None:
        key, tip = self.key(), self.log.tip()
        first = self.index.is_new()
        base = json.dumps(self.expected)
        if self.index.meta("base", base) != base or self.broken():
            before = json.loads(self.index.meta("base", base))
            # A signature by a key holds for ever; a proof of an identity holds under the trust root that it was checked with.
            self.index.reset(signatures=before[3:] != list(self.expected[3:]))
        # Around it all: what was read must be gone before the collector may walk it.
        with no_collector():
            try:
                owed = self._take_in(new_lines(self.log, self.journal, self.index, tip))
            except Gone:
                self.index.reset()
                owed = self._take_in(new_lines(self.log, self.journal, self.index, tip))
            self._just_judged = (key, owed) if first else ("", [])
        self.index.set_meta("base", base)
        self.index.set_meta("key", key)

    def _take_in(self, lines: Iterable[Line]) -> list[OwedRow]:
        """Judges these lines and writes them into the index; returns what they owe."""
        self._nothing_known = self.index.is_empty()
        with self.index.load():
            judge = self._judge(lazy=True)
            judged = judge.judge_records(list(self._kept(judge, lines)))
            for digest, policy in judge.policies.items():
                self.index.add_policy(digest, ",".join(policy.previous), json.dumps(policy.content))
            self.index.add_findings((one.code, one.entry, one.message) for one in self._told(judge, judged))
            fresh = [
                (one.record.id, one.record.fields["parents"])
                for one in judged
                if one.state == VALID and (self._nothing_known or self.place(one.record.id) is None)
            ]
            self._nothing_known = False
            if fresh:
                self.index.set_meta("tips", new_tips(self.tips(), fresh))
            for entry, parents in fresh:
                if not parents:  # only a root is valid without them
                    self.index.set_meta("root", entry)
            # In the order of their rows SQLite appends them; in that of the graph it would sort every one in.
            judged.sort(key=lambda one: one.record.row)
            owed: list[OwedRow] = []
            for start in range(0, len(judged), _GROUP):
                owed += self.store(judged[start : start + _GROUP])
        retire(self, fresh)
        return owed

    def _kept(self, judge: Judge, lines: Iterable[Line]) -> Iterator[tuple[Record, Line]]:
        """Reads lines, writes payloads away as they come and passes on what judging needs."""
        waiting: list[tuple[int, bytes]] = []
        for record, line, payload in judge.read(lines, self.index.last_row()):
            waiting.append((record.row, payload))
            if len(waiting) == _GROUP:
                self.index.add_payloads(waiting)
                waiting.clear()
                self.progress("reading the audit trail", record.row)
            yield record, _OWN_LINE if line.local else _SHARED_LINE
        self.index.add_payloads(waiting)

    def store(self, judged: Iterable[Judged]) -> list[OwedRow]:
        """Writes judged entries into the index, and returns what they owe; invalid ones stay known, and count for nothing."""
        rows: list[IndexRow] = []
        superseded: list[tuple[str, str]] = []
        code: list[tuple[str, str]] = []
        for one in judged:
            record, fields = one.record, one.record.fields
            rows.append(_row(one))
            if one.state != INVALID:
                if "supersedes" in fields and record.kind == "result":
                    section = record.address.partition(".")[0]
                    superseded += [(entry, section) for entry in fields["supersedes"]]
                if tree := fields.get("tree"):
                    code.append((tree, record.id))
        self.index.add(rows, superseded)
        self.index.add_code(code)
        return [(row[1], row[11], row[12]) for row in rows if row[11]]

    def store_own(self, judged: Judged) -> None:
        """Writes an entry that was just signed here; nothing may be owed before."""
        row = self.index.last_row() + 1
        self.index.add_payloads([(row, judged.record.payload)])
        self.store([judged._replace(record=judged.record._replace(row=row))])
        self.index.follow()
        self.index.set_settled()

    # --- Signatures that are owed ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Checks every signature that is owed; where one fails, all is judged anew with that known."""
        self.sync()
        if not self.index.owes():
            return
        with self._alone(), self.index.change(), no_collector():
            while failed := list(self._failing(self._owed())):
                self.index.remember(failed, holds=False)
                self.index.set_settled()  # The others hold, and what is made anew remembers it.
                self.index.reset()
                self._catch_up()
            self.index.set_settled()
        self.progress("", 0)
        self._held.clear()
        self.raise_anchor()

    def _owed(self) -> Iterable[OwedRow]:
        """Everything that is owed: after a first load it is still at hand, and need not be read back."""
        (key, owed), self._just_judged = self._just_judged, ("", [])
        return owed if owed and key == self.index.meta("key") else self.index.owed()

    def _failing(self, owed: Iterable[OwedRow]) -> Iterator[OwedRow]:
        """Those whose signature does not hold."""
        for number, one in enumerate(owed):
            if number % _GROUP == 0:
                self.progress("checking signatures of the audit trail", number)
            if not self._holds_over_id(one):
                yield one

    def _vouch(self, owed: Sequence[OwedRow]) -> bool:
        """Checks what an answer relies on. Where a signature fails, everything is settled, and the answer is another."""
        failed = [one for one in owed if not self._holds(one)]
        if failed and all(map(self._holds_over_id, failed)):
            # What was signed is not what the index has: it was damaged, the trail was not.
            with self._alone(), self.index.change():
                self.index.reset()
                self._catch_up()
            return False
        if failed:
            self.settle()
            return False
        # Without room to remember it is checked again the next time.
        with suppress(MlopsError), self.index.change():
            self.index.remember(owed, holds=True)
        return True

    def _holds(self, owed: OwedRow) -> bool:
        entry, key, proof = owed
        return owed in self._held or self.check(key, pae(self.index.payload(entry) or b""), proof)

    def _holds_over_id(self, owed: OwedRow) -> bool:
        """The same without the payload, of which the id is the digest: most keys sign no more than that."""
        entry, key, proof = owed
        if self._held and owed in self._held:
            return True
        holds = self.check_digest(key, bytes.fromhex(entry), proof)
        return self._holds(owed) if holds is None else holds

    # --- The anchor ------------------------------------------------------------------------------------------

    def missing_from_anchor(self) -> list[str]:
        """Tips that were seen here before and are no valid entries of the trail now."""
        seen = self.anchor.read() or {"tips": []}
        return [tip for tip in seen["tips"] if (place := self.place(tip)) is None or not place.valid]

    def _look_at_anchor(self) -> None:
        if not self._looked:
            self._looked = True
            self.anchored = self.anchor.read() is not None and not self.missing_from_anchor()

    def raise_anchor(self) -> None:
        """Moves the high-water mark up, never down."""
        tips, commit = self.tips(), self.log.tip()
        seen = self.anchor.read()
        # The commit too: where the ref is overwritten, and its own log with it, what stood there is found by it.
        new = bool(tips) and (seen is None or (seen["tips"], seen.get("commit")) != (tips, commit))
        if new and not self.missing_from_anchor() and not self.broken() and not self.index.owes():
            mark: dict[str, Json] = {"log": self.expected.log, "root": self._root(), "tips": tips, "commit": commit}
            behind = self._behind(seen, commit)
            # Without room to write the mark stays where it is, which is never wrong.
            with suppress(OSError):
                self.anchor.write({**mark, "behind": behind} if behind else mark)

    def _behind(self, seen: Mapping[str, Json] | None, commit: str) -> dict[str, str]:
        """Remote -> what was fetched of it and is not part of this trail, from the first mark on until it is.

        A clone that lost its mark, and entries with it, must not take a shorter trail for all there ever was.
        """
        held: Mapping[str, str] = self.log.tracking() if seen is None else seen.get("behind", {})
        return {name: theirs for name, theirs in held.items() if not self._within(theirs, commit)}

    def _within(self, theirs: str, commit: str) -> bool:
        return theirs == commit or bool(commit and self.log.is_ancestor(theirs, commit))


@contextmanager
def no_collector() -> Iterator[None]:
    """Thousands of new objects, none of them garbage: the cycle collector would walk them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _row(one: Judged) -> IndexRow:
    record, fields = one.record, one.record.fields
    key, proof = one.owed or ("", b"")
    return (
        record.row, record.id, fields["seq"], fields["at"], fields["signer"], fields["kind"], fields.get("address", ""),
        fields.get("status", ""), fields.get("made_from", ""), one.policy, one.state, key, proof,
    )  # fmt: skip
