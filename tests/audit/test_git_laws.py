"""The laws of the trail again, with real git: whatever clones do in whatever order, they verify and converge."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsctl.audit.sharing import pull_trail, push_trail

from .clone import Clone, Notes, append, clone_of, ids, line_id, run

ACTIONS = ("append", "append", "flush", "push", "push", "pull", "reorder", "forget", "clone", "repack", "git-fetch")
steps = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(ACTIONS)), max_size=14)


def play(history: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run(folder, "init", "-q", "--bare", "origin.git")
        origin = folder / "origin.git"
        first = Clone.start(folder / "c0")
        run(first.folder, "remote", "add", "origin", str(origin))
        run(first.folder, "push", "-q", "origin", "HEAD:main")
        push_trail(first.trail, "origin")
        clones = [first] + [clone_of(origin, folder / f"c{n}", first) for n in (1, 2)]
        made: set[str] = set()
        behind: set[int] = set()
        for clone in clones:
            run(clone.folder, "config", "--add", "remote.origin.fetch", "+refs/notes/mlops*:refs/notes/origin/mlops*")
            run(clone.folder, "fetch", "-q")
            pull_trail(clone.trail, "origin")
        for number, (who, action) in enumerate(history):
            if action == "clone":
                clones.append(clone_of(origin, folder / f"c{len(clones)}", first))
                pull_trail(clones[-1].trail, "origin")
                continue
            made |= act(clones[who], action, number)
            # A clone that lost its mark cannot tell news of the remote from entries that were cut off here.
            lacking = fetched(clones[who])
            behind = behind | {who} if action == "forget" and lacking else behind if lacking else behind - {who}
            assert clones[who].codes() == {("MLO7041", entry) for entry in lacking if who in behind}
        for clone in clones:
            push_trail(clone.trail, "origin")
        for clone in clones:
            pull_trail(clone.trail, "origin")
            assert made <= ids(clone)
            verdict = clone.verdict(full=True)
            assert verdict.ok and not verdict.warnings
        assert len({frozenset(ids(clone)) for clone in clones}) == 1
        assert len({clone.trail.ledger.log.tip() for clone in clones}) == 1


def fetched(clone: Clone) -> set[str]:
    """Entries that the remote's trail has, as last fetched, and this clone has not; read past the clone's own memory."""
    here, there = clone.notes(), clone.notes("refs/notes/origin/mlops")
    return {line_id(line) for note, lines in there.items() for line in lines if line not in here.get(note, [])}


def act(clone: Clone, action: str, number: int) -> set[str]:
    """One step of one clone; ids of what it appended."""
    if action == "append":
        return {append(clone, f"n{number}", clone.commit() if number % 3 else run(clone.folder, "rev-parse", "HEAD"))}
    if action == "flush":
        clone.trail.flush()
    elif action == "push":
        push_trail(clone.trail, "origin")
    elif action == "pull":
        pull_trail(clone.trail, "origin")
    elif action == "reorder":
        clone.tamper(turn_round, orphan=False)
    elif action == "forget":
        clone.trail.flush()  # the journal is no cache
        clone.forget()
    elif action == "repack":
        run(clone.folder, "pack-refs", "--all")
        run(clone.folder, "gc", "-q")
    else:
        run(clone.folder, "fetch", "-q", "--prune")
    return set()


def turn_round(notes: Notes) -> None:
    for lines in notes.values():
        lines.reverse()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_whatever_clones_do_they_verify_and_converge(history: list[tuple[int, str]]) -> None:
    play(history)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_whatever_clones_do_they_verify_and_converge_at_length(history: list[tuple[int, str]]) -> None:
    play(history)
