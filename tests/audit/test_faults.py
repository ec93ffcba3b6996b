"""A full disk, a kill at any moment, a foreign lock: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlopsctl.adapters import objects
from mlopsctl.adapters.notes import NotesLog

from .clone import Clone, result, run

WRITER = """
import sys
from pathlib import Path
from mlopsctl.adapters.git import find_repo
from mlopsctl.cli.trail import open_trail
repo = find_repo(Path(sys.argv[1]))
trail = open_trail(repo, repo.common_dir / "mlops", sys.argv[2])
for n in range(200):
    entry = trail.append("result", address="train.m", facts={"n": n}, commit=sys.argv[3])
    print(entry.id, flush=True)
    if n % 3 == 0:
        trail.flush()
"""


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


def test_kills_at_random_moments(clone: Clone) -> None:
    chance, commit = random.Random(11), clone.commit()
    acknowledged: set[str] = set()
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(clone.folder), clone.log, commit], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged.add(writer.stdout.readline().strip())
        time.sleep(chance.uniform(0, 0.4))
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged |= {word for word in writer.communicate()[0].split("\n")[:-1] if len(word) == 64}
        for lock in (clone.folder / ".git").rglob("*.lock"):
            lock.unlink()  # git's own, left by a git that was killed
    clone.trail.flush()
    there = [entry.id for entry in clone.trail.entries()]
    assert acknowledged and acknowledged <= set(there)
    assert clone.verdict(full=True).ok
    lines = [line for some in clone.notes().values() for line in some]
    assert len(lines) == len(set(lines)) == len(there)


def test_a_full_disk_keeps_what_was_there(clone: Clone) -> None:
    made = clone.train("before")
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from pathlib import Path; from mlopsctl.adapters.git import find_repo; from mlopsctl.cli.trail import open_trail;"
        f"repo = find_repo(Path({str(clone.folder)!r}));"
        f"trail = open_trail(repo, repo.common_dir / 'mlops', {clone.log!r}); trail.sync(); trail.signer().sign(b'x');"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "trail.append('result', address='train.m', facts={'x': 'y' * 3000})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert [entry.id for entry in clone.trail.entries()][-1] == made.id
    clone.train("after")
    assert clone.verdict(full=True).ok


def test_a_full_disk_while_the_journal_is_moved_loses_nothing(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clone.trail.append("result", **result("m"), commit=clone.commit())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects, "write_objects", full)
    with pytest.raises(OSError, match="No space"):
        clone.trail.flush()
    monkeypatch.undo()
    assert clone.trail.entry(made.id)
    clone.trail.flush()
    assert clone.verdict(full=True).ok and made.id in {entry.id for entry in clone.trail.entries()}


def test_a_foreign_writer_of_the_ref_is_waited_for(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else moves the ref between our look and our write: we take theirs in and try again."""
    trail = clone.trail
    mine = trail.append("result", **result("mine"), commit=clone.commit())
    moved: list[str] = []
    move = NotesLog.move

    def late(log: NotesLog, old: str, new: str, ref: str = "") -> bool:
        if not moved:
            moved.append(old)
            tree = run(clone.folder, "rev-parse", f"{old}^{{tree}}")
            run(
                clone.folder,
                "update-ref",
                "refs/notes/mlops",
                run(clone.folder, "commit-tree", tree, "-p", old, "-m", "x"),
            )
        return move(log, old, new, ref)

    monkeypatch.setattr(NotesLog, "move", late)
    trail.flush()
    assert run(clone.folder, "rev-list", "--count", "refs/notes/mlops") == "3"
    assert clone.trail.entry(mine.id) and clone.verdict(full=True).ok


def test_reading_needs_no_place_to_write(clone: Clone) -> None:
    made = clone.train("m")
    clone.forget()
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "from pathlib import Path; from mlopsctl.adapters.git import find_repo; from mlopsctl.cli.trail import open_trail;"
        f"repo = find_repo(Path({str(clone.folder)!r}));"
        f"trail = open_trail(repo, repo.common_dir / 'mlops', {clone.log!r});"
        f"assert trail.entry({made.id!r})"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("moment", ["before the objects", "before the ref", "after the ref", "before the index"])
def test_a_kill_inside_a_flush_loses_and_doubles_nothing(clone: Clone, moment: str) -> None:
    """Journal to notes is four steps; a kill between any two of them is mended by the next command."""
    program = f"""
import os, signal, sys
from pathlib import Path
from mlopsctl.adapters import journal, notes, objects
from mlopsctl.adapters.git import find_repo
from mlopsctl.audit.trail import TrailLog
from mlopsctl.cli.trail import open_trail

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place, name = {{
    "before the objects": (objects, "write_objects"),
    "before the ref": (notes.NotesLog, "move"),
    "after the ref": (journal.Journal, "drop"),
    "before the index": (TrailLog, "_moved"),
}}[{moment!r}]
repo = find_repo(Path(sys.argv[1]))
trail = open_trail(repo, repo.common_dir / "mlops", sys.argv[2])
for n in range(3):
    print(trail.append("result", address="train.m", facts={{"n": n}}, commit=sys.argv[3]).id, flush=True)
setattr(place, name, die)
trail.flush()
"""
    words = [sys.executable, "-c", program, str(clone.folder), clone.log, clone.commit()]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    made = set(done.stdout.split())
    assert len(made) == 3
    assert made <= {entry.id for entry in clone.trail.entries()}
    clone.trail.flush()
    assert made <= {entry.id for entry in clone.trail.entries()}
    lines = [line for some in clone.notes().values() for line in some]
    assert len(lines) == len(set(lines)) == 4
    assert not clone.verdict(full=True).findings


def test_an_entry_of_a_clock_that_runs_ahead_takes_nothing_away(clone: Clone) -> None:
    """Skew is told with every child that is older than its parent, and nothing more."""
    trail = clone.trail
    trail.clock = lambda: "2099-01-01T00:00:00Z"
    ahead = trail.append("result", **result("ahead"), commit=clone.commit())
    trail.flush()
    after = clone.train("after")
    verdict = clone.verdict(full=True)
    assert verdict.ok and [(one.code, one.entry) for one in verdict.warnings] == [("MLO7029", after.id)]
    assert after.parents == (ahead.id,)
    assert [entry.id for entry in clone.trail.entries(newest_first=True)][:2] == [after.id, ahead.id]


@pytest.mark.parametrize("damage", ["older", "cut", "foreign", "folder"])
def test_an_index_that_cannot_be_used_is_made_anew(clone: Clone, damage: str) -> None:
    made = clone.train("m")
    index = clone.state / "index.db"
    with sqlite3.connect(index) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if damage == "older":
            db.execute("UPDATE meta SET value = '0' WHERE key = 'format'")
    db.close()
    for name in ("index.db-wal", "index.db-shm"):
        (clone.state / name).unlink(missing_ok=True)
    if damage == "cut":
        index.write_bytes(index.read_bytes()[:5000])
    elif damage == "foreign":
        index.write_bytes(os.urandom(9000))
    elif damage == "folder":
        index.unlink()
        index.mkdir()
    assert clone.trail.result(made.made_from) == made
    assert clone.verdict(full=True).ok
