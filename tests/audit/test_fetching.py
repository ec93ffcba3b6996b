"""What git's own settings, shallow and partial clones do to a trail that is fetched, and what we do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.transfer import is_cut, lacks_objects
from mlopsctl.audit.sharing import adopt_fetched, fetch_state, pull_trail, push_trail, unpushed

from .clone import Clone, append, clone_of, ids, result, run

POPULAR = "+refs/notes/*:refs/notes/*"
SAFE = "+refs/notes/mlops*:refs/notes/origin/mlops*"


@pytest.fixture
def ahead(one: Clone, two: Clone) -> tuple[Clone, str, str]:
    """Two clones that went on apart: ``one`` has flushed and not pushed, the remote has what ``two`` did."""
    run(one.folder, "fetch", "-q")
    mine = append(one, "mine")
    one.trail.flush()
    theirs = append(two, "theirs")
    push_trail(two.trail, "origin")
    return one, mine, theirs


def test_the_safe_refspec_brings_the_trail_beside_ours(ahead: tuple[Clone, str, str]) -> None:
    one, mine, theirs = ahead
    run(one.folder, "config", "--add", "remote.origin.fetch", SAFE)
    run(one.folder, "fetch", "-q", "--prune")
    assert mine in ids(one) and theirs not in ids(one) and unpushed(one.trail, "origin") == 1
    assert adopt_fetched(one.trail).new == 1
    assert {mine, theirs} <= ids(one) and one.verdict(full=True).ok


def test_the_safe_refspec_is_no_error_where_the_remote_has_no_trail_yet(tmp_path: Path, origin: Path) -> None:
    clone = Clone.start(tmp_path / "early")
    run(clone.folder, "remote", "add", "origin", str(origin))
    run(clone.folder, "config", "--add", "remote.origin.fetch", SAFE)
    run(clone.folder, "fetch", "-q")


def test_our_own_pull_is_safe_under_the_popular_refspec(ahead: tuple[Clone, str, str]) -> None:
    """Git writes a ref named on the command line also where ``remote.*.fetch`` says, unless it is told not to."""
    one, mine, theirs = ahead
    run(one.folder, "config", "--add", "remote.origin.fetch", POPULAR)
    pull_trail(one.trail, "origin")
    assert {mine, theirs} <= ids(one)
    assert one.verdict(full=True).ok
    push_trail(one.trail, "origin")
    assert unpushed(one.trail, "origin") == 0


@pytest.mark.parametrize("without", ["nothing", "reflog"])
def test_what_a_forced_fetch_overwrote_is_missed_and_taken_back(ahead: tuple[Clone, str, str], without: str) -> None:
    one, mine, theirs = ahead
    run(one.folder, "config", "--add", "remote.origin.fetch", POPULAR)
    run(one.folder, "fetch", "-q")
    assert ("MLO7040", mine) in one.codes() and mine not in ids(one)
    if without == "reflog":
        run(one.folder, "reflog", "expire", "--expire=now", "--all")
    later = append(one, "later")
    pulled = pull_trail(one.trail, "origin")
    assert pulled.recovered == 1
    assert {mine, theirs, later} <= ids(one)
    assert one.verdict(full=True).ok
    push_trail(one.trail, "origin")


def test_a_pruning_fetch_that_deletes_our_ref_is_taken_back_too(tmp_path: Path, origin: Path) -> None:
    """The remote has no trail yet, and the popular refspec with --prune makes ours like that."""
    clone = Clone.start(tmp_path / "early")
    run(clone.folder, "remote", "add", "origin", str(origin))
    made = clone.train("m")
    run(clone.folder, "config", "--add", "remote.origin.fetch", POPULAR)
    run(clone.folder, "fetch", "-q", "--prune")
    assert clone.codes() >= {("MLO7027", ""), ("MLO7040", made.id)}
    assert pull_trail(clone.trail, "origin").recovered == 2
    assert made.id in ids(clone) and clone.verdict(full=True).ok


def test_a_remote_that_lost_its_whole_trail_is_named_and_mended(one: Clone, origin: Path) -> None:
    root = next(iter(ids(one)))
    run(origin, "update-ref", "-d", "refs/notes/mlops")
    pulled = pull_trail(one.trail, "origin")
    assert [(finding.code, finding.entry) for finding in pulled.warnings] == [("MLO7042", root)]
    assert unpushed(one.trail, "origin") == 1
    push_trail(one.trail, "origin")
    assert unpushed(one.trail, "origin") == 0


def test_what_a_remote_lost_is_named_after_a_plain_fetch_too(one: Clone, two: Clone, origin: Path) -> None:
    """``git fetch`` moves the ref that we would compare with; what we saw ourselves is remembered elsewhere."""
    run(two.folder, "config", "--add", "remote.origin.fetch", SAFE)
    old = run(origin, "rev-parse", "refs/notes/mlops")
    made = append(one, "a", run(one.folder, "rev-parse", "HEAD"))
    push_trail(one.trail, "origin")
    pull_trail(two.trail, "origin")
    run(origin, "update-ref", "refs/notes/mlops", old)
    run(two.folder, "fetch", "-q")
    assert [one.entry for one in pull_trail(two.trail, "origin").warnings] == [made]


# --- CI checkouts --------------------------------------------------------------------------------------------


@pytest.fixture
def grown(one: Clone) -> Clone:
    """A remote with a trail of five commits, code trees among them."""
    from .test_trail import code_of

    for name in ("a", "b", "c"):
        one.train(name)
    trail = one.trail
    trail.append("result", **result("coded"), commit=one.commit(), code=code_of({"train.py": b"print(2)\n"}))
    push_trail(trail, "origin")
    run(one.folder, "push", "-q", "origin", "HEAD:main")
    return one


@pytest.mark.parametrize(
    "args",
    [
        ("--depth", "1"),
        ("--depth", "1", "--no-single-branch"),
        ("--single-branch", "--branch", "main"),
        ("--filter=blob:none",),
        ("--filter=tree:0", "--no-checkout"),
        ("--depth", "1", "--filter=blob:none"),
        ("--bare",),
    ],
    ids=lambda args: " ".join(args),
)
def test_every_kind_of_clone_gets_the_whole_trail(
    tmp_path: Path, origin: Path, grown: Clone, args: tuple[str, ...]
) -> None:
    run(origin, "config", "uploadpack.allowFilter", "true")
    fresh = clone_of(origin, tmp_path / "fresh", grown, *args)
    if "--bare" not in args and "--no-checkout" not in args:
        run(fresh.folder, "checkout", "-q", "--detach")
    boundary = fresh.repo.common_dir / "shallow"
    cut = boundary.read_text() if boundary.exists() else ""
    assert fetch_state(fresh.trail) == "missing"
    pull_trail(fresh.trail, "origin")
    assert ids(fresh) == ids(grown)
    assert fresh.verdict(full=True).ok
    assert not is_cut(fresh.repo, "refs/notes/mlops") and not lacks_objects(fresh.repo, "refs/notes/mlops")
    assert (boundary.read_text() if boundary.exists() else "") == cut, "the branches stay as shallow as they were"
    if "--bare" not in args:
        append(fresh, "more", run(fresh.folder, "rev-parse", "origin/main"))
        push_trail(fresh.trail, "origin")


def test_a_history_of_notes_that_was_fetched_shallow_is_deepened(tmp_path: Path, origin: Path, grown: Clone) -> None:
    fresh = clone_of(origin, tmp_path / "fresh", grown, "--depth", "1")
    run(fresh.folder, "fetch", "-q", "--depth", "1", "origin", "+refs/notes/*:refs/notes/*")
    assert run(fresh.folder, "rev-list", "--count", "refs/notes/mlops") == "1"
    assert ids(fresh) == ids(grown), "every commit of the notes holds all entries"
    branch = run(fresh.folder, "rev-list", "--count", "HEAD")
    pull_trail(fresh.trail, "origin")
    whole = run(grown.folder, "rev-list", "--count", "refs/notes/mlops")
    assert run(fresh.folder, "rev-list", "--count", "refs/notes/mlops") == whole
    assert run(fresh.folder, "rev-list", "--count", "HEAD") == branch == "1"
    assert fresh.verdict(full=True).ok


def test_lines_that_a_partial_fetch_left_out_are_fetched(tmp_path: Path, origin: Path, grown: Clone) -> None:
    run(origin, "config", "uploadpack.allowFilter", "true")
    fresh = clone_of(origin, tmp_path / "fresh", grown, "--filter=blob:none", "--config", f"remote.origin.fetch={SAFE}")
    assert lacks_objects(fresh.repo, "refs/notes/origin/mlops")
    pull_trail(fresh.trail, "origin")
    assert ids(fresh) == ids(grown) and fresh.verdict(full=True).ok


def test_a_remote_that_is_shallow_itself_is_said(tmp_path: Path, origin: Path, grown: Clone) -> None:
    run(tmp_path, "init", "-q", "--bare", "shallow.git")
    middle = tmp_path / "shallow.git"
    run(middle, "fetch", "-q", "--depth", "1", f"file://{origin}", "refs/heads/main:refs/heads/main")
    run(middle, "fetch", "-q", "--depth", "1", f"file://{origin}", "refs/notes/mlops:refs/notes/mlops")
    fresh = clone_of(middle, tmp_path / "fresh", grown)
    pulled = pull_trail(fresh.trail, "origin")
    assert ids(fresh) == ids(grown)
    assert [finding.code for finding in pulled.warnings] == ["MLO7172"]
