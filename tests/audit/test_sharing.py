"""Clones that share one trail over a bare remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.audit.sharing import fetch_state, pull_trail, push_trail, unpushed
from mlopsctl.errors import EvidenceError, NotSharedError

from .clone import Clone, append, clone_of, forged, ids, line_id, result, run


def test_a_fresh_clone_knows_that_it_has_not_fetched(tmp_path: Path, origin: Path, one: Clone) -> None:
    fresh = clone_of(origin, tmp_path / "fresh", one)
    assert fetch_state(fresh.trail) == "missing"
    assert pull_trail(fresh.trail, "origin").new == 1
    assert fetch_state(fresh.trail) == "here"
    verdict = fresh.verdict()
    assert verdict.ok and verdict.freshness == "anchored"
    assert fetch_state(Clone.start(tmp_path / "lonely").trail) == "here"


def test_two_clones_diverge_and_unite(one: Clone, two: Clone) -> None:
    run(one.folder, "fetch", "-q")
    a, b = append(one, "a"), append(two, "b")
    assert unpushed(one.trail, "origin") == 1
    push_trail(one.trail, "origin")
    push_trail(two.trail, "origin")
    pull_trail(one.trail, "origin")
    assert ids(one) == ids(two) >= {a, b}
    assert one.trail.tips() == two.trail.tips() == sorted([a, b])
    assert unpushed(one.trail, "origin") == unpushed(two.trail, "origin") == 0
    merged = append(one, "c")
    assert set(one.trail.find(merged).parents) == {a, b}
    assert one.verdict(full=True).ok and two.verdict(full=True).ok
    assert run(one.folder, "rev-list", "--merges", "--count", "refs/notes/mlops") == "1"


def test_both_clones_agree_which_of_two_equal_results_is_in_force(one: Clone, two: Clone) -> None:
    run(one.folder, "fetch", "-q")
    append(one, "same"), append(two, "same")
    push_trail(one.trail, "origin")
    push_trail(two.trail, "origin")
    pull_trail(one.trail, "origin")
    made_from = result("same")["made_from"]
    first, second = one.trail.result(made_from), two.trail.result(made_from)
    assert first is not None and first == second


def test_code_trees_travel_with_the_trail(one: Clone, two: Clone) -> None:
    from .test_trail import code_of

    run(one.folder, "fetch", "-q")
    code = code_of({"train.py": b"print(2)\n"})
    trail = two.trail
    trail.append("result", **result("coded"), commit=run(two.folder, "rev-parse", "HEAD"), code=code)
    append(one, "other")
    push_trail(one.trail, "origin")
    push_trail(trail, "origin")
    pull_trail(one.trail, "origin")
    assert list(one.trail.code_files(code.oid)) == ["train.py"]
    assert one.verdict(full=True).ok


def test_incoming_lines_that_are_not_valid_stay_outside(one: Clone, two: Clone, tmp_path: Path) -> None:
    run(one.folder, "fetch", "-q")
    made = append(two, "a")
    two.trail.flush()
    forgery = forged(two.line(made), new_key(tmp_path / "owner.pem"), status="better")
    commit = two.trail.find(made).commit
    two.tamper(lambda notes: notes[commit].append(forgery), orphan=False)
    run(two.folder, "push", "-q", "origin", "refs/notes/mlops:refs/notes/mlops")
    pulled = pull_trail(one.trail, "origin")
    assert [(finding.code, finding.entry) for finding in pulled.refused] == [("MLO7012", line_id(forgery))]
    assert made in ids(one) and line_id(forgery) not in ids(one)
    assert one.verdict(full=True).ok
    with pytest.raises(EvidenceError) as caught:
        push_trail(one.trail, "origin")
    assert caught.value.code == "MLO7033"


def test_a_forced_older_ref_is_reported_and_mended_by_the_next_push(one: Clone, two: Clone, origin: Path) -> None:
    run(one.folder, "fetch", "-q")
    old = run(origin, "rev-parse", "refs/notes/mlops")
    made = append(one, "a")
    push_trail(one.trail, "origin")
    pull_trail(two.trail, "origin")
    run(two.folder, "push", "-q", "--force", "origin", f"{old}:refs/notes/mlops")
    pulled = pull_trail(one.trail, "origin")
    assert [(finding.code, finding.entry) for finding in pulled.warnings] == [("MLO7042", made)]
    push_trail(one.trail, "origin")
    assert run(origin, "rev-parse", "refs/notes/mlops") != old
    assert made in ids(one)


def test_the_remote_tracking_ref_is_an_anchor(one: Clone, two: Clone) -> None:
    run(one.folder, "fetch", "-q")
    made = append(one, "a")
    push_trail(one.trail, "origin")
    run(one.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    one.forget()
    assert one.codes() == {("MLO7041", made)}
    pull_trail(one.trail, "origin")
    assert one.verdict().ok


def test_what_builds_on_a_trail_that_was_cut_waits_until_it_is_back(one: Clone) -> None:
    run(one.folder, "fetch", "-q")
    made = append(one, "a")
    push_trail(one.trail, "origin")
    waiting = append(one, "b")
    run(one.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    one.trail.flush()
    assert waiting not in ids(one)
    push_trail(one.trail, "origin")
    assert {made, waiting} <= ids(one) and unpushed(one.trail, "origin") == 0
    assert one.verdict(full=True).ok


def test_what_waits_for_entries_that_are_nowhere_is_never_told_as_shared(one: Clone) -> None:
    run(one.folder, "fetch", "-q")
    append(one, "a")
    one.trail.flush()
    append(one, "b")
    run(one.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    run(one.folder, "reflog", "expire", "--expire=now", "--all")
    run(one.folder, "gc", "-q", "--prune=now")
    with pytest.raises(EvidenceError) as caught:
        push_trail(one.trail, "origin")
    assert caught.value.code == "MLO7043"
    assert unpushed(one.trail, "origin") == 1


def test_a_shallow_clone_has_the_whole_trail(tmp_path: Path, origin: Path, one: Clone) -> None:
    for name in ("a", "b"):
        one.train(name)
    push_trail(one.trail, "origin")
    shallow = clone_of(origin, tmp_path / "shallow", one, "--depth", "1")
    pull_trail(shallow.trail, "origin")
    assert ids(shallow) == ids(one)
    assert shallow.verdict(full=True).ok


def test_a_remote_that_cannot_be_reached(one: Clone) -> None:
    run(one.folder, "fetch", "-q")
    made = append(one, "a")
    run(one.folder, "remote", "set-url", "origin", str(one.folder / "nowhere"))
    for share in (push_trail, pull_trail):
        with pytest.raises(NotSharedError):
            share(one.trail, "origin")
    assert made in ids(one) and unpushed(one.trail, "origin") == 1


def test_a_colleague_without_the_pin_sees_that_the_root_is_unpinned(
    two: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "colleague"))
    assert two.verdict().root == "unpinned" and two.verdict().ok
    assert {code for code, _ in two.codes(roots=True)} == {"MLO7026"}
    root = two.trail.entries()[0].id
    monkeypatch.setenv("MLOPS_TRUST_ROOT", root)
    assert two.verdict(roots=True).ok and two.verdict().root == "pinned"
    monkeypatch.setenv("MLOPS_TRUST_ROOT", "0" * 64)
    assert ("MLO7025", root) in two.codes()


def prune(clone: Clone) -> None:
    """``git notes prune``, after the commits that entries are about were dropped."""
    run(clone.folder, "checkout", "-q", "--detach")
    run(clone.folder, "reset", "-q", "--hard", "HEAD~2")
    for branch in run(clone.folder, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes").split():
        run(clone.folder, "update-ref", "-d", branch)
    run(clone.folder, "reflog", "expire", "--expire=now", "--expire-unreachable=now", "HEAD")
    run(clone.folder, "gc", "-q", "--prune=now")
    run(clone.folder, "notes", "--ref", "mlops", "prune")


@pytest.mark.parametrize("how", ["pull", "push"])
def test_what_a_commit_of_ours_took_out_comes_back_and_is_never_pushed(one: Clone, origin: Path, how: str) -> None:
    made = {one.train("a").id, one.train("b").id}
    push_trail(one.trail, "origin")
    before = run(origin, "rev-parse", "refs/notes/mlops")
    prune(one)
    assert {code for code, _ in one.codes()} == {"MLO7030", "MLO7040"} and not made <= ids(one)
    if how == "pull":
        pull_trail(one.trail, "origin")
    else:
        push_trail(one.trail, "origin")
    assert made <= ids(one)
    assert not one.verdict(full=True).findings
    push_trail(one.trail, "origin")
    assert run(origin, "merge-base", "--is-ancestor", before, "refs/notes/mlops") == ""
    assert made <= {line_id(line) for lines in one.notes().values() for line in lines}


def test_what_a_commit_on_the_remote_took_out_is_brought_back(one: Clone, two: Clone, origin: Path) -> None:
    """Somebody pruned and pushed with git itself: a fast-forward that loses entries."""
    made = {one.train("a").id, one.train("b").id}
    push_trail(one.trail, "origin")
    run(two.folder, "fetch", "-q", "origin", "+refs/notes/mlops:refs/notes/mlops")
    assert made <= ids(two)
    commits = [entry.commit for entry in two.trail.entries()[1:]]
    two.tamper(lambda notes: [notes.pop(commit) for commit in commits].clear(), orphan=False)
    run(two.folder, "push", "-q", "origin", "refs/notes/mlops")
    pulled = pull_trail(one.trail, "origin")
    assert {(finding.code, finding.entry) for finding in pulled.warnings} == {("MLO7042", entry) for entry in made}
    assert made <= ids(one) and not one.verdict(full=True).findings
    push_trail(one.trail, "origin")
    pull_trail(two.trail, "origin")
    assert made <= ids(two) and not two.verdict(full=True).findings
