"""Ctrl-C, SIGTERM and kill -9 at any moment: nothing is half-written, and the next apply does the rest and no more."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.refusals import another_row, check_left, done, events, scraps, start, wait_for
from tests.quickstart import must, shell, take_down

STEPS = ["data.digits", "train.classifier", "gates.accuracy", "gates.scan", "targets.cpu", "deployments.local"]


@pytest.fixture
def pending(project: Path) -> Iterator[Path]:
    """A project in which every step, a deployment too, has yet to be done; its server does not outlive the test."""
    another_row(project)
    with (project / "mlops.yaml").open("a") as stream:
        stream.write("\ndeployments:\n  local: {target: cpu}\n")
    yield project
    take_down(project)


def made(said: str) -> list[str]:
    """The steps that an apply finished before it was stopped."""
    return re.findall(r"✓ done +(\S+)", said)


def stop(process: subprocess.Popen[str], said: str, number: signal.Signals) -> tuple[str, int]:
    """Sends a signal to the whole group, as a terminal does: everything that was printed, and the exit code."""
    os.killpg(process.pid, number)
    rest, _ = process.communicate(timeout=60)
    return said + rest, process.returncode


@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_at_every_step(pending: Path, step: str) -> None:
    with start("mlopsctl apply -y", pending) as process:
        said, code = stop(process, wait_for(process, f"… +{step}"), signal.SIGINT)
    assert code == 130, said
    assert "interrupted: nothing is half-done" in said and "Traceback" not in said and "error[" not in said
    check_left(pending)
    rest = done(events(pending))
    assert rest == [name for name in STEPS if name not in made(said)], "only what did not finish is done"
    assert shell("mlopsctl plan --detailed-exitcode", pending).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_somebody_else_wants(pending: Path, number: signal.Signals) -> None:
    """SIGTERM, and a terminal that is closed."""
    with start("mlopsctl apply -y", pending) as process:
        said, code = stop(process, wait_for(process, "… +train.classifier"), number)
    assert code == 143, said
    assert "terminated: nothing is half-done" in said and "Traceback" not in said
    check_left(pending)
    assert done(events(pending)) == STEPS[1:]


def test_a_trainer_does_not_outlive_ctrl_c(pending: Path) -> None:
    """Neither a trainer that ignores every signal nor what it started goes on."""
    (pending / "train.py").write_text(
        "import os, signal, subprocess, sys, time\n"
        "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n    signal.signal(number, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('pids', os.getpid(), child.pid, flush=True)\ntime.sleep(600)\n"
    )
    with start("mlopsctl apply -y", pending) as process:
        said = wait_for(process, "pids")
        said, code = stop(process, said, signal.SIGINT)
    assert code == 130
    pids = [int(word) for word in re.findall(r"pids (\d+) (\d+)", said)[0]]
    until = time.monotonic() + 5
    while any(_runs(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert [pid for pid in pids if _runs(pid)] == []
    check_left(pending)


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("moment", range(5))
def test_kill_9_at_a_random_moment(pending: Path, moment: int) -> None:
    """Reading works at once, the trail holds, and the next apply finishes and cleans up."""
    seconds = random.uniform(0.1 + moment * 0.8, 0.9 + moment * 0.8)
    with start("mlopsctl apply -y", pending) as process:
        time.sleep(seconds)
        process.kill()
        said, _ = process.communicate(timeout=60)
    must("mlopsctl plan && mlopsctl status && mlopsctl audit verify", pending)
    assert [line for line in scraps(pending) if "torn" in line] == []
    rest = done(events(pending))
    assert not set(rest) & set(made(said)), f"killed after {seconds:.2f} s: {said}"
    assert shell("mlopsctl plan --detailed-exitcode", pending).returncode == 0, f"killed after {seconds:.2f} s"
    assert [path.name for path in (pending / ".git" / "mlops" / "work").iterdir()] == []
    assert "ok:" in must("mlopsctl audit verify", pending)


def test_kill_9_again_and_again(pending: Path, tmp_path: Path) -> None:
    """Somebody impatient: each apply is killed after a while, and still all of them together get there."""
    for attempt in range(5):
        with start("mlopsctl apply -y --offline", pending) as process:
            time.sleep(0.5 + 0.5 * attempt)
            process.kill()
    must("mlopsctl apply -y", pending)
    entries = must("mlopsctl audit log", pending)
    assert shell("mlopsctl plan --detailed-exitcode", pending).returncode == 0, entries
    check = shutil.copytree(pending / ".git", tmp_path / "copy" / ".git")
    must("git fsck --strict", check.parent)
    assert "ok:" in must("mlopsctl audit verify", pending)


@pytest.mark.parametrize("verb", ["plan", "status", "audit verify", "validate"])
def test_ctrl_c_while_reading(project: Path, verb: str) -> None:
    """Whenever it comes, from the first import of ours on: no traceback. Before that it is Python's own."""
    for seconds in (0.03, 0.06, 0.1, 0.15):
        with start(f"mlopsctl {verb}", project) as process:
            time.sleep(seconds)
            said, code = stop(process, "", signal.SIGINT)
        if re.search(r'"[^"]*/mlopsctl/\w', said) or "Traceback" not in said:
            assert "Traceback" not in said, said
            assert code in (0, 130, -signal.SIGINT), f"after {seconds} s: {code}\n{said}"
    assert scraps(project) == []
