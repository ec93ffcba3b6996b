"""``reject``: a line that never was valid is put aside by a signed entry, and nothing valid ever is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import Signer, new_key
from mlopsctl.audit.rejecting import reject
from mlopsctl.audit.sharing import pull_trail, push_trail, unpushed
from mlopsctl.errors import EvidenceError, MlopsError
from mlopsctl.types import Entry

from .clone import Clone, append, forged, ids, line_id, payload_of, run


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone.start(tmp_path / "repo")
    for name in ("first", "last"):
        clone.train(name)
    return clone


@pytest.fixture
def stranger(tmp_path: Path) -> Signer:
    return new_key(tmp_path / "keys" / "owner.pem")


def spoil(clone: Clone, line: bytes) -> str:
    """Merges a line into the trail as somebody with git alone would; its entry's id."""
    note = run(clone.folder, "rev-parse", "HEAD")
    clone.tamper(lambda notes: notes[note].append(line), orphan=False)
    return line_id(line)


def warned(clone: Clone, **how: bool) -> set[tuple[str, str]]:
    return {(one.code, one.entry) for one in clone.verdict(**how).warnings}


def test_a_forged_entry_is_silenced_and_stays_named(clone: Clone, stranger: Signer) -> None:
    last = clone.trail.entries()[-1]
    bad = spoil(clone, forged(clone.line(last.id), stranger, status="better"))
    assert clone.codes() == {("MLO7012", bad)}
    finding, _ = reject(clone.trail, bad[:10], "a key that nobody admitted")
    assert (finding.code, finding.entry) == ("MLO7012", bad)
    for full in (False, True):
        verdict = clone.verdict(full=full)
        assert verdict.ok and warned(clone) == {("MLO7170", bad)}
        assert "a key that nobody admitted" in verdict.warnings[0].message
        assert "MLO7012" in verdict.warnings[0].message
    assert bad not in ids(clone)
    clone.train("next")
    assert clone.verdict().ok and clone.verdict().freshness == "anchored"


def test_a_signature_that_nobody_asked_for_yet_is_checked_first(clone: Clone) -> None:
    first, last = (clone.line(entry.id) for entry in clone.trail.entries()[1:])
    outer = json.loads(forged(last, clone.signer, status="better"))
    bad = line_id(json.dumps(outer, separators=(",", ":"), sort_keys=True).encode())
    outer["dsse"]["signatures"] = json.loads(first)["dsse"]["signatures"]
    spoil(clone, json.dumps(outer, separators=(",", ":"), sort_keys=True).encode())
    finding, _ = reject(clone.trail, bad, "changed by hand")
    assert (finding.code, finding.entry) == ("MLO7011", bad)
    assert clone.verdict(full=True).ok and warned(clone) == {("MLO7170", bad)}


def test_a_line_without_an_id_is_named_by_its_bytes(clone: Clone) -> None:
    spoil(clone, b"not json")
    note = clone.trail.entries()[-1].commit
    assert clone.codes() == {("MLO7001", f"{note}:2")}
    reject(clone.trail, f"{note}:2", "git notes append")
    assert clone.verdict(full=True).ok
    clone.tamper(lambda notes: notes[note].reverse(), orphan=False)
    assert warned(clone, full=True) == {("MLO7170", f"{note}:1")}, "wherever it stands"
    spoil(clone, b"not json either")
    assert {code for code, _ in clone.codes()} == {"MLO7001"}, "another line is another finding"
    digest = hashlib.sha256(b"not json either").hexdigest()
    reject(clone.trail, digest[:12], "again")
    assert clone.verdict().ok


def test_a_valid_entry_cannot_be_rejected(clone: Clone) -> None:
    last = clone.trail.entries()[-1]
    with pytest.raises(EvidenceError) as caught:
        reject(clone.trail, last.id, "I do not like it")
    assert caught.value.code == "MLO7173" and "withdrawn" in caught.value.hint
    # By hand the entry can be written; it has no effect.
    for code in ("MLO7012", "MLO7040", ""):
        clone.trail.append("reject", facts={"entry": last.id, "code": code, "reason": "x"}, commit=last.commit)
    clone.trail.flush()
    assert clone.trail.result(last.made_from) == last
    assert clone.verdict(full=True).ok and not warned(clone)


def test_what_is_missing_cannot_be_rejected(clone: Clone) -> None:
    """Else an entry could be dropped, and what builds on it put aside."""
    first, last = clone.trail.entries()[1:]
    clone.forget()
    clone.tamper(lambda notes: notes[first.commit].clear())
    assert ("MLO7022", last.id) in clone.codes()
    with pytest.raises(EvidenceError) as caught:
        reject(clone.trail, last.id, "gone anyway")
    assert caught.value.code == "MLO7174"
    clone.trail.append("reject", facts={"entry": last.id, "code": "MLO7022", "reason": "x"}, commit=last.commit)
    clone.trail.flush()
    assert ("MLO7022", last.id) in clone.codes(full=True)


def test_a_copy_of_a_valid_entry_is_silenced_and_the_entry_counts(clone: Clone) -> None:
    """What git commit --amend leaves behind under notes.rewriteRef."""
    last = clone.trail.entries()[-1]
    run(clone.folder, "-c", "notes.rewriteRef=refs/notes/*", "commit", "-q", "--amend", "--allow-empty", "-m", "again")
    assert clone.codes() == {("MLO7020", last.id)}
    reject(clone.trail, last.id, "an amend copied it")
    assert clone.verdict(full=True).ok and warned(clone) == {("MLO7170", last.id)}
    assert clone.trail.result(last.made_from) == last


def test_a_line_that_stands_twice(clone: Clone) -> None:
    last = clone.trail.entries()[-1]
    spoil(clone, clone.line(last.id))
    reject(clone.trail, f"{last.commit}:2", "twice")
    assert clone.verdict(full=True).ok and clone.trail.result(last.made_from) == last


def test_a_rejection_needs_the_role(clone: Clone, stranger: Signer, tmp_path: Path) -> None:
    entries = clone.trail.entries()
    bad = spoil(clone, forged(clone.line(entries[-1].id), stranger, status="better"))
    clone.signer = stranger
    with pytest.raises(EvidenceError) as caught:
        reject(clone.trail, bad, "mine")
    assert caught.value.code == "MLO7105"
    mine = forged(
        clone.line(entries[-1].id), stranger, kind="reject", address="", outputs={}, ingredients={}, made_from="",
        parents=[entries[-1].id], seq=entries[-1].seq + 1, facts={"entry": bad, "code": "MLO7012", "reason": "x"},
    )  # fmt: skip
    spoil(clone, mine)
    assert clone.codes() == {("MLO7012", bad), ("MLO7012", line_id(mine))}


def test_only_what_is_wrong_can_be_named(clone: Clone, stranger: Signer) -> None:
    entries = clone.trail.entries()
    for status in ("a", "b"):
        spoil(clone, forged(clone.line(entries[-1].id), stranger, status=status))
    for name in ("f" * 12, ""):
        with pytest.raises(MlopsError) as caught:
            reject(clone.trail, name, "x")
        assert caught.value.code == "MLO7175"


def test_the_reason_holds_nothing_that_a_terminal_obeys(clone: Clone) -> None:
    spoil(clone, b"not json")
    reject(clone.trail, clone.trail.entries()[-1].commit, "\x1b[2J")
    (warning,) = clone.verdict().warnings
    assert warning.message.isprintable()


def test_a_bad_line_on_the_remote_is_rejected_and_the_trail_goes_on(one: Clone, two: Clone, stranger: Signer) -> None:
    """Where the server lets the ref only grow, nobody can take the line out again: the clones agree to skip it."""
    run(one.folder, "fetch", "-q")
    made = append(two, "a")
    two.trail.flush()
    bad = forged(two.line(made), stranger, status="better")
    two.tamper(lambda notes: notes[two.trail.find(made).commit].append(bad), orphan=False)
    run(two.folder, "push", "-q", "origin", "refs/notes/mlops:refs/notes/mlops")
    mine = append(one, "mine")
    with pytest.raises(EvidenceError) as caught:
        push_trail(one.trail, "origin")
    assert caught.value.code == "MLO7033" and "audit reject" in caught.value.hint
    reject(one.trail, line_id(bad)[:12], "never admitted")
    push_trail(one.trail, "origin")
    assert unpushed(one.trail, "origin") == 0
    assert not pull_trail(two.trail, "origin").refused
    for clone in (one, two):
        assert {made, mine} <= ids(clone) and line_id(bad) not in ids(clone)
        assert not clone.verdict(full=True).findings
        assert warned(clone) == {("MLO7170", line_id(bad))}


def test_the_entry_says_what_was_rejected(clone: Clone) -> None:
    spoil(clone, b"not json")
    entry: Entry = reject(clone.trail, clone.trail.entries()[-1].commit, "why")[1]
    facts = payload_of(clone.line(entry.id))["predicate"]["mlopsctl_entry"]["facts"]
    assert facts == {"code": "MLO7001", "line": hashlib.sha256(b"not json").hexdigest(), "reason": "why"}
    assert json.dumps(facts)
