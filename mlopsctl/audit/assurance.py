"""How strong a signature is, and what is known of its time: a claim of the signer, or witnessed by somebody else.

A time is witnessed where a time-stamping authority or a transparency log saw the entry itself, or a checkpoint that
stands on it: the entry existed *not later* than that. Nothing shows that it did not exist earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

from ..types import Entry, Json
from ..verifiers import is_ssh
from .anchors import Stamp, Stamped, record_of
from .checkpoints import KIND, Ranges
from .dsse import pae
from .entry import Record, proofs
from .receipts import tokens_of
from .trail import TrailLog
from .trust import SignerRule

UNKNOWN = "no key of this trail's policy"

Logged = Callable[[str, bytes, bytes], str]
"""(key, message, proof of ``entry.proofs``) -> moment by which Sigstore saw it, in its log or by a stamp; "" for none."""


def never_logged(key: str, message: bytes, proof: bytes) -> str:
    """Where no bundle can be read, nobody has seen anything."""
    return ""


class Assurance(NamedTuple):
    """What is known of one entry. ``not_after`` is "" where its time is only claimed; ``through`` is a checkpoint."""

    strength: str
    form: str
    at: str
    not_after: str = ""
    by: str = ""
    through: str = ""

    @property
    def signature(self) -> str:
        """The strength in words, with the form of the signature where it is a special one."""
        return f"{self.strength} ({self.form})" if self.form else self.strength

    @property
    def time(self) -> str:
        if not self.not_after:
            return f"{self.at}, claimed by the signer"
        through = f", through checkpoint {self.through[:12]}" if self.through else ""
        return f"witnessed: not later than {self.not_after}, by {self.by}{through}; the signer claims {self.at}"

    def as_json(self) -> dict[str, Json]:
        found: dict[str, Json] = {"signature": self.strength, "time": "witnessed" if self.not_after else "claimed"}
        more = {"form": self.form, "not_after": self.not_after, "by": self.by, "through": self.through}
        return {**found, **{name: value for name, value in more.items() if value}}


class Witnesses:
    """Everybody who witnessed a time in this trail; looked up when first asked, and once."""

    def __init__(self, trail: TrailLog, stamped: Stamped, logged: Logged = never_logged) -> None:
        self._trail = trail
        self._stamped = stamped
        self._logged = logged

    def assurance(self, entry: Entry) -> Assurance:
        """How strong the entry's signature is, and the earliest moment by which somebody witnessed it."""
        rule = self._rule(entry)
        strength = rule.strength if rule else UNKNOWN
        form = "SSHSIG" if rule and is_ssh(rule.key) else ""
        found = [(stamp, "") for stamp in self._seen(entry, rule)]
        found += [(stamp, checkpoint) for stamp, checkpoint, covered in self._checkpoints if entry.id in covered]
        if not found or not entry.trusted:
            return Assurance(strength, form, entry.at)
        stamp, through = min(found, key=lambda one: (one[0].at, one[1] != "", one))
        return Assurance(strength, form, entry.at, stamp.at, stamp.by, "" if through == entry.id else through)

    @cached_property
    def _notes(self) -> dict[str, str]:
        log = self._trail.ledger.log
        return log.notes(log.tip())

    @cached_property
    def _checkpoints(self) -> list[tuple[Stamp, str, set[str]]]:
        """Every witnessed checkpoint: by whom, its id, and all that it covers."""
        seen = [
            (stamp, entry.id)
            for entry in self._trail.entries(kinds=(KIND,))
            if entry.trusted
            for stamp in self._seen(entry, self._rule(entry))
        ]
        if not seen:
            return []
        ranges = Ranges(self._trail.ledger)
        return [(stamp, entry, ranges.ancestors([entry])) for stamp, entry in seen]

    def _seen(self, entry: Entry, rule: SignerRule | None) -> Iterable[Stamp]:
        """Who witnessed this very entry."""
        record = record_of(self._trail.ledger, entry.id, self._notes)
        if record is None or not record.material:
            return []
        message = pae(record.payload)
        found = [stamp for token in tokens_of(record) for stamp in self._stamped(token, message)]
        return found + self._in_log(record, rule, message)

    def _in_log(self, record: Record, rule: SignerRule | None, message: bytes) -> list[Stamp]:
        if rule is None or "sigstore" not in (record.material or {}):
            return []
        moments = (self._logged(rule.key, message, proof) for _, proof in proofs(record))
        return [Stamp(moment, "Sigstore") for moment in moments if moment]

    def _rule(self, entry: Entry) -> SignerRule | None:
        ledger = self._trail.ledger
        place = ledger.place(entry.id)
        policy = ledger.policy_at(place) if place is not None else None
        return policy.signers.get(entry.signer) if policy else None

    def signers(self, entries: Iterable[Entry]) -> list[tuple[str, str]]:
        """(signer, one phrase) for everybody who signed one of these entries, the most entries first."""
        groups: dict[tuple[str, str], list[Assurance]] = {}
        for entry in entries:
            found = self.assurance(entry)
            groups.setdefault((entry.signer, found.signature), []).append(found)
        return [
            (name, f"{signature}; {_times(some)}")
            for (name, signature), some in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        ]


def _times(some: list[Assurance]) -> str:
    """What is known of the times of several entries, in a few words."""
    what = f"{len(some)} entries" if len(some) > 1 else "1 entry"
    witnessed = [one for one in some if one.not_after]
    if not witnessed:
        return f"{what}, times claimed"
    last = max(witnessed, key=lambda one: one.not_after)
    rest = f", {len(some) - len(witnessed)} only claimed" if len(witnessed) < len(some) else ""
    return f"{what}, witnessed not later than {last.not_after} by {last.by}{rest}"
