"""Changes of trust: proposed, signed by the threshold of the root in force, settled after a merge, and keys retired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keys import Signer, new_key
from mlopsctl.audit.changes import Proposal, countersign, propose, put, read_proposal, rotated, without, would_lose
from mlopsctl.audit.policy_text import policy_yaml
from mlopsctl.audit.trust import ROLES, committer, one_signer, read_policy
from mlopsctl.errors import EvidenceError, StaleError
from mlopsctl.manifest.plain import read_plain

from .clone import Clone, forged, line_id, run


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


@pytest.fixture
def bob(tmp_path: Path) -> Signer:
    return new_key(tmp_path / "keys" / "bob.pem")


def content(clone: Clone, **more: Any) -> dict[str, Any]:
    """The policy that the owner alone started with, and more signers."""
    policy = one_signer("owner", clone.signer.key)
    policy["signers"] |= more
    return policy


def change(clone: Clone, content: dict[str, Any]) -> str:
    """Puts a policy in force with the owner's key alone; the entry's id."""
    trail = clone.trail
    proposal = propose(trail, content, clone.signer, "", "")
    return put(trail, countersign(trail, proposal, clone.signer)).id


def as_bob(clone: Clone, bob: Signer) -> Clone:
    other = Clone(clone.folder, clone.log)
    other.signer = bob
    return other


def trainer(key: Signer) -> dict[str, Any]:
    return {"key": key.key, "roles": ["train"]}


def test_a_grant_counts_from_its_entry_on(clone: Clone, bob: Signer) -> None:
    change(clone, content(clone, bob=trainer(bob)))
    after = as_bob(clone, bob).train("late")
    assert after.trusted and after.signer == "bob"
    assert clone.verdict(full=True).ok


def test_a_change_needs_the_threshold_of_the_root_before_it(clone: Clone, bob: Signer, tmp_path: Path) -> None:
    two = content(clone, bob=trainer(bob))
    two["root"] = {"keys": [clone.signer.key, bob.key], "threshold": 2}
    change(clone, two)
    trail = clone.trail
    lone = countersign(trail, propose(trail, content(clone), clone.signer, "take over", ""), clone.signer)
    assert (len(lone.signatures), lone.needed, lone.complete) == (1, 2, False)
    with pytest.raises(EvidenceError) as caught:
        put(trail, lone)
    assert caught.value.code == "MLO7214"
    assert trail.ledger.policy_in_force() is not None and clone.verdict().findings == ()

    trail = clone.trail
    lone = countersign(trail, propose(trail, content(clone), clone.signer, "shrink", ""), clone.signer)
    both = countersign(trail, read_proposal(trail, lone.line() + b"\n"), bob)
    put(trail, both)
    found = clone.trail.ledger.policy_in_force()
    assert found is not None and found.threshold == 1 and list(found.signers) == ["owner"]
    assert clone.verdict(full=True).ok


def test_only_root_keys_sign_a_change(clone: Clone, bob: Signer) -> None:
    trail = clone.trail
    proposal = propose(trail, content(clone, bob=trainer(bob)), bob, "", "")
    with pytest.raises(EvidenceError) as caught:
        countersign(trail, proposal, bob)
    assert caught.value.code == "MLO7213"
    smuggled = Proposal(proposal.payload, ((bob.key_id, bob.sign(b"x")),), proposal.policy, 1)
    with pytest.raises(EvidenceError) as caught:
        read_proposal(trail, smuggled.line())
    assert caught.value.code == "MLO7211"


@pytest.mark.parametrize("text", [b"", b"{}", b"no json"])
def test_a_file_that_is_no_proposal(clone: Clone, text: bytes) -> None:
    with pytest.raises(EvidenceError) as caught:
        read_proposal(clone.trail, text)
    assert caught.value.code == "MLO7212"


def test_a_proposal_goes_stale(clone: Clone, bob: Signer) -> None:
    trail = clone.trail
    first = countersign(trail, propose(trail, content(clone), clone.signer, "one", ""), clone.signer)
    change(clone, content(clone, bob=trainer(bob)))
    with pytest.raises(StaleError) as caught:
        read_proposal(clone.trail, first.line())
    assert caught.value.code == "MLO6010"


def test_two_concurrent_changes_wait_for_a_third_that_names_both(tmp_path: Path, bob: Signer) -> None:
    remote = Clone.start(tmp_path / "remote")
    one, two = remote.again(tmp_path / "one"), remote.again(tmp_path / "two")
    for clone in (one, two):
        run(clone.folder, "fetch", "-q", "origin", "refs/notes/mlops:refs/notes/mlops")
    carol = new_key(tmp_path / "keys" / "carol.pem")
    change(one, content(one, bob=trainer(bob)))
    change(two, content(two, carol=trainer(carol)))
    late = two.train("onlytwo")  # it knows the second change alone
    unite(one, two)
    policy = one.trail.ledger.policy_in_force()
    assert policy is not None and list(policy.signers) == ["owner"], "neither is in force"
    assert len(one.trail.ledger.newest_policies()) == 2
    one.train("between")
    assert len([finding for finding in one.verdict().warnings if finding.code == "MLO7018"]) == 2
    change(one, content(one, bob=trainer(bob), carol=trainer(carol)))
    third = one.trail.ledger.policy_in_force()
    assert third is not None and set(third.signers) == {"owner", "bob", "carol"} and len(third.previous) == 2
    later = two.train("still")  # in a clone that has not heard of the third
    unite(one, two)
    again = one.trail.ledger.policy_in_force()
    assert again is not None and again.digest == third.digest, "a branch that lags behind changes nothing"
    assert one.trail.entry(late.id) and one.trail.entry(later.id)
    assert one.verdict(full=True).ok


def unite(one: Clone, two: Clone) -> None:
    from mlopsctl.audit.sharing import unite as united

    run(one.folder, "fetch", "-q", str(two.folder), "+refs/notes/mlops:refs/notes/other/mlops")
    united(one.trail, run(one.folder, "rev-parse", "refs/notes/other/mlops"))


def test_a_retired_key_counts_up_to_its_last_good_entry(clone: Clone, bob: Signer) -> None:
    change(clone, content(clone, bob=trainer(bob)))
    good = as_bob(clone, bob).train("good")
    bad = as_bob(clone, bob).train("bad")
    child = clone.train("child")
    trail = clone.trail
    policy = trail.ledger.policy_in_force()
    assert policy is not None
    assert [entry.id for entry in would_lose(trail, policy, "bob", [good.id])] == [bad.id]
    change(clone, without(policy, "bob", [good.id], "stolen"))
    trail = clone.trail
    assert trail.result(good.made_from) and trail.result(bad.made_from) is None
    assert trail.result(child.made_from), "what others built on top still counts"
    for full in (False, True):
        verdict = clone.verdict(full=full)
        assert verdict.ok
        assert ("MLO7015", bad.id) in {(one.code, one.entry) for one in verdict.warnings}


def test_whoever_holds_a_retired_key_signs_in_vain(clone: Clone, bob: Signer) -> None:
    change(clone, content(clone, bob=trainer(bob)))
    good = as_bob(clone, bob).train("good")
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    change(clone, without(policy, "bob", [good.id], "stolen"))
    # The thief forks off the entry at which the key still counted, with a time that fits.
    line = forged(clone.line(good.id), bob, parents=[good.id], seq=good.seq + 1, trust=policy.digest, status="better")
    clone.tamper(lambda notes: notes[good.commit].append(line), orphan=False)
    for full in (False, True):
        verdict = clone.verdict(full=full)
        assert ("MLO7015", line_id(line)) in {(one.code, one.entry) for one in verdict.warnings}
    assert clone.trail.entry(line_id(line)) is None
    assert clone.trail.entry(good.id) is not None


def test_a_halt_by_a_key_that_was_retired_stays(clone: Clone, bob: Signer) -> None:
    change(clone, content(clone, bob={"key": bob.key, "roles": ["halt", "train"]}))
    mine = as_bob(clone, bob).trail
    halt = mine.append("halt", address="deployments.local", facts={"reason": "wrong"})
    mine.flush()
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    change(clone, without(policy, "bob", [clone.trail.entries()[0].id], "stolen"))
    assert clone.trail.latest("deployments.local", ("halt",)) == halt


def test_what_was_retired_stays_retired(clone: Clone, bob: Signer) -> None:
    change(clone, content(clone, bob=trainer(bob)))
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    change(clone, without(policy, "bob", clone.trail.tips(), "left"))
    change(clone, content(clone))
    now = clone.trail.ledger.policy_in_force()
    assert now is not None and [item.name for item in now.retired] == ["bob"]
    with pytest.raises(EvidenceError) as caught:
        propose(clone.trail, content(clone, robert=trainer(bob)), clone.signer, "", "")
    assert caught.value.code == "MLO7019"


def test_the_owner_rotates_the_root_key(clone: Clone, bob: Signer) -> None:
    entry = clone.train("before")
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    change(clone, rotated(policy, "owner", bob.key, [entry.id]))
    assert clone.trail.result(entry.made_from)
    after = as_bob(clone, bob)
    assert after.train("after").signer == "owner"
    assert not clone.train("stale").trusted, "the old key is anybody's"
    change(
        after,
        content(after, owner={"key": bob.key, "roles": list(ROLES)}) | {"root": {"keys": [bob.key], "threshold": 1}},
    )
    assert clone.verdict(full=True).ok


def test_an_expired_key_cannot_write_itself_back(clone: Clone, bob: Signer) -> None:
    change(clone, content(clone, bob=trainer(bob) | {"until": "2026-11-20"}))
    tip = clone.train("today")  # of today, which is after that day
    backdated = forged(
        clone.line(tip.id), bob, signer="bob", at="2026-11-19T10:00:00Z", parents=[tip.id], seq=tip.seq + 1
    )
    clone.tamper(lambda notes: notes[tip.commit].append(backdated), orphan=False)
    assert ("MLO7014", line_id(backdated)) in clone.codes()


def test_trust_yaml_reads_back_as_it_was_written(clone: Clone, bob: Signer) -> None:
    written = content(
        clone,
        bob=trainer(bob) | {"until": "2027-03-01", "hardware": True, "git": [committer(clone.log, "Bob@Example.com")]},
        ci={
            "identity": "https://example.com/acme/.github/workflows/ml.yml@refs/heads/main",
            "issuer": "https://example.com",
            "roles": ["train"],
        },
        ssh={
            "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            "roles": ["gate"],
        },
    )
    written["retired"] = [
        {
            "name": "eve",
            "key": new_key(clone.folder.parent / "eve.pem").key,
            "last_good": ["0" * 64],
            "reason": 'left: "soon"',
        }
    ]
    written["anchors"] = ["s3://bucket/trail"]
    read_policy(written)
    assert read_plain(policy_yaml(written).encode(), "trust.yaml") == written


def test_a_commitment_hides_the_address_and_depends_on_the_log() -> None:
    one = committer("a" * 32, "Ada@Example.com ")
    assert one == committer("a" * 32, "ada@example.com") != committer("b" * 32, "ada@example.com")
    assert "ada" not in one
