"""Clones that write at once and are killed at any moment: nothing acknowledged is lost, and all converge."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlopsctl.audit.sharing import pull_trail, push_trail, unpushed

from .clone import Clone, clone_of, ids, run

# What apply does for each step, on a branch that grows: append, and share.
WRITER = """
import sys
from pathlib import Path
from mlopsctl.adapters.git import find_repo
from mlopsctl.audit.sharing import push_trail
from mlopsctl.cli.trail import open_trail
folder, log, commit, who = sys.argv[1:]
repo = find_repo(Path(folder))
trail = open_trail(repo, repo.common_dir / "mlops", log)
for n in range(3):
    entry = trail.append("result", address="train.m", facts={"who": f"{who}-{n}"}, commit=commit)
    print(entry.id, flush=True)
    if n != 1:
        push_trail(trail, "origin")
"""


@pytest.mark.parametrize(
    ("clones", "turns", "writers"),
    [
        (2, 2, 1),
        (5, 1, 1),
        pytest.param(2, 8, 3, marks=pytest.mark.slow),
        pytest.param(5, 6, 2, marks=pytest.mark.slow),
    ],
)
def test_clones_with_kills_converge(
    tmp_path: Path, origin: Path, one: Clone, clones: int, turns: int, writers: int
) -> None:
    """``writers`` processes in each clone at once, a third of them killed at random moments, in ``turns`` rounds."""
    everybody = [one] + [clone_of(origin, tmp_path / f"c{n}", one) for n in range(clones - 1)]
    for clone in everybody:
        pull_trail(clone.trail, "origin")
    chance = random.Random(clones * 100 + turns)
    acknowledged: set[str] = set()
    for turn in range(turns):
        commit = run(one.folder, "rev-parse", "HEAD") if turn % 2 else one.commit()
        words = [
            [sys.executable, "-c", WRITER, str(clone.folder), one.log, commit, f"{turn}-{n}-{k}"]
            for n, clone in enumerate(everybody)
            for k in range(writers)
        ]
        workers = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for line in words]
        for worker in chance.sample(workers, max(1, len(workers) // 3)):
            time.sleep(chance.uniform(0.0, 0.7))
            os.kill(worker.pid, signal.SIGKILL)
        for worker in workers:
            acknowledged |= {word for word in worker.communicate()[0].split() if len(word) == 64}
        for place in (origin, *(clone.folder / ".git" for clone in everybody)):
            for lock in place.rglob("*.lock"):
                lock.unlink()  # what git itself leaves when it is killed
    for clone in everybody:
        push_trail(clone.trail, "origin")
    for clone in everybody:
        pull_trail(clone.trail, "origin")
    assert acknowledged and all(acknowledged <= ids(clone) for clone in everybody)
    assert len({frozenset(ids(clone)) for clone in everybody}) == 1
    assert len({clone.trail.ledger.log.tip() for clone in everybody}) == 1, "one ref tip everywhere"
    assert run(origin, "rev-parse", "refs/notes/mlops") == one.trail.ledger.log.tip()
    for clone in everybody[:2]:
        assert unpushed(clone.trail, "origin") == 0
        assert clone.verdict(full=True).ok
        lines = [line for some in clone.notes().values() for line in some]
        assert len(lines) == len(set(lines)) == len(ids(clone)), "and nothing is there twice"
