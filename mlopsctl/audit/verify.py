"""Judging lines of the trail: form, place, trust and signature. Pure; every finding has a stable code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from ..errors import EvidenceError
from ..verifiers import is_identity, key_id
from .dsse import FEW, BadLine, fast_canonical, pae
from .entry import Record, newer_than_us, proofs, read_line
from .graph import Known, Place, heads, in_force
from .trust import RESULT_KINDS, Policy, read_policy, role_of

VALID = "valid"
RETIRED = "retired"
"""It stands where it stands, and counts for nothing: signed with a key that was retired, after its last good entry."""
LOCAL = "local"
INVALID = "invalid"

Check = Callable[[str, bytes, bytes], bool]
"""(key, message, signature) -> whether the signature holds; see ``entry.proofs``."""

CheckDigest = Callable[[str, bytes, bytes], bool | None]
"""(key, SHA-256 of the message, signature) -> the same, None where the message itself is needed."""

Owed = tuple[str, bytes]
"""Key and signature of an entry that is judged in every other way: whoever relies on the entry checks it first."""

WARNINGS = frozenset({"MLO7015", "MLO7018", "MLO7029", "MLO7042", "MLO7090", "MLO7170", "MLO7171", "MLO7172"})
"""Codes that are told but don't make a trail invalid: an entry's time is a claim, a newer form is no forgery."""


class Finding(NamedTuple):
    """One thing that is wrong; ``entry`` is an entry's id, or the note and line where no id could be had."""

    code: str
    entry: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "entry": self.entry, "message": self.message}


class Verdict(NamedTuple):
    """What ``audit verify`` answers: findings break the trail, warnings don't."""

    entries: int
    tips: tuple[str, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    freshness: str
    root: str

    @property
    def ok(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, object]:
        return {
            "ok": self.ok,
            "entries": self.entries,
            "tips": list(self.tips),
            "findings": [finding.as_json() for finding in self.findings],
            "warnings": [finding.as_json() for finding in self.warnings],
            "freshness": self.freshness,
            "root": self.root,
        }


class Line(NamedTuple):
    """One line as found. ``path`` is the note's object id, "" in the journal; ``local`` for this machine's own."""

    text: bytes
    path: str = ""
    number: int = 0
    local: bool = False

    @property
    def name(self) -> str:
        return f"{self.path or 'journal'}:{self.number}"


class Judged(NamedTuple):
    """A record and what came out: VALID, LOCAL (own, without the role) or INVALID."""

    record: Record
    line: Line
    state: str
    policy: str
    owed: Owed | None = None


class Expected(NamedTuple):
    """What a trail is judged against. ``root`` is the pinned root entry's id, "" where nothing is pinned."""

    log: str = ""
    root: str = ""
    own_key: str = ""
    identities: str = ""
    """A stamp of what the proofs of identities are checked against."""


@dataclass
class Judge:
    """Judges lines, parents before children, against what is known. One object serves one batch.

    With ``lazy`` the signatures of entries that steer nothing stay owed; ``failed`` are those known not to hold.
    """

    expected: Expected
    known: Known
    check: Check
    lazy: bool = False
    failed: frozenset[tuple[str, str, bytes]] = frozenset()
    findings: list[Finding] = field(default_factory=list)
    policies: dict[str, Policy] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    """sha256 of the lines that findings name by their place, because they have no id or stand twice."""
    _places: dict[str, Place] = field(default_factory=dict)
    _batch: set[str] = field(default_factory=set)
    _owed: Owed | None = None
    _may: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    """What was said of a signature, its signer and its place before, and the key that it must hold under."""

    def judge(self, lines: Iterable[Line]) -> list[Judged]:
        """Every well-formed line with its state; findings are gathered in ``findings``."""
        return self.judge_records([(one._replace(payload=payload), line) for one, line, payload in self.read(lines)])

    def judge_records(self, records: Sequence[tuple[Record, Line]]) -> list[Judged]:
        """The same for lines that ``read`` gave."""
        self._batch = {record.id for record, _ in records}
        once = len(self._batch) == len(records) and self.known.nothing()
        root = self._choose_root(records)
        done: list[Judged] = []
        for record, line in sorted(records, key=lambda pair: (pair[0].fields["seq"], pair[0].id)):
            before = None if once else self._place(record.id)
            # Several lines may carry one entry; it is valid if any of them verifies, in this batch or before.
            if before is not None and before.valid:
                continue
            found = len(self.findings)
            swift = self._swift(record, line) if record.scheme and self.lazy else None
            judged = swift or self._one(record, line, root)
            if before is not None and judged.state != INVALID:
                del self.findings[found:]
                self.findings = [one for one in self.findings if one.entry != record.id or one.code == "MLO7020"]
                done = [one for one in done if one.record.id != record.id]
            done.append(judged)
        return done

    def read(self, lines: Iterable[Line], row: int = 0) -> Iterator[tuple[Record, Line, bytes]]:
        """The well-formed lines, one by one, and their payloads: what can be said of a line by itself.

        Lines of a note come together. Records are numbered from ``row`` on.
        """
        note = ""
        seen: set[object] = set()
        lines = iter(lines)
        first = list(islice(lines, FEW + 1))
        many = len(first) > FEW
        if many:
            from .usual import read_usual as usual
        for line in chain(first, lines):
            text, path = line.text, line.path
            if path != note:
                note, seen = path, set()
            found = usual(text, path, row + 1) if many and path else None
            if found is not None:
                record, payload = found
            else:
                try:
                    record = read_line(text)
                except BadLine as bad:
                    self._find_line(bad.code, line, bad.message)
                    continue
                record, payload = slim(record, row + 1), record.payload
            # Read strictly, equal parts make equal lines.
            same = (record.id, record.signatures) if record.material is None else text
            if same in seen:
                self._find_line("MLO7021", line, "the same line stands twice in this note")
                continue
            seen.add(same)
            if path and path != record.commit:
                words = f"the entry is about {record.commit[:12]} but hangs on {path[:12]}"
                self._find("MLO7020", record.id, words)
                continue
            row += 1
            yield record, line, payload

    def _choose_root(self, records: Sequence[tuple[Record, Line]]) -> str:
        """The root entry: the pinned one, else the only one there is."""
        if self.expected.root:
            return self.expected.root
        log = self.expected.log
        roots = {r.id for r, _ in records if not r.fields["parents"] and log in ("", r.fields["log"])}
        return next(iter(roots)) if len(roots) == 1 else ""

    def _find_line(self, code: str, line: Line, message: str) -> None:
        self.digests[line.name] = hashlib.sha256(line.text).hexdigest()
        self._find(code, line.name, message)

    def _find(self, code: str, entry: str, message: str) -> None:
        self.findings.append(Finding(code, entry, message))

    def _swift(self, record: Record, line: Line) -> Judged | None:
        """The judgment of a usual entry that stands as most do; None where it takes a closer look."""
        fields, parents = record.fields, record.fields["parents"]
        above = self._place(parents[0]) if len(parents) == 1 else None
        if above is None:
            return None
        seq, at = fields["seq"], fields["at"]
        before, latest, policy, valid = above
        if seq != before + 1 or latest > at or not valid:
            return None
        hint, proof = record.signatures[0]
        asked = (policy, record.scheme)
        key = self._may.get(asked)
        if key is None:
            key = self._may[asked] = self._key_that_may(record, above, hint)
        if not key or (self.failed and (record.id, key, proof) in self.failed):
            return None
        self._places[record.id] = Place(seq, at, policy, True)
        return Judged(record, line, VALID, policy, (key, proof))

    def _key_that_may(self, record: Record, above: Place, hint: str) -> str:
        """The key under this hint where it may sign such an entry there, at any time; "" where that is not plain."""
        fields = record.fields
        policy = None if "," in above.policy else self._policy(above.policy)
        rule = policy.signers.get(fields["signer"]) if policy is not None else None
        role = role_of(fields["kind"], fields["address"])
        plain = (
            rule is not None
            and fields["trust"] == above.policy
            and self.expected.log in ("", fields["log"])
            and _hint(rule.key) == hint
            and not rule.until
            and (not role or role in rule.roles)
            and not newer_than_us(record)
        )
        return rule.key if rule is not None and plain else ""

    def _one(self, record: Record, line: Line, root: str) -> Judged:
        above = [self._place(parent) for parent in record.fields["parents"]]
        problem = self._place_of(record, root, above)
        newest = self._newest_policies(above)
        before = in_force(newest, self.policies)
        after = ",".join(newest)
        state, self._owed = VALID, None
        problem = problem or fingerprint_problem(record)
        if problem is None and record.fields["kind"] in ("root", "trust"):
            after, problem = self._trust_change(record, before, newest)
        elif problem is None:
            state, problem = self._signer(record, line, before, above)
        if problem is not None:
            state = INVALID
            self._find(*problem)
        self._places[record.id] = Place(record.fields["seq"], record.fields["at"], after, state == VALID)
        return Judged(record, line, state, after, None if state == INVALID else self._owed)

    def _place(self, entry_id: str) -> Place | None:
        return self._places.get(entry_id) or self.known.place(entry_id)

    def _place_of(self, record: Record, root: str, above: Sequence[Place | None]) -> tuple[str, str, str] | None:
        """What is wrong with where the entry stands: log, root, parents, seq."""
        fields = record.fields
        if self.expected.log and fields["log"] != self.expected.log:
            return "MLO7010", record.id, f"the entry belongs to log {fields['log']!r}, not to {self.expected.log}"
        if not fields["parents"]:
            return self._root_problem(record, root)
        highest, latest = 0, ""
        for parent, place in zip(fields["parents"], above, strict=True):
            if place is None and parent in self._batch:
                return "MLO7023", record.id, f"seq {record.seq} is not above that of its parent {parent[:12]}"
            if place is None:
                return "MLO7022", record.id, f"its parent {parent[:12]} is missing from the trail"
            if not place.valid:
                return "MLO7024", record.id, f"it builds on entry {parent[:12]}, which is not valid"
            highest, latest = max(highest, place.seq), max(latest, place.at)
        if fields["seq"] != 1 + highest:
            return "MLO7023", record.id, f"seq {record.seq} is not one above the highest of its parents"
        if latest > fields["at"]:
            self._find("MLO7029", record.id, f"it claims {fields['at']}, which is before its parent: a clock was wrong")
        if newer_than_us(record):
            self._find("MLO7090", record.id, f"predicate type {record.predicate_type!r}: a newer mlopsctl wrote this")
        return None

    def _root_problem(self, record: Record, root: str) -> tuple[str, str, str] | None:
        if record.kind != "root" or record.seq != 1:
            return "MLO7022", record.id, "it has no parents and is no root entry"
        if record.id != root:
            why = "another root is pinned" if self.expected.root else "the trail holds more than one root entry"
            return "MLO7025", record.id, f"it is a second root: {why}"
        return None

    def _policy(self, digest: str) -> Policy | None:
        if digest not in self.policies:
            found = self.known.policy(digest)
            if found is None:
                return None
            self.policies[digest] = found
            for older in found.previous:
                self._policy(older)
        return self.policies[digest]

    def _newest_policies(self, above: Sequence[Place | None]) -> tuple[str, ...]:
        seen = {place.policy for place in above if place is not None}
        if len(seen) == 1 and "," not in (one := next(iter(seen))):
            self._policy(one)
            return (one,)
        for digest in ",".join(seen).split(","):
            self._policy(digest)
        return heads(seen, self.policies)

    def _trust_change(
        self, record: Record, before: str, newest: tuple[str, ...]
    ) -> tuple[str, tuple[str, str, str] | None]:
        """The policy after a root or trust entry; it must be signed by the threshold of the root *before* it."""
        try:
            proposed = read_policy(record.fields.get("facts", {}).get("trust"), newest)
        except EvidenceError as error:
            return ",".join(newest), ("MLO7019", record.id, error.message)
        judges = self._policy(before) if record.kind == "trust" else proposed
        named = before if record.kind == "trust" else proposed.digest
        if judges is None or record.fields["trust"] != named:
            return ",".join(newest), ("MLO7016", record.id, "it names another trust policy than the one in force there")
        message = pae(record.payload)
        given = proofs(record)
        signed = {
            key
            for key in judges.root_keys
            if any(hint == _hint(key) and self.check(key, message, sig) for hint, sig in given)
        }
        if len(signed) < judges.threshold:
            text = f"a change of trust with {len(signed)} of the {judges.threshold} root signatures it needs"
            return ",".join(newest), ("MLO7017", record.id, text)
        self.policies[proposed.digest] = proposed
        return proposed.digest, None

    def _signer(
        self, record: Record, line: Line, before: str, above: Sequence[Place | None]
    ) -> tuple[str, tuple[str, str, str] | None]:
        """Whether the signature holds and the signer may say this."""
        fields, entry = record.fields, record.id
        policy = self._policy(before)
        if policy is None or fields["trust"] != before:
            return INVALID, ("MLO7016", entry, "it names another trust policy than the one in force there")
        rule = policy.signers.get(fields["signer"])
        role = role_of(fields["kind"], fields.get("address", ""))
        if line.local:
            return self._own(record)
        if rule is None or _hint(rule.key) not in [hint for hint, _ in record.signatures]:
            return INVALID, (
                "MLO7012",
                entry,
                f"it is signed with a key that the trust policy does not list for {fields['signer']!r}",
            )
        if not self._signed_by(record, rule.key):
            return INVALID, ("MLO7011", entry, f"the signature of {rule.name} does not hold: {_why(rule.key)}")
        if role and role not in rule.roles:
            return INVALID, ("MLO7013", entry, f"{rule.name} has no role '{role}', which '{record.kind}' needs")
        # A backdated entry still stands on what it names: its place counts, not only what it says of the time.
        latest = max([fields["at"], *(place.at for place in above if place)]) if rule.until else ""
        if rule.expired(latest):
            text = f"the key of {rule.name} was valid until {rule.until}; this stands at {latest}"
            return INVALID, ("MLO7014", entry, text)
        return VALID, None

    def _own(self, record: Record) -> tuple[str, tuple[str, str, str] | None]:
        """An own result by a key without the role: counts on this machine, and for no deployment."""
        if role_of(record.kind, record.address) not in ("data", "train", "gate", "compile"):
            return INVALID, ("MLO7013", record.id, "only results can be kept by a key without the role")
        if not self.expected.own_key or not self._signed_by(record, self.expected.own_key):
            text = "an own result of this machine, signed by another key than it has now: it counts for nothing"
            return INVALID, ("MLO7171", record.id, text)
        return LOCAL, None

    def _signed_by(self, record: Record, key: str) -> bool:
        own = _hint(key)
        given = [sig for hint, sig in proofs(record) if hint == own]
        if self.lazy and len(given) == 1 and not steers(record):
            self._owed = (key, given[0])
            return (record.id, *self._owed) not in self.failed
        message = pae(record.payload)
        return any(self.check(key, message, sig) for sig in given)


def steers(record: Record) -> bool:
    """Whether the entry decides how others count: then a forged one would hide something without being asked for."""
    return record.fields["kind"] not in RESULT_KINDS or bool(record.fields.get("supersedes"))


def fingerprint_problem(record: Record) -> tuple[str, str, str] | None:
    """A result must be of the section whose role signed it: else a data key could attest a model's fingerprint."""
    fields = record.fields
    made_from, ingredients = fields.get("made_from"), fields.get("ingredients", {})
    if record.slim or fields["kind"] not in ("result", "trial"):
        return None
    if fields["kind"] == "trial" and (fields.get("supersedes") or record.address.startswith("deployments.")):
        return "MLO7032", record.id, "a trial deploys nothing and replaces nothing"
    if not made_from:
        return None
    if made_from != "sha256:" + hashlib.sha256(fast_canonical(ingredients)).hexdigest():
        return "MLO7032", record.id, "its fingerprint is not that of its ingredients"
    if str(ingredients.get("provider", "")).partition("/")[0] != record.address.partition(".")[0]:
        return (
            "MLO7032",
            record.id,
            f"a result of {record.address} was made by provider {ingredients.get('provider')!r}",
        )
    return None


def slim(record: Record, row: int) -> Record:
    """The record without what judging and finding it need no more once it was read; ``row`` is where the index has that.

    Of 100,000 entries all are held until they are judged in order: 2 KB each instead of 12.
    """
    if steers(record) or fingerprint_problem(record):
        return record._replace(row=row)
    fields = {name: value for name, value in record.fields.items() if name not in _BULKY}
    kind, signatures = record.predicate_type, record.signatures
    return Record(record.id, fields, record.commit, kind, b"", signatures, record.material, row, True)


_BULKY = frozenset({"ingredients", "outputs", "facts", "made_with"})


def _why(key: str) -> str:
    if is_identity(key):
        return "the entry or its proof was changed, or another Sigstore is trusted here (MLOPS_SIGSTORE_TRUST)"
    return "the entry was changed"


@lru_cache(maxsize=256)
def _hint(key: str) -> str:
    return key_id(key)
