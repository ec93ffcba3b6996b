"""Brings the index up to what the notes and the journal hold now, judging every new line once.

The index is a cache: whatever does not simply grow (a line gone, a finding on record, another pinned root) makes it
start anew; signatures that held stay known, so that costs parsing only.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

from .entry import Record
from .graph import Place, heads, in_force, new_tips
from .ports import Anchor, Index, IndexRow, Journal, Log
from .retire import retire
from .trust import Policy, read_policy
from .verify import INVALID, RETIRED, VALID, WARNINGS, Check, Expected, Finding, Judge, Judged, Line

LOCAL_NOTE = "local"
JOURNAL_NOTE = ""


@dataclass
class Ledger:
    """The judged trail of one clone."""

    log: Log
    journal: Journal
    index: Index
    anchor: Anchor
    expected: Expected
    check: Check
    anchored: bool = False
    """Whether an anchor of an earlier time stood here and was met."""
    _verified: list[bytes] = field(default_factory=list)
    _policies: dict[str, Policy] = field(default_factory=dict)
    _looked: bool = False
    _nothing_known: bool = False

    # --- What is known (graph.Known) -------------------------------------------------------------------------

    def place(self, entry_id: str) -> Place | None:
        row = None if self._nothing_known else self.index.place(entry_id)
        return Place(row[0], row[1], row[2], row[3] in (VALID, RETIRED)) if row else None

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
        """Judges lines against this trail without taking them in."""
        # Where nobody pinned the root, the first one seen stays the root: a later one is never a second choice.
        judge = Judge(Expected(self.expected.log, self._root(), self.expected.own_key), self, self._checked)
        judged = judge.judge(lines)
        return judged, judge.findings, judge.policies

    def _root(self) -> str:
        """The pinned root, else the one that this clone has seen."""
        seen = self.expected.root or self.index.meta("root")
        return seen or str((self.anchor.read() or {}).get("root", ""))

    def _checked(self, key: str, message: bytes, signature: bytes) -> bool:
        """A signature that held under a key holds for ever: that is remembered, never what the policy makes of it."""
        token = hashlib.sha256(key.encode() + b"\0" + signature + b"\0" + message).digest()
        if not self._nothing_known and self.index.is_verified(token):
            return True
        if not self.check(key, message, signature):
            return False
        self._verified.append(token)
        return True

    def broken(self) -> bool:
        """Whether anything but warnings is on record."""
        return any(code not in WARNINGS for code, _, _ in self.index.findings())

    # --- Catching up -----------------------------------------------------------------------------------------

    def key(self) -> str:
        """What the index must have been made from to be current."""
        expected = self.expected
        return json.dumps([expected.log, expected.root, expected.own_key, self.log.tip(), *self.journal.stamp()])

    def sync(self) -> None:
        """Takes in what is new. Raises EvidenceError for damaged git objects only: bad lines become findings."""
        if self.index.meta("key") == self.key():
            self._look_at_anchor()
            return
        try:
            lock = self.journal.lock()
        except OSError:
            lock = nullcontext()
        with lock, self.index.change():
            self._catch_up()
        self._look_at_anchor()
        self.raise_anchor()

    def _catch_up(self) -> None:
        key, tip = self.key(), self.log.tip()
        base = json.dumps(json.loads(key)[:3])
        if self.index.meta("base", base) != base or self.broken():
            self.index.reset()
        lines = self._new_lines(tip)
        if lines is None:
            self.index.reset()
            lines = self._new_lines(tip) or []
        self._take_in(lines)
        self.index.set_meta("base", base)
        self.index.set_meta("key", key)

    def _new_lines(self, tip: str) -> list[Line] | None:
        """Lines not judged yet; None where something known is gone."""
        now, before = self.log.notes(tip), self.index.notes()
        if not before.keys() <= now.keys():
            return None
        changed = {note: blob for note, blob in now.items() if before.get(note) != blob}
        found: list[Line] = []
        notes = iter(changed)
        for _, body in self.log.blobs(list(changed.values())):
            note = next(notes)
            known = self.index.lines(note) if note in before else set()
            texts = [(n, text) for n, text in enumerate(body.split(b"\n"), 1) if text]
            if known:
                digests = {_digest(text) for _, text in texts}
                # A line gone, or one that stands twice: judge all of it anew.
                if not known <= digests or len(digests) < len(texts):
                    return None
            found += [Line(text, note, n) for n, text in texts if not known or _digest(text) not in known]
        self.index.set_notes(changed.items())
        self.index.add_lines((line.path, _digest(line.text)) for line in found)
        journal = self._journal_lines(tip)
        return None if journal is None else found + journal

    def _journal_lines(self, tip: str) -> list[Line] | None:
        """New lines of the journal; a journal that shrank without its lines being in the notes counts as gone."""
        shared = self.journal.stamp()[0]
        start = int(self.index.meta("journal", "0"))
        if tip != self.index.meta("tip") or shared < start:
            if self.index.lost_lines() and not self._still_there():
                return None
            self.index.forget_journal()
            start = 0
        found = []
        for path, note, begin in (
            (self.journal.shared, JOURNAL_NOTE, start),
            (self.journal.local, LOCAL_NOTE, int(self.index.meta("local", "0"))),
        ):
            lines, end = self.journal.read(path, begin)
            found += [Line(text, "", n, note == LOCAL_NOTE) for n, text in enumerate(lines, 1)]
            self.index.add_lines((note, _digest(text)) for text in lines)
            self.index.set_meta("local" if note else "journal", str(end))
        self.index.set_meta("tip", tip)
        return found

    def _still_there(self) -> bool:
        lines, _ = self.journal.read(self.journal.shared)
        return self.index.lines(JOURNAL_NOTE) <= {_digest(text) for text in lines}

    def _take_in(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        self._nothing_known = self.index.is_empty()
        with _no_collector():
            judged, findings, policies = self.judge(lines)
        for digest, policy in policies.items():
            self.index.add_policy(digest, ",".join(policy.previous), json.dumps(policy.content))
        self.index.add_findings((one.code, one.entry, one.message) for one in findings)
        self.index.add_verified(self._verified)
        self._verified.clear()
        fresh = [one for one in judged if one.state == VALID and self.place(one.record.id) is None]
        self._nothing_known = False
        tips = new_tips(self.tips(), [(one.record.id, one.record.parents) for one in fresh])
        self.index.set_meta("tips", tips)
        for one in fresh:
            if one.record.kind == "root":
                self.index.set_meta("root", one.record.id)
        self.store(judged)
        retire(self, [one.record.id for one in fresh])

    def store(self, judged: Sequence[Judged]) -> None:
        """Writes judged entries into the index; invalid ones stay known, and count for nothing."""
        rows: list[IndexRow] = []
        outputs: list[tuple[str, str]] = []
        superseded: list[tuple[str, str]] = []
        code: list[tuple[str, str]] = []
        for one in judged:
            record, fields = one.record, one.record.fields
            rows.append(_row(record, one.policy, one.state))
            if one.state != INVALID:
                outputs += [(digest, record.id) for digest in fields.get("outputs", {}).values()]
                if record.kind == "result":
                    section = record.address.partition(".")[0]
                    superseded += [(entry, section) for entry in fields.get("supersedes", ())]
                if fields.get("tree"):
                    code.append((str(fields["tree"]), record.id))
        self.index.add(rows, outputs, superseded)
        self.index.add_code(code)

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
        tips = self.tips()
        seen = self.anchor.read()
        new = bool(tips) and (seen is None or seen["tips"] != tips)
        if new and not self.missing_from_anchor() and not self.broken():
            # Without room to write the mark stays where it is, which is never wrong.
            with suppress(OSError):
                self.anchor.write(
                    {"log": self.expected.log, "root": self._root(), "tips": tips, "commit": self.log.tip()}
                )


@contextmanager
def _no_collector() -> Iterator[None]:
    """Thousands of new objects, none of them garbage: the cycle collector would walk them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()


def _row(record: Record, policy: str, state: str) -> IndexRow:
    fields = record.fields
    return (
        record.id, record.seq, fields["at"], fields["signer"], record.kind, record.address,
        str(fields.get("status", "")), str(fields.get("made_from", "")), policy, state, record.payload,
    )  # fmt: skip
