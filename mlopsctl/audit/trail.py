"""The trail that everybody else uses: questions to its valid part, and signed appends."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..errors import EvidenceError, MlopsError
from ..personal import NOBODYS, Machine, struck, without_persons
from ..types import Address, Digest, Entry, Json, Observed, TreeFile
from ..verifiers import pem
from .called import ENTRIES, Called, read_names
from .code import CodeTree
from .entry import Record, entry_fields, proofs, read_line, to_entry
from .ledger import Ledger, no_collector
from .ports import Signer
from .reading import JOURNAL_NOTE, LOCAL_NOTE
from .signing import may_append, signed_line
from .statement import EMPTY_TREE, statement
from .trust import KINDS
from .verify import LOCAL, VALID, Judged, Line, fingerprint_problem, steers

GROUP_SECONDS = 2.0
_ATTEMPTS = 60
# The plus keeps SQLite off the index by kind: nearly all entries are results.
IN_FORCE = (
    "+kind = 'result' AND NOT EXISTS (SELECT 1 FROM superseded s WHERE s.id = entries.id"
    " AND s.section = substr(entries.address, 1, instr(entries.address, '.') - 1))"
)


def attempts() -> Iterator[int]:
    """Numbers of tries, waiting a little longer after each; the last one is followed by MlopsError."""
    from random import uniform

    for number in range(_ATTEMPTS):
        yield number
        # Jitter: two losers must not meet again.
        time.sleep(uniform(0.005, 0.02) * min(2**number, 64))  # noqa: S311 - no secret
    raise MlopsError(
        f"the trail could not be written: other writers won {_ATTEMPTS} times in a row",
        hint="run the command again; signed entries wait in the journal and are part of the trail already",
        code="MLO8003",
    )


def now() -> str:
    """This moment as entries write it; a claim of this machine's clock."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


@dataclass
class TrailLog:
    """The trail of one clone. Questions are answered from entries that are valid and trusted.

    ``signer`` is asked for only when something is appended.
    """

    ledger: Ledger
    signer: Callable[[], Signer]
    clock: Callable[[], str] = now
    machine: Machine = NOBODYS
    """Whose words are struck out of what is appended."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """New -> old name of each deployment that the manifest renames, signed or not."""
    _flushed: float = field(default_factory=time.monotonic)
    _pause: float = GROUP_SECONDS
    _synced: bool = False
    _answers: dict[str, Any] = field(default_factory=dict)
    _stamp: object = None
    _expected: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Fingerprint -> payload and state of its result in force, as they were at ``_expected_at``."""
    _expected_at: object = None

    # --- Questions -------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Looks for entries that came in since; the first question does so by itself."""
        self.ledger.sync()
        self._synced = True

    def settle(self) -> None:
        """The same, and no signature stays unchecked: parents of new entries are tips of the verified graph."""
        self.ledger.settle()
        self._synced = True

    def _one(self, where: str, *values: str) -> Entry | None:
        if not self._synced:
            self.sync()
        row = self.ledger.index.one(f"state IN ('valid', 'local') AND {where}", values)
        return to_entry(row[0], trusted=row[1] == VALID) if row else None

    def select(self, where: str, values: Sequence[str] = ()) -> list[Entry]:
        """Valid entries under a condition of our own making, in its order."""
        if not self._synced:
            self.sync()
        found = self.ledger.index.many(f"state IN ('valid', 'local') AND {where}", values)
        with no_collector():
            return [to_entry(payload, trusted=state == VALID) for payload, state in found]

    def remembered(self, question: str, ask: Callable[[], Any]) -> Any:
        """The answer to a question that is asked for every resource; asked again once the trail changed."""
        if not self._synced:
            self.sync()
        stamp = self.ledger.index.stamp()
        if stamp != self._stamp:
            self._answers, self._stamp = {}, stamp
        if question not in self._answers:
            answer = ask()
            if self.ledger.index.stamp() != stamp:
                return answer  # it changed meanwhile: the next one asks again
            self._answers[question] = answer
        return self._answers[question]

    def expect(self, addresses: Iterable[Address]) -> None:
        """Reads the results in force that these addresses had last in one go, for the questions that will come.

        They answer until the trail changes; then each question is asked by itself again.
        """
        if not self._synced:
            self.sync()
        newest = (
            "SELECT made_from FROM (SELECT made_from, max(seq) FROM entries WHERE +kind = 'result' AND state IN"
            " ('valid', 'local') AND address IN (SELECT value FROM json_each(?)) GROUP BY address)"
        )
        first = (
            "SELECT id FROM (SELECT id, row_number() OVER"  # noqa: S608 - no user text in it
            " (PARTITION BY made_from ORDER BY state DESC, seq, id) AS place"
            f" FROM entries WHERE state IN ('valid', 'local') AND {IN_FORCE} AND made_from IN ({newest}))"
            " WHERE place = 1"
        )
        names = json.dumps([str(address) for address in addresses])
        found = {made: one for made, *one in self.ledger.index.results(f"id IN ({first})", (names,))}
        self._expected, self._expected_at = found, self.ledger.index.stamp()

    def result(self, made_from: Digest) -> Entry | None:
        """The result in force for a fingerprint: the smallest (seq, id) not superseded, trusted ones first.

        Only a result of the same section supersedes one: other roles have no say in it.
        """
        known = self._expected.get(made_from)
        if known is not None and self.ledger.index.stamp() == self._expected_at:
            return to_entry(known[0], trusted=known[1] == VALID)
        return self._one(f"made_from = ? AND {IN_FORCE} ORDER BY state DESC, seq, id", made_from)

    def trial(self, made_from: Digest) -> Entry | None:
        """The newest trial with this fingerprint that came to an end; only another trial ever asks."""
        return self._one(
            "made_from = ? AND kind = 'trial' AND status <> 'crashed' ORDER BY state DESC, seq DESC, id", made_from
        )

    def latest(self, address: Address | str, kinds: Sequence[str] = ("result",)) -> Entry | None:
        """The newest entry of one of these kinds for the address, by (seq, id)."""
        names = self.names(address)
        where = f"address IN ({_marks(names)}) AND kind IN ({_marks(kinds)})"
        return self._one(f"{where} ORDER BY seq DESC, id DESC", *names, *kinds)

    def called(self) -> Called:
        """The names that were signed for deployments."""
        found: Called = self.remembered("names of deployments", lambda: read_names(self.select(ENTRIES)))
        return found

    def names(self, address: Address | str) -> tuple[str, ...]:
        """The address; of a deployment also the names that it had before: whatever is asked of it means all of them."""
        name = str(address)
        return self.called().names(name, self.moved) if name.startswith("deployments.") else (name,)

    def addresses(self) -> list[str]:
        """Every address that an entry is about."""
        if not self._synced:
            self.sync()
        return self.ledger.index.addresses()

    def entry(self, entry_id: str) -> Entry | None:
        """The entry with this id, given in full."""
        return self._one("id = ?", entry_id)

    def find(self, prefix: str) -> Entry:
        """The entry whose id begins with ``prefix``. Raises MlopsError for none or several."""
        self.sync()
        found = self.ledger.index.ids_like(prefix) if re.fullmatch(r"[0-9a-f]{4,64}", prefix) else []
        entry = self.entry(found[0]) if len(found) == 1 else None
        if entry is None:
            several = f"begins {len(found)} or more entries" if len(found) > 1 else "names no valid entry of this trail"
            raise MlopsError(f"'{prefix}' {several}", hint="mlopsctl audit log shows ids", code="MLO7104")
        return entry

    def with_output(self, digest: Digest, section: str = "", before: int = 0) -> Entry | None:
        """The newest result that has this output; with ``section`` one of that section, whose role vouches for it.

        With ``before`` only entries of a smaller seq: what an entry was made from stood before it.
        """
        return self._one(
            "id IN (SELECT id FROM outputs WHERE digest = ?) AND kind IN ('result', 'import') AND address GLOB ?"
            " AND seq < ? ORDER BY state DESC, seq DESC, id DESC",
            digest,
            f"{section}.*" if section else "*",
            str(before or 2**53),
        )

    def entries(self, address: str = "", kinds: Sequence[str] = (), **more: Any) -> list[Entry]:
        """``each``, as a list."""
        return list(self.each(address, kinds, **more))

    def each(
        self,
        address: str = "",
        kinds: Sequence[str] = (),
        *,
        signer: str = "",
        statuses: Sequence[str] = (),
        since: str = "",
        until: str = "",
        before: Entry | None = None,
        newest_first: bool = False,
        limit: int = -1,
    ) -> Iterator[Entry]:
        """Valid entries under these conditions, one after the other, oldest first by (seq, id).

        ``*`` and ``?`` in ``address`` stand for any letters and one letter; ``before`` leaves only older entries.
        """
        if not self._synced:
            self.sync()
        where: list[str] = ["state IN ('valid', 'local')"]
        values: list[str | int] = []
        # Brackets belong to addresses; to GLOB they are a set of letters.
        glob = "*" in address or "?" in address
        names = () if glob or not address else self.names(address)
        for condition, value in (
            ("address GLOB ?", address.replace("[", "[[]") if glob else ""),
            (f"address IN ({_marks(names)})", names),
            ("signer = ?", signer), ("at >= ?", since), ("at <= ?", until),
            ("(seq, id) < (?, ?)", (before.seq, before.id) if before else ""),
        ):  # fmt: skip
            if value:
                where.append(condition)
                values += value if isinstance(value, tuple) else (value,)
        # With a plus SQLite goes by the addresses, which are few entries: nearly all are of one kind.
        by_kind = "+kind" if address and address[0] not in "*?" else "kind"
        for column, words in ((by_kind, kinds), ("status", statuses)):
            if words:
                where.append(f"{column} IN ({_marks(words)})")
                values += words
        order = "seq DESC, id DESC" if newest_first else "seq, id"
        found = self.ledger.index.many(f"{' AND '.join(where)} ORDER BY {order} LIMIT {int(limit)}", values)
        yield from (to_entry(payload, trusted=state == VALID) for payload, state in found)

    def signer_key(self, entry_id: str) -> str:
        """PEM of the key that the policy in force for the entry gives its signer; "" for an untrusted entry."""
        entry, place = self.entry(entry_id), self.ledger.place(entry_id)
        policy = self.ledger.policy_at(place) if place and place.valid else None
        rule = policy.signers.get(entry.signer) if entry and policy else None
        return pem(rule.key) if rule else ""

    def key_of(self, name: str) -> str:
        """The key that the policy in force gives a signer who may make models; "" where there is none."""
        if not self._synced:
            self.sync()
        policy = self.ledger.policy_in_force()
        rule = policy.signers.get(name) if policy is not None and policy.may(name, "train") else None
        return "" if rule is None or rule.expired(self.clock()) else rule.key

    def tips(self) -> list[str]:
        """Ids of the newest valid entries; several after a merge."""
        if not self._synced:
            self.sync()
        while True:
            tips = self.ledger.tips()
            # Asking for them has their signatures checked; where one is forged, the tips are others.
            list(self.ledger.index.many(f"id IN ({','.join('?' * len(tips))})", tips))
            if tips == self.ledger.tips():
                return tips

    def deployments(self) -> list[tuple[Address, str]]:
        """Every deployment that was made and not destroyed since, by the name that it has now, with its provider."""
        last: dict[str, Entry] = {}
        for entry in self.entries("deployments.*", ("result", "destroy", "move")):
            if entry.kind != "move":
                last[entry.address] = entry
            elif (before := last.pop(str(entry.facts.get("from", "")), None)) is not None:
                last[entry.address] = before
        return [
            (Address.parse(address), str(entry.ingredients.get("provider", "")))
            for address, entry in sorted(last.items())
            if entry.kind == "result"
        ]

    def previous_deployments(self, address: Address | str, seen: Observed) -> Iterator[Entry]:
        """The results at the same location, before the one seen, that ran another artifact; newest first."""
        place, here = self.ledger.place(seen.entry), str(seen.facts.get("location", ""))
        for entry in self.entries(str(address), ("result",), newest_first=True):
            older = place is not None and (entry.seq, entry.id) < (place.seq, seen.entry) and entry.location == here
            if older and entry.ingredients.get("inputs") != seen.ingredients.get("inputs"):
                yield entry

    def code_files(self, oid: str) -> dict[str, TreeFile]:
        """The files of a code tree that the trail keeps; {} where it is not here."""
        return self.ledger.log.code_files(oid.removeprefix("gitoid:"))

    def problems(self) -> list[str]:
        """One line a finding that is on record; plan shows them, ``audit verify`` looks deeper."""
        self.sync()
        lines = [f"{code} entry {entry[:12]}: {text}" for code, entry, text in self.ledger.index.findings()]
        gone = [f"MLO7040 entry {tip[:12]}: it was seen here and is gone" for tip in self.ledger.missing_from_anchor()]
        return lines + gone

    # --- Appending -------------------------------------------------------------------------------------------

    def append(
        self,
        kind: str,
        *,
        address: str = "",
        status: str = "",
        made_from: str = "",
        ingredients: Mapping[str, Json] | None = None,
        outputs: Mapping[str, Digest] | None = None,
        facts: Mapping[str, Json] | None = None,
        made_with: Mapping[str, str] | None = None,
        commit: str = "",
        code: CodeTree | None = None,
        location: str = "",
        supersedes: Sequence[str] = (),
        before: Callable[[str], None] | None = None,
    ) -> Entry:
        """Signs one entry and puts it into the journal, durably; from then on every reader of this clone sees it.

        ``before`` is told the entry's id while nobody can see it yet.
        Raises EvidenceError where there is no trail or key, the key lacks the role, or the entry is too large.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind of entry: {kind}")
        with self.ledger.journal.lock():
            self.settle()
            policy = self.ledger.policy_in_force()
            if policy is None:
                raise EvidenceError(
                    "this clone has no valid trail to append to",
                    hint="mlopsctl init starts one; in a clone: mlopsctl pull --trail-only",
                    code="MLO7106",
                )
            signer, at = self.signer(), self.clock()
            if kind not in ("root", "trust"):  # a policy names its signers, by their addresses too
                facts, made_with = (without_persons(dict(one or {}), self.machine) for one in (facts, made_with))
                location = struck(location, self.machine)
            state = may_append(policy, signer, kind, address, at)
            tips = self.ledger.tips()
            fields = entry_fields(
                log=self.log_id(), seq=self.next_seq(tips), parents=tips, at=at,
                signer=policy.name_of(signer.key) or signer.name, trust=policy.digest, kind=kind, address=address,
                status=status, made_from=made_from, ingredients=dict(ingredients or {}), outputs=dict(outputs or {}),
                facts=dict(facts or {}), made_with=dict(made_with or {}), tree=code.oid if code else "",
                location=location, supersedes=list(supersedes),
            )  # fmt: skip
            line = signed_line(statement(fields, commit), signer, address or kind)
            signed = read_line(line)
            contradiction = fingerprint_problem(signed)
            if contradiction is not None:
                raise ValueError(contradiction[2])
            if code is not None and not self.ledger.index.has_code(code.oid):
                self.ledger.log.keep_objects(code.objects)
            if before is not None:
                before(signed.id)
            entry = self.journal_line(line, state)
            # A note that many entries hang on is written whole each time: the longer the trail, the rarer.
            if time.monotonic() - self._flushed > max(self._pause, self.ledger.index.last_row() / 500):
                self.flush()
        return entry

    def log_id(self) -> str:
        """The id of the log: the manifest's, else the one that the newest entry names."""
        if self.ledger.expected.log:
            return self.ledger.expected.log
        row = self.ledger.index.one("id = ?", (self.ledger.tips()[0],))
        return str(read_payload(row[0])["log"]) if row else ""

    def next_seq(self, tips: Sequence[str]) -> int:
        """The seq of an entry that builds on ``tips``."""
        return 1 + max(place.seq for tip in tips if (place := self.ledger.place(tip)) is not None)

    def journal_line(self, line: bytes, state: str) -> Entry:
        """Writes a line that was just signed here; the index takes it in without judging it again.

        Call it under the journal's lock. Changes of trust are judged like any other's.
        """
        ledger = self.ledger
        record = read_line(line)
        local = state == LOCAL
        ledger.journal.append(ledger.journal.local if local else ledger.journal.shared, line)
        if record.kind in ("trust", "reject"):
            self.sync()  # what was judged before it may stand otherwise now
            return to_entry(record.payload)
        with ledger.index.change():
            policy = ",".join(ledger.newest_policies())
            owed = None if steers(record) else (self.signer().key, proofs(record)[0][1])
            ledger.store_own(Judged(record, Line(line, local=local), state, policy, owed))
            ledger.index.add_findings(_clock_warning(ledger, record))
            if not local:
                ledger.index.set_meta("tips", [record.id])
            ledger.index.add_lines([(LOCAL_NOTE if local else JOURNAL_NOTE, hashlib.sha256(line).digest())])
            shared, own = ledger.journal.stamp()
            ledger.index.set_meta("journal", str(shared))
            ledger.index.set_meta("local", str(own))
            ledger.index.set_meta("key", ledger.key())
        return to_entry(record.payload, trusted=not local)

    def flush(self) -> None:
        """Moves the journal into the notes ref: one commit, by compare-and-swap, however many entries.

        Where entries that were seen here are gone, lines that don't verify stay, and the rest with them.
        """
        ledger = self.ledger
        if ledger.journal.stamp()[0] == 0:
            return
        begun = time.monotonic()
        with ledger.journal.lock():
            for _ in attempts():
                self.settle()
                lines, end = ledger.journal.read(ledger.journal.shared)
                groups, trees, bad = self._grouped(lines)
                if bad and ledger.missing_from_anchor():
                    return  # They may build on what was cut off: they wait until it is back.
                if bad:
                    ledger.journal.set_aside(bad)
                tip = ledger.log.tip()
                done = ledger.log.add(tip, groups, trees) if groups else (tip, {})
                if done is None:
                    continue
                ledger.journal.drop(end)
                self._moved(*done)
                break
        self._flushed = time.monotonic()
        # A note that many entries hang on is written whole each time: the larger it is, the rarer.
        self._pause = max(GROUP_SECONDS, 20 * (self._flushed - begun))

    def _grouped(self, lines: Sequence[bytes]) -> tuple[dict[str, list[bytes]], set[str], list[bytes]]:
        """Valid lines by the object they are about, the code trees they name, and the lines that are not valid."""
        groups: dict[str, list[bytes]] = {}
        trees: set[str] = set()
        bad: list[bytes] = []
        for line in lines:
            record: Record | None = None
            with suppress(ValueError):
                record = read_line(line)
            place = self.ledger.place(record.id) if record else None
            if record is None or place is None or not place.valid:
                bad.append(line)
                continue
            groups.setdefault(record.commit or EMPTY_TREE, []).append(line)
            if record.fields.get("tree"):
                trees.add(str(record.fields["tree"]))
        return groups, trees, bad

    def _moved(self, tip: str, blobs: Mapping[str, str]) -> None:
        """Notes that we wrote ourselves need not be read back."""
        ledger = self.ledger
        with ledger.index.change():
            ledger.index.set_notes(blobs.items())
            ledger.index.forget_journal()
            ledger.index.set_meta("tip", tip)
            ledger.index.set_meta("journal", "0")
            ledger.index.set_meta("key", ledger.key())
        ledger.raise_anchor()


def _clock_warning(ledger: Ledger, record: Record) -> list[tuple[str, str, str]]:
    at = record.fields["at"]
    late = any((place := ledger.place(parent)) is not None and place.at > at for parent in record.parents)
    return [("MLO7029", record.id, f"it claims {at}, which is before its parent: a clock was wrong")] if late else []


def read_payload(payload: bytes) -> dict[str, Json]:
    """Our members of a stored payload."""
    from .dsse import strict_json
    from .statement import MEMBER

    fields: dict[str, Json] = strict_json(payload)["predicate"][MEMBER]
    return fields
