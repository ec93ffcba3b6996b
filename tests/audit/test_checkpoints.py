"""Checkpoints: what they cover, that another range is found, and that they cost little."""

from __future__ import annotations

import hashlib
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as some

from mlopsctl.adapters.keys import import_key, new_key
from mlopsctl.audit.assurance import Witnesses
from mlopsctl.audit.checkpoints import Ranges, newest_checkpoint, write_checkpoint
from mlopsctl.audit.dsse import entry_id
from mlopsctl.audit.ports import Signer
from mlopsctl.errors import EvidenceError
from mlopsctl.verifiers import key_id

from .clone import Clone, forged, line_id


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Three results."""
    clone = Clone.start(tmp_path / "repo")
    for name in ("first", "middle", "last"):
        clone.train(name)
    return clone


def checkpoint(clone: Clone, reason: str = "a test") -> Any:
    trail = clone.trail
    entry = write_checkpoint(trail, reason)
    trail.flush()
    return entry


def test_a_checkpoint_covers_everything_before_it(clone: Clone) -> None:
    entry = checkpoint(clone)
    assert (entry.facts["entries"], entry.facts["reason"]) == (4, "a test")
    assert newest_checkpoint(clone.trail) == entry
    assert clone.verdict(full=True).ok
    clone.train("later")
    assert newest_checkpoint(clone.trail) is None
    second = checkpoint(clone)
    assert second.facts["entries"] == 6
    assert clone.verdict().ok and clone.verdict(full=True).ok


def test_its_digest_can_be_had_with_coreutils(clone: Clone, tmp_path: Path) -> None:
    before, folder = clone.trail.entries(), tmp_path / "payloads"
    folder.mkdir()
    for entry in before:
        row = clone.trail.ledger.index.one("id = ?", (entry.id,))
        assert row is not None
        (folder / entry.id).write_bytes(row[0])
    in_order = [entry.id for entry in sorted(before, key=lambda one: (one.seq, one.id))]
    listed = subprocess.run(["sha512sum", *in_order], cwd=folder, capture_output=True, check=True).stdout
    assert checkpoint(clone).facts["sha512"] == hashlib.sha512(listed).hexdigest()


def test_a_checkpoint_over_another_range_is_found(clone: Clone) -> None:
    entry = checkpoint(clone)
    wrong = forged(clone.line(entry.id), clone.signer, facts={**entry.facts, "sha512": "0" * 128})
    clone.forget()
    clone.replace(entry.id, wrong)
    assert clone.codes() == {("MLO7180", line_id(wrong))}
    assert clone.codes() == {("MLO7180", line_id(wrong))}, "and it stays found"


def test_a_checkpoint_that_says_nothing_is_found(clone: Clone) -> None:
    trail = clone.trail
    empty = trail.append("checkpoint")
    trail.flush()
    assert clone.codes() == {("MLO7180", empty.id)}


def test_only_governors_write_checkpoints(clone: Clone, tmp_path: Path) -> None:
    clone.signer = new_key(tmp_path / "stranger.pem")
    with pytest.raises(EvidenceError, match="no role 'govern'"):
        write_checkpoint(clone.trail, "mine")


class P521:
    """A second party's key on the strongest curve, wherever they keep it."""

    name = "second"

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP521R1())
        der = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key = b64encode(der).decode()
        self.key_id = key_id(self.key)

    def seal(self, message: bytes) -> tuple[bytes, None]:
        return self._private.sign(message, ec.ECDSA(hashes.SHA512())), None


def ssh_key(folder: Path) -> Signer:
    """A second party's OpenSSH key."""
    made = folder / "second"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made)], check=True)
    return import_key("second", str(made))


@pytest.mark.parametrize("kind", ["p521", "ssh"])
def test_a_second_party_countersigns_an_older_range_with_a_key_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    clone = Clone.start(tmp_path / "repo")
    old = clone.train("first")
    second = P521() if kind == "p521" else ssh_key(tmp_path)
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    signers = {**policy.content["signers"], "second": {"key": second.key, "roles": ["govern"]}}
    clone.trail.append("trust", facts={"trust": {**policy.content, "signers": signers}})
    trail = clone.trail
    trail.signer = lambda: second
    entry = write_checkpoint(trail, "countersigned")
    trail.flush()
    assert (entry.signer, entry.facts["entries"]) == ("second", 3)
    assert old.id in Ranges(clone.trail.ledger).ancestors([entry.id])
    assert clone.verdict(full=True).ok
    found = Witnesses(clone.trail, lambda token, message: []).assurance(entry)
    assert found.signature == {"p521": "self-held key", "ssh": "self-held key (SSHSIG)"}[kind]
    wrong = forged(clone.line(entry.id), clone.signer, signer="second", facts={**entry.facts, "sha512": "0" * 128})
    clone.replace(entry.id, wrong)
    assert ("MLO7012", line_id(wrong)) in clone.codes(), "the owner cannot sign it anew"


def test_diverged_trails_with_checkpoints_unite(clone: Clone, tmp_path: Path) -> None:
    other = clone.again(tmp_path / "other")
    subprocess.run(["git", "fetch", "-q", "origin", "refs/notes/mlops:refs/notes/mlops"], cwd=other.folder, check=True)
    for one, names in ((clone, ("left", "lefter")), (other, ("right", "righter"))):
        for name in names:
            one.train(name)
            checkpoint(one)
    theirs, united = other.notes(), clone.notes()
    for note, lines in theirs.items():
        united[note] = list(dict.fromkeys([*united.get(note, []), *lines]))
    clone.write(united)
    last = checkpoint(clone)
    assert last.facts["entries"] == 12
    assert clone.verdict(full=True).ok


class Stand:
    """An index that holds only what a range asks for."""

    def __init__(self, payloads: list[bytes]) -> None:
        self.index = self
        self._payloads = payloads

    def many(self, where: str, values: Any) -> Any:
        return ((payload, "valid") for payload in self._payloads)

    def settle(self) -> None:
        """Nothing is owed."""

    def ids(self, where: str, values: Any) -> list[str]:
        return [entry_id(payload) for payload in self._payloads]


@given(some.lists(some.sets(some.integers(0, 11), max_size=3), min_size=1, max_size=12), some.data())
def test_going_on_from_an_earlier_range_gives_what_starting_anew_gives(shape: list[set[int]], data: Any) -> None:
    payloads: list[bytes] = []
    ids: list[str] = []
    above: list[set[int]] = []
    for number, wanted in enumerate(shape):
        parents = sorted(one for one in wanted if one < number)
        names = ",".join(f'"{ids[one]}"' for one in parents)
        payloads.append(f'{{"n":{number},"parents":[{names}]}}'.encode())
        ids.append(entry_id(payloads[-1]))
        above.append({number}.union(*(above[one] for one in parents)))
    ranges = Ranges(Stand(payloads))  # type: ignore[arg-type]
    for tip in data.draw(some.lists(some.integers(0, len(shape) - 1), max_size=6)):
        lines = [f"{hashlib.sha512(payloads[n]).hexdigest()}  {ids[n]}\n" for n in sorted(above[tip])]
        assert ranges.below([ids[tip]]) == (len(lines), hashlib.sha512("".join(lines).encode()).hexdigest())
        assert ranges.ancestors([ids[tip]]) == {ids[n] for n in above[tip]}
