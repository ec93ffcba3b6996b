"""What a killed command left behind: which step, for how long, and the processes that still run for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters import machine
from mlopsctl.adapters.machine import this_machine
from mlopsctl.adapters.steps import StepJournal, end_group
from mlopsctl.adapters.times import lasting
from mlopsctl.serving.processes import is_alive, start_mark


def test_what_was_started_and_not_finished_is_left(tmp_path: Path) -> None:
    journal = StepJournal(tmp_path / "steps.jsonl")
    for address in ("train.a", "train.b"):
        journal.started(address, "sha256:1")
    journal.finished("train.a", "e" * 64)
    journal.close()
    os.utime(tmp_path / "steps.jsonl", (0, journal.left()[0].at + 720))
    (left,) = StepJournal(tmp_path / "steps.jsonl").left()
    assert (left.address, left.made_from, lasting(left.seconds)) == ("train.b", "sha256:1", "12 m")


def test_a_torn_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    journal = StepJournal(path)
    journal.started("train.a", "sha256:1")
    journal.close()
    with path.open("ab") as stream:
        stream.write(b'{"event": "finished", "addr')
    again = StepJournal(path)
    again.started("train.b", "sha256:2")
    assert [left.address for left in again.left()] == ["train.a", "train.b"]


def test_a_journal_of_another_kind_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_bytes(b'\xff\xfe\n[1, 2]\n{"event": "group", "address": "train.a"}\n\n')
    assert StepJournal(tmp_path / "steps.jsonl").left() == []


def test_it_begins_anew_only_when_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopsctl.adapters.steps._MOST", 10)
    journal = StepJournal(tmp_path / "steps.jsonl")
    journal.started("train.a", "sha256:1")
    journal.trim()
    assert len(journal.left()) == 1
    journal.finished("train.a", "")
    journal.trim()
    assert (tmp_path / "steps.jsonl").read_bytes() == b""


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_children_of_a_process_that_is_gone_are_ended_by_their_group() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        mark, childs = start_mark(parent.pid), start_mark(child)
        boot, _, ticks = mark.partition(":")
        assert end_group(parent.pid, f"{boot}:{int(ticks) - 1}") == 0, "another process had this number"
        assert end_group(parent.pid, "") == 0
        assert is_alive(child, childs)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert end_group(parent.pid, mark) == 1
    while is_alive(child, childs):
        pass
    assert end_group(parent.pid, mark) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59.9, "59 s"), (720, "12 m"), (3 * 3600 + 300, "3 h 5 m"), (200_000, "2 d 7 h")],
)
def test_how_long_in_words(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


@pytest.mark.parametrize(
    ("visible", "cards"),
    [(None, ("0", "1", "10")), ("1", ("1",)), ("", ()), ("-1", ()), ("GPU-ab, 0", ("GPU-ab", "0"))],
)
def test_cards_are_found_by_their_paths_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, cards: tuple[str, ...]
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = this_machine(tmp_path)
    assert found.gpus == cards and found.cpu >= 1 and found.memory > 2**20


@pytest.mark.parametrize(
    ("groups", "files", "cores", "gib"),
    [
        ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, 8, 64),
        ("0::/", {"cpu.max": "200000 100000", "memory.max": str(4 << 30)}, 2, 4),
        ("0::/", {"cpu.max": "150000 100000"}, 2, 64),
        ("0::/", {"cpu.max": "5000 100000"}, 1, 64),
        ("0::/", {"cpu.max": "6400000 100000", "memory.max": str(1 << 40)}, 8, 64),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000", "a/memory.max": str(8 << 30)}, 3, 8),
        ("0::/elsewhere/on/the/host", {"cpu.max": "100000 100000"}, 1, 64),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 8, 64),
        ("4:cpu,cpuacct:/c", {"cpu/c/cpu.cfs_quota_us": "250000", "cpu/c/cpu.cfs_period_us": "100000"}, 3, 64),
        ("1:memory:/c\n0::/", {"memory/memory.limit_in_bytes": str(2 << 30)}, 8, 2),
        ("1:memory:/c\n0::/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 8, 64),
        ("0::/", {"cpu.max": ""}, 8, 64),
        ("", {}, 8, 64),
    ],
)
def test_the_limits_of_a_container_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], cores: int, gib: int
) -> None:
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text + "\n")
    (tmp_path / "own").write_text(groups + "\n" if groups else "")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "_built_in", lambda: 64 << 30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    found = this_machine(tmp_path)
    assert (found.cpu, found.memory) == (cores, gib << 30)
