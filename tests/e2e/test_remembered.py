"""A plan with nothing to do is remembered, and never longer than it is true."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsctl.adapters import memo

from ..quickstart import BIN, make_quickstart, make_small, must, take_down
from ..remembered import GRAIN_NS, ask, memos, plainly, remember
from .traps import set_traps

PLAN = ("plan", "--detailed-exitcode")


@pytest.fixture(autouse=True)
def _own_memos(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def in_place(path: Path, old: bytes, new: bytes) -> None:
    """An edit that leaves size, inode and mtime as they were."""
    before = path.stat()
    body = path.read_bytes()
    assert len(old) == len(new) and old in body
    with path.open("r+b") as file:
        file.write(body.replace(old, new, 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def renamed_over(path: Path, old: bytes, new: bytes) -> None:
    """The same by another file that is renamed over the first."""
    other = path.with_name(f"{path.name}.new")
    shutil.copy2(path, other)
    in_place(other, old, new)
    other.replace(path)


def a_link(path: Path) -> None:
    """The same bytes, reached through a symbolic link."""
    path.rename(path.with_name(f"{path.name}.moved"))
    path.symlink_to(f"{path.name}.moved")


def no_index(folder: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{folder}/.git/mlops/index.db{suffix}").unlink(missing_ok=True)


# What is changed, and whether the answer then is another one.
CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "manifest": (lambda f: in_place(f / "mlops.yaml", b"0.93", b"0.91"), True),
    "manifest renamed into place": (lambda f: renamed_over(f / "mlops.yaml", b"0.93", b"0.91"), True),
    "comment": (lambda f: in_place(f / "mlops.yaml", b"# A", b"# B"), False),
    "broken manifest": (lambda f: in_place(f / "mlops.yaml", b"train:", b"trian:"), True),
    "code": (lambda f: in_place(f / "train.py", b"60, 32", b"61, 32"), True),
    "code renamed into place": (lambda f: renamed_over(f / "train.py", b"60, 32", b"61, 32"), True),
    "mode": (lambda f: (f / "train.py").chmod(0o755), True),
    "code is a link": (lambda f: a_link(f / "train.py"), True),
    "code is gone": (lambda f: (f / "train.py").unlink(), True),
    "data": (lambda f: in_place(f / "data/digits.csv", b",0,", b",1,"), True),
    "folder of the data is a link": (lambda f: a_link(f / "data"), True),
    "data is gone": (lambda f: (f / "data/digits.csv").unlink(), True),
    "DVC file": (lambda f: (f / "data/digits.csv.dvc").write_text("outs: []\n"), False),
    "new file that the code imports": (lambda f: (f / "numpy.py").write_text("x = 1\n"), True),
    "new file": (lambda f: (f / "other.txt").write_text("x\n"), False),
    "index": (lambda f: must("git rm -q --cached train.py", f), False),
    "ignored code": (lambda f: must("git rm -q --cached train.py && echo train.py >> .gitignore", f), True),
    "the user ignores code": (lambda f: must("git rm -q --cached train.py; echo train.py >> .git/info/exclude", f), True),
    "trail": (lambda f: must("git update-ref -d refs/notes/mlops", f), True),
    "cut trail": (lambda f: must("git update-ref refs/notes/mlops $(git rev-list --max-parents=0 refs/notes/mlops)", f), True),
    "packed trail": (lambda f: must("git pack-refs --all", f), False),
    "index of the trail": (no_index, False),
    "state folder": (lambda f: shutil.rmtree(f / ".git/mlops"), False),
    "anchor": (lambda f: (f / ".git/mlops/anchor.json").unlink(), False),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_looked_at_again(project: Path, what: str) -> None:
    change, other = CHANGES[what]
    before = remember(project, *PLAN)
    change(project)
    found = ask(project, *PLAN)
    assert not found.remembered
    assert found.said == plainly(project, *PLAN).said
    assert (found.said != before.said) == other, found


@pytest.mark.slow
def test_a_fetched_trail_a_withdrawal_and_another_policy_are_seen(project: Path, tmp_path: Path) -> None:
    must(f"git init -q --bare {tmp_path}/hub.git && git remote add origin {tmp_path}/hub.git", project)
    must("git push -q -u origin main && mlopsctl push", project)
    must(f"git clone -q {tmp_path}/hub.git other && cd other && mlopsctl pull --trail-only", tmp_path)
    other = tmp_path / "other"
    policy = "mlopsctl trust show --format json > /dev/null"
    for change in (
        f"mlopsctl key new ann && {policy}",
        "mlopsctl audit impact train.classifier --quarantine --reason bad",
    ):
        before = remember(project, *PLAN)
        must(change, other)
        must("mlopsctl push --trail-only", other)
        assert ask(project, *PLAN).said == before.said, "what was not fetched is not known"
        must("mlopsctl pull --trail-only", project)
        found = ask(project, *PLAN)
        assert found.said == plainly(project, *PLAN).said
    assert not found.remembered and found.said != before.said and "withdrawn" in found.text


def test_what_counts_beside_the_files(project: Path, tmp_path: Path) -> None:
    remember(project, *PLAN)
    for variables in ({"MLOPS_VAR_SEED": "2"}, {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, {"MLOPS_KEY": "other"}):
        assert not ask(project, *PLAN, variables=variables).remembered, variables
    remember(project, *PLAN)
    assert ask(project, *PLAN, variables={"SHLVL": "7", "_": "x"}).remembered
    for words in (("plan",), ("plan", "--format", "json"), ("plan", "--offline"), ("apply", "-y")):
        assert not ask(project, *words).remembered, words
        remember(project, *words)
    for words in (("plan", "--why"), ("plan", "--refresh"), ("plan", "--target", "train.*"), ("apply", "-y", "--quick"),
                  ("plan", "-o", f"{tmp_path}/p"), ("plan", "--write", f"json={tmp_path}/w")):  # fmt: skip
        assert not any(ask(project, *words).remembered for _ in range(2)), words
    assert (tmp_path / "p").is_file() and (tmp_path / "w").is_file()


def at_a_terminal(folder: Path, columns: int) -> str:
    """What ``plan`` prints on a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    words = [sys.executable, "-m", "mlopsctl", "plan"]
    with subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=theirs) as process:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # how the end of a terminal is told
            while more := os.read(ours, 4096):
                said += more
    os.close(ours)
    assert process.returncode == 0
    return said.decode()


def test_lines_are_broken_for_the_terminal_that_they_are_shown_on(project: Path, tmp_path: Path) -> None:
    before, tries = set(memos()), 0
    while set(memos()) == before and tries < 20:
        tries += 1
        time.sleep(0.5)
        wide = at_a_terminal(project, 200)
    assert at_a_terminal(project, 200) == wide and len(set(memos()) - before) == 1
    narrow = at_a_terminal(project, 40)
    assert max(map(len, narrow.splitlines())) < max(map(len, wide.splitlines()))
    assert at_a_terminal(project, 40) == narrow and at_a_terminal(project, 200) == wide


def test_a_folder_that_leads_elsewhere_now(project: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    (other / "train.py").write_text("pass\n")
    link = tmp_path / "link"
    link.symlink_to(project)
    before = remember(tmp_path, "-C", "link", *PLAN)
    link.unlink()
    link.symlink_to(other)
    assert ask(tmp_path, "-C", "link", *PLAN).said == plainly(tmp_path, "-C", "link", *PLAN).said != before.said
    # Another folder in the place of the first.
    remember(project, *PLAN)
    project.rename(tmp_path / "gone")
    other.rename(project)
    assert ask(project, *PLAN).said == plainly(project, *PLAN).said != before.said


def test_the_same_second_is_too_soon(project: Path) -> None:
    """What was written within the clock's grain could be written again with the same times."""
    time.sleep(GRAIN_NS / 1e9)
    while not ask(project, *PLAN, grain=GRAIN_NS).remembered:
        time.sleep(0.5)
    in_place(project / "mlops.yaml", b"# A", b"# B")
    assert "mlops.yaml has changed just now" in ask(project, *PLAN, grain=GRAIN_NS).why
    renamed_over(project / "mlops.yaml", b"0.93", b"0.91")
    found = ask(project, *PLAN, grain=GRAIN_NS)
    assert not found.remembered and "needs >= 0.91" in found.text


def test_apply_says_so_when_another_works_and_takes_up_what_waits(project: Path) -> None:
    remember(project, "apply", "-y")
    hold = (
        "import sys, pathlib; from mlopsctl.adapters.lock import locked\n"
        "with locked(pathlib.Path('.git/mlops/lock'), 'a test'): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", hold], cwd=project, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        found = ask(project, "apply", "-y")
        assert found.code == 6 and not found.remembered
        assert ask(project, *PLAN).code == 0
        holder.communicate(b"")
    remember(project, "apply", "-y")
    queued = project / ".git" / "mlops" / "queued"
    queued.mkdir()
    (queued / "1-halt.json").write_text('{"kind": "halt", "address": "deployments.x", "facts": {"reason": "r"}}')
    assert not ask(project, "apply", "-y").remembered
    assert not any(queued.iterdir()), "it was signed"


def test_a_memo_is_used_only_as_its_user_wrote_it(project: Path) -> None:
    before = set(memos())
    remember(project, *PLAN)
    (kept,) = set(memos()) - before
    body = kept.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    for other in (b"", body[:100], body[:-1], body + b"1:x", body.replace(b"unchanged", b"unchanGed", 1), b"[]"):
        kept.write_bytes(other)
        found = ask(project, *PLAN)
        assert not found.remembered and found.code == 0 and "unchanGed" not in found.text
        assert kept.read_bytes() == body, "written anew"
    for mode in (0o644, 0o620):
        kept.chmod(mode)
        assert not ask(project, *PLAN).remembered
    kept.parent.chmod(0o755)
    assert not ask(project, *PLAN).remembered
    kept.parent.chmod(0o700)
    assert ask(project, *PLAN).remembered
    kept.rename(kept.with_name("elsewhere"))
    kept.symlink_to(kept.with_name("elsewhere"))
    assert not ask(project, *PLAN).remembered


def test_root_leaves_nothing_in_the_home_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "belongs to somebody else" in memo._write(f"{tmp_path}/state/mlops/memos/x", b"x")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert memo._write(f"{tmp_path}/state/mlops/memos/x", b"x") == ""


def test_variables_and_their_secrets_are_not_in_a_memo(project: Path) -> None:
    secret = {"TOKEN": "correct horse battery staple"}
    before = set(memos())
    while not ask(project, *PLAN, variables=secret).remembered:
        pass
    (kept,) = set(memos()) - before
    assert b"correct horse" not in kept.read_bytes()


def test_what_a_repository_brings_along_is_no_memo(project: Path) -> None:
    """Whoever hands over a repository chooses all of its files, those below .git too."""
    before = set(memos())
    said = remember(project, *PLAN)
    (kept,) = set(memos()) - before
    for place in ("memos", "."):
        folder = project / ".git" / "mlops" / place
        folder.mkdir(exist_ok=True)
        shutil.copy2(kept, folder / kept.name)
    kept.unlink()
    found = ask(project, *PLAN)
    assert not found.remembered and found.said == said.said


def test_looking_again_runs_nothing_of_a_repository_that_became_hostile(project: Path, tmp_path: Path) -> None:
    """What git is asked again was asked when other filters were set, or none."""
    plan, tries = f"env -u CI {BIN}/mlopsctl plan --format json", 0
    while not memos() and tries < 20:
        tries += 1
        time.sleep(0.5)
        must(plan, project)
    assert len(memos()) == 1
    traps = set_traps(project, tmp_path / "marks")
    for _ in range(3):
        assert "trapped" not in must(plan, project)
    assert sorted(path.name for path in traps.marks.iterdir()) == []


def test_nothing_is_remembered_in_ci(project: Path) -> None:
    before = memos()
    for _ in range(3):
        assert not ask(project, *PLAN, memo=False).remembered
    assert memos() == before


def test_old_memos_are_removed(project: Path) -> None:
    remember(project, *PLAN)
    for number in range(40):
        (memos()[0].parent / f"{number:032}").write_bytes(b"")
    remember(project, "plan", "--offline")
    assert len(memos()) == 32


@pytest.mark.slow
def test_a_server_that_ended_and_a_halt_are_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = make_quickstart(tmp_path_factory.mktemp("live") / "digits")
    try:
        must("mlopsctl apply -y", folder)
        remember(folder, *PLAN)
        must("mlopsctl halt local --reason 'a drill'", folder)
        assert "a drill" in ask(folder, *PLAN).text
        assert not ask(folder, *PLAN).remembered, "what is held is told anew each time"
        must("mlopsctl resume local", folder)
        for line in ('git commit -q --allow-empty -m "Nothing"', "git switch -q -c other"):
            remember(folder, *PLAN)
            must(line, folder)
            found = ask(folder, *PLAN)
            assert not found.remembered and found.said == plainly(folder, *PLAN).said
        remember(folder, *PLAN)
        home = folder / ".git/mlops/deployments/deployments.local"
        for name in ("supervisor", "state"):
            found_pid = re.search(r'"pid": ?(\d+)', (home / f"{name}.json").read_text())
            assert found_pid is not None
            os.kill(int(found_pid[1]), signal.SIGKILL)
        found = ask(folder, *PLAN)
        assert not found.remembered and "server process" in found.text and found.code == 2
    finally:
        take_down(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that is pinned, and nothing else."""
    folder = make_small(tmp_path_factory.mktemp("laws") / "small")
    must("mlopsctl apply -y", folder)
    return folder


STEPS: dict[str, Callable[[Path], object]] = {
    "edit": lambda f: (f / "digits.csv").write_text((f / "digits.csv").read_text()[:-2] + "7\n"),
    "restore": lambda f: must("git checkout -q -- .", f),
    "touch": lambda f: (f / "digits.csv").touch(),
    "mode": lambda f: (f / "digits.csv").chmod(0o755),
    "away": lambda f: (f / "digits.csv").unlink(missing_ok=True),
    "new": lambda f: (f / "x.csv").write_text("x"),
    "manifest": lambda f: (f / "mlops.yaml").write_text((f / "mlops.yaml").read_text() + "#\n"),
    "apply": lambda f: ask(f, "apply", "-y"),
    "look": lambda f: ask(f, *PLAN),
    "no index": no_index,
}  # fmt: skip


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5))
def test_whatever_is_done_the_answer_is_the_plain_one(small: Path, steps: list[str]) -> None:
    for step in steps:
        if not (small / "digits.csv").exists():
            must("git checkout -q -- .", small)
        STEPS[step](small)
        ask(small, *PLAN)
        assert ask(small, *PLAN).said == plainly(small, *PLAN).said
