"""What is said of a signature's strength and of an entry's time, and on whose word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mlopsctl.audit.anchors import Stamp, add_tokens, record_of
from mlopsctl.audit.assurance import UNKNOWN, Witnesses
from mlopsctl.audit.checkpoints import write_checkpoint
from mlopsctl.audit.dsse import encode
from mlopsctl.audit.entry import read_line
from mlopsctl.audit.receipts import tokens_of
from mlopsctl.audit.trail import TrailLog
from mlopsctl.types import Entry, Json
from mlopsctl.verifiers import identity, key_id

from .clone import Clone

CI = identity("https://github.com/acme/digits/ci.yml", "https://token.example.org")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone.start(tmp_path / "repo")
    clone.train("first")
    return clone


def stamped(token: bytes, message: bytes) -> list[Stamp]:
    """An authority whose tokens are the times themselves."""
    at, _, by = token.decode().partition(" ")
    return [Stamp(at, by)] if by else []


def checkpoint(clone: Clone, *tokens: bytes) -> tuple[TrailLog, Entry]:
    trail = clone.trail
    entry = write_checkpoint(trail, "a test")
    trail.flush()
    add_tokens(trail, entry.id, tokens)
    return trail, entry


def test_a_time_that_nobody_saw_is_a_claim(clone: Clone) -> None:
    trail, _ = checkpoint(clone)
    entry = trail.entries()[1]
    found = Witnesses(trail, stamped).assurance(entry)
    assert (found.signature, found.not_after) == ("self-held key", "")
    assert found.time == f"{entry.at}, claimed by the signer"
    assert found.as_json() == {"signature": "self-held key", "time": "claimed"}


def test_a_stamped_checkpoint_witnesses_everything_before_it(clone: Clone) -> None:
    trail, first = checkpoint(clone, b"2030-01-02T00:00:00Z tsa.example.org", b"junk")
    later = clone.train("later")
    trail, second = checkpoint(
        clone, b"2030-02-01T00:00:00Z tsa.example.org", b"2030-01-30T00:00:00Z other.example.org"
    )
    witnesses = Witnesses(trail, stamped)
    before = witnesses.assurance(trail.entries()[1])
    assert (before.not_after, before.by, before.through) == ("2030-01-02T00:00:00Z", "tsa.example.org", first.id)
    assert witnesses.assurance(first).through == "", "it was stamped itself"
    after = witnesses.assurance(later)
    assert (after.not_after, after.by, after.through) == ("2030-01-30T00:00:00Z", "other.example.org", second.id)
    assert "not later than 2030-01-30T00:00:00Z, by other.example.org, through checkpoint" in after.time
    assert after.as_json()["time"] == "witnessed"
    newest = clone.train("newest")
    assert Witnesses(clone.trail, stamped).assurance(newest).not_after == "", "nobody saw what came afterwards"


def test_an_entry_beside_a_checkpoint_is_not_covered_by_it(clone: Clone, tmp_path: Path) -> None:
    other = clone.again(tmp_path / "other")
    notes = clone.notes()
    other.write(notes)
    beside = other.train("beside")
    checkpoint(clone, b"2030-01-02T00:00:00Z tsa.example.org")
    mine, theirs = clone.notes(), other.notes()
    clone.write({note: list(dict.fromkeys([*mine.get(note, []), *theirs.get(note, [])])) for note in {*mine, *theirs}})
    witnesses = Witnesses(clone.trail, stamped)
    assert [witnesses.assurance(entry).not_after != "" for entry in clone.trail.entries()].count(True) == 3
    assert witnesses.assurance(beside).not_after == ""


@dataclass
class Keyless:
    """Signs as an identity: what a bundle would hold is the moment at which a log took it in."""

    moment: str
    name: str = "ci"
    key: str = CI

    @property
    def key_id(self) -> str:
        return key_id(self.key)

    def seal(self, message: bytes) -> tuple[bytes, Json]:
        return b"signature", {"sigstore": {"moment": self.moment}}


def logged(key: str, message: bytes, proof: bytes) -> str:
    return proof.decode().partition('"moment":"')[2][:20] if key == CI else ""


def test_a_checkpoint_by_an_identity_counts_with_the_time_of_the_transparency_log(clone: Clone) -> None:
    trail = clone.trail
    policy = trail.ledger.policy_in_force()
    assert policy is not None
    name, issuer = "https://github.com/acme/digits/ci.yml", "https://token.example.org"
    rule = {"identity": name, "issuer": issuer, "roles": ["govern"]}
    content = {**policy.content, "signers": {**dict(policy.signers and policy.content["signers"]), "ci": rule}}
    trail.append("trust", facts={"trust": content})
    own = trail.ledger.check
    trail.ledger.check = lambda key, message, proof: key == CI or own(key, message, proof)
    trail.signer = lambda: Keyless("2030-03-04T05:06:07Z")
    entry = write_checkpoint(trail, "signed by ci")
    trail.flush()
    witnesses = Witnesses(trail, stamped, logged)
    found = witnesses.assurance(trail.entries()[1])
    assert (found.not_after, found.by, found.through) == ("2030-03-04T05:06:07Z", "Sigstore", entry.id)
    assert witnesses.assurance(entry).signature == "identity + transparency log"
    phrases = dict(witnesses.signers(trail.entries()))
    assert phrases["ci"].startswith("identity + transparency log; 1 entry, witnessed not later than 2030-03-04")
    assert phrases["owner"].startswith("self-held key; 3 entries, witnessed")


def test_a_signer_whom_the_policy_no_longer_lists_is_said_to_be_unknown(clone: Clone) -> None:
    trail = clone.trail
    entry = trail.entries()[1]
    assert Witnesses(trail, stamped).assurance(entry._replace(signer="nobody")).strength == UNKNOWN


def test_a_mixed_phrase_says_how_many_times_are_only_claimed(clone: Clone) -> None:
    checkpoint(clone, b"2030-01-02T00:00:00Z tsa.example.org")
    clone.train("later")
    trail = clone.trail
    [(name, phrase)] = Witnesses(trail, stamped).signers(trail.entries())
    assert name == "owner"
    assert (
        phrase
        == "self-held key; 4 entries, witnessed not later than 2030-01-02T00:00:00Z by tsa.example.org, 1 only claimed"
    )


def test_of_several_lines_the_one_that_verifies_is_taken(clone: Clone) -> None:
    _, entry = checkpoint(clone, b"2030-01-02T00:00:00Z tsa.example.org")
    good = clone.line(entry.id)
    bad = encode(read_line(good).payload, [(clone.signer.key_id, b"no signature")], {"timestamps": ["MjAzMA=="]})
    notes = clone.notes()
    clone.write({note: [bad, *lines] if good in lines else lines for note, lines in notes.items()})
    record = record_of(clone.trail.ledger, entry.id)
    assert record is not None and record.signatures == read_line(good).signatures
    assert tokens_of(record) == [b"2030", b"2030-01-02T00:00:00Z tsa.example.org"], "tokens prove themselves or nothing"
    assert Witnesses(clone.trail, stamped).assurance(entry).by == "tsa.example.org"
