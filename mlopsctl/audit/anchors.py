"""Judging what places outside remember of a trail: whoever holds the owner's key cannot change that.

Pure: what was seen outside, and whose time stamps and countersignatures count, comes in.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..errors import MlopsError, UsageError
from ..types import Json
from .dsse import BadLine, pae
from .entry import Record, proofs, read_line, to_entry
from .ledger import Ledger
from .receipts import BadReceipt, Receipt, countersigned, countersigner, read_receipt, tokens_of, with_tokens
from .statement import EMPTY_TREE
from .trail import TrailLog
from .verify import INVALID, LOCAL, Check, Finding, Verdict


class Claim(Protocol):
    """What one receipt or tag outside says: the log had these tips; ``body`` is the receipt where there is one."""

    @property
    def where(self) -> str: ...

    @property
    def log(self) -> str: ...

    @property
    def tips(self) -> tuple[str, ...]: ...

    @property
    def body(self) -> bytes: ...

    @property
    def says(self) -> str: ...

    @property
    def authority(self) -> str: ...


class Stamp(NamedTuple):
    """``by`` says that something existed not later than ``at`` (UTC)."""

    at: str
    by: str


Stamped = Callable[[bytes, bytes], Sequence[Stamp]]
"""(token, message) -> what a time stamp proves, by each authority that the user trusts and whose it can be."""


@dataclass
class Report:
    """What came of looking outside: findings and warnings, and each claim as ``audit verify`` shows it."""

    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    seen: list[dict[str, Json]] = field(default_factory=list)

    def warn(self, code: str, text: str, *, strict: bool = False) -> None:
        """Under ``strict`` it is a finding."""
        (self.findings if strict else self.warnings).append(Finding(code, "", text))

    @property
    def met(self) -> bool:
        """Whether at least one claim was found true here."""
        return any(one["met"] for one in self.seen)

    def added_to(self, verdict: Verdict) -> Verdict:
        """The verdict with what was seen outside."""
        return verdict._replace(
            findings=tuple(sorted({*verdict.findings, *self.findings})),
            warnings=tuple(sorted({*verdict.warnings, *self.warnings})),
            freshness="anchored" if self.met else verdict.freshness,
        )


@dataclass
class Judge:
    """Holds claims against the trail. ``keys`` are those of countersigners, by name."""

    ledger: Ledger
    log: str
    check: Check
    stamped: Stamped
    keys: Mapping[str, str]
    report: Report = field(default_factory=Report)

    def judge(self, place: str, claims: Iterable[Claim]) -> None:
        """Adds what these claims come to. Raises UsageError for receipts of another log."""
        for claim in claims:
            try:
                self._one(place, claim)
            except BadReceipt as bad:
                self.report.findings.append(Finding("MLO7184", "", f"{claim.where}: the receipt does not hold: {bad}"))

    def _one(self, place: str, claim: Claim) -> None:
        says, tips, log = [claim.says] if claim.says else [], claim.tips, claim.log
        receipt: Receipt | None = None
        if claim.body:
            receipt = read_receipt(claim.body)
            if tips and tips != (receipt.record.id,):
                raise BadReceipt("it is that of another checkpoint")
            log, tips = receipt.log, (receipt.record.id,)
            proven = self._proven(claim, receipt)
            if proven is None:
                return
            says += proven
        if self.log and log != self.log:
            raise UsageError(
                f"{claim.where} is about the log {log}, and this is {self.log}",
                hint="name the receipt of this project",
                code="MLO7186",
            )
        lost = [tip for tip in tips if not has(self.ledger, tip)]
        for tip in lost:
            who = self._vouched(receipt.record) if receipt else ""
            text = f"{claim.where} remembers it{', ' + ', '.join(says) if says else ''}{who}, and the trail lacks it"
            self.report.findings.append(
                Finding("MLO7181", tip, f"{text}: the trail was forged, cut or rolled back, or is not whole here")
            )
        self.report.seen.append({"place": place, "where": claim.where, "tips": list(tips), "met": not lost,
                                 "says": ", ".join(says)})  # fmt: skip

    def _proven(self, claim: Claim, receipt: Receipt) -> list[str] | None:
        """Who else vouches for the receipt; None where it counts for nothing."""
        says = []
        message = pae(receipt.record.payload)
        stamps = [stamp for token in receipt.timestamps for stamp in self.stamped(token, message)]
        if claim.authority:
            stamps = [stamp for stamp in stamps if stamp.by == claim.authority]
            if not stamps:
                raise BadReceipt(f"no token in it is a time stamp of {claim.authority} over the checkpoint")
        says += [f"stamped by {stamp.by} not after {stamp.at}" for stamp in stamps]
        if countersigned(claim.body):
            name = countersigner(claim.body, self.keys, self.check)
            if not name:
                text = f"{claim.where} is countersigned with a key that was not named here: --countersigner FILE"
                self.report.warn("MLO7185", text)
                return None
            says.append(f"countersigned by {name}")
        return says

    def _vouched(self, record: Record) -> str:
        """Whether the lost checkpoint is signed by somebody whom even this trail knows."""
        policy = self.ledger.policy_in_force()
        rule = policy.signers.get(str(record.fields["signer"])) if policy else None
        message = pae(record.payload)
        if rule is not None and any(self.check(rule.key, message, sig) for _, sig in proofs(record)):
            return f", signed with the key of {rule.name}"
        return ", signed with a key that this trail does not list"


def has(ledger: Ledger, entry: str) -> bool:
    """Whether the entry stands in the trail; one by a key that was retired since does."""
    place = ledger.index.place(entry)
    return place is not None and place[3] not in (INVALID, LOCAL)


def record_of(ledger: Ledger, entry: str, notes: Mapping[str, str] | None = None) -> Record | None:
    """The line of a valid entry, with the material of every line that carries it.

    Who asks for many gives ``notes`` as they are at the tip.
    """
    row = ledger.index.one("id = ?", (entry,))
    if row is None:
        return None
    some: list[Record] = []
    for line in _lines(ledger, row[0], ledger.log.notes(ledger.log.tip()) if notes is None else notes):
        with suppress(ValueError):
            some.append(read_line(line))
    some = [record for record in some if record.id == entry]
    if not some:
        return None
    # Once an entry is valid, further lines of it are not judged: of several, the one that verifies is the entry's.
    best = next((record for record in some if _signed(ledger, record)), some[0]) if len(some) > 1 else some[0]
    return read_line(with_tokens(best, [token for record in some for token in tokens_of(record)]))


def _signed(ledger: Ledger, record: Record) -> bool:
    """Whether this line's own signature holds under the key that its signer has there."""
    place = ledger.place(record.id)
    policy = ledger.policy_at(place) if place is not None else None
    rule = policy.signers.get(str(record.fields["signer"])) if policy else None
    message = pae(record.payload)
    return rule is not None and any(ledger.check(rule.key, message, proof) for _, proof in proofs(record))


def _lines(ledger: Ledger, payload: bytes, notes: Mapping[str, str]) -> list[bytes]:
    """The lines of the note and of the journal that carry a payload."""
    note = notes.get(to_entry(payload).commit or EMPTY_TREE)
    lines = list(ledger.journal.read(ledger.journal.shared)[0])
    for _, body in ledger.log.blobs([note] if note else []):
        lines += body.split(b"\n")
    # A note may hold thousands of other lines: only these are parsed.
    text = b64encode(payload)
    return [line for line in lines if text in line]


def add_tokens(trail: TrailLog, entry: str, tokens: Sequence[bytes]) -> None:
    """Adds a line of the same entry, with these time stamps in its material.

    Both lines stay: the entry has one id, and is valid as soon as one of them verifies. Raises MlopsError.
    """
    with trail.ledger.journal.lock():
        record = record_of(trail.ledger, entry)
        if record is None or not tokens:
            return
        line = with_tokens(record, tokens)
        try:
            read_line(line)
        except BadLine as bad:
            raise MlopsError(
                f"the time stamp does not fit into the trail: {bad.message}",
                hint="take an authority whose answers are shorter",
                code="MLO7188",
            ) from None
        trail.ledger.journal.append(trail.ledger.journal.shared, line)
        trail.sync()
        trail.flush()
