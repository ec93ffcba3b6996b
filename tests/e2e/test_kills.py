"""kill -9 at the writing system calls of an apply, one after the other: what was finished stays, the rest is done next.

The points are drawn over every writing call of the thread that records and of the threads that make steps; each run
prints how many of them were hit.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlopsctl.adapters.steps import StepJournal
from tests.e2e.small_steps import ADDRESSES, make_small_steps, results
from tests.quickstart import must, shell

LAUNCHER = Path(__file__).with_name("kill_at.py")
APPLY = "apply -y --offline --jobs 2"
THREADS = ("main", "data.rows", "train.a", "train.c")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


class Point(NamedTuple):
    """The ``number``-th call of one kind in one thread, from 1."""

    who: str
    call: str
    number: int


@pytest.fixture(scope="module")
def unmade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of small steps in which nothing is made yet. Never change it: copy it."""
    return make_small_steps(tmp_path_factory.mktemp("kills") / "project")


def copy(unmade: Path, place: Path) -> Path:
    return Path(shutil.copytree(unmade, place, symlinks=True))


def traced(folder: Path, who: str, inject: str = "") -> tuple[int, str]:
    """One apply with a thread under strace: exit code and what strace saw."""
    log = folder.with_suffix(".strace")
    code = shell(f"exec {sys.executable} {LAUNCHER} {who} {log} '{inject}' {APPLY}", folder).returncode
    return code, log.read_text(errors="replace")


def points(unmade: Path, scratch: Path) -> list[Point]:
    """Every writing call of an apply, counted in runs that nobody disturbs."""
    found = []
    for who in THREADS:
        code, seen = traced(copy(unmade, scratch / f"count-{who}"), who)
        assert code == 0
        counted = Counter(re.findall(r"^(\w+)\(", seen, re.MULTILINE))
        found += [Point(who, call, n) for call in sorted(counted) for n in range(1, counted[call] + 1)]
    return found


def killed(unmade: Path, folder: Path, point: Point) -> bool:
    """Kills one apply at a point and lets the next one finish. False where the point was not reached this time."""
    copy(unmade, folder)
    code, _ = traced(folder, point.who, f"inject={point.call}:signal=SIGKILL:when={point.number}")
    before, then = results(folder), list(StepJournal(folder / ".git/mlops/steps.jsonl").lines())
    said = must(f"mlopsctl {APPLY}", folder)
    check(folder, point, before, then, said)
    return code in (-9, 137)


def check(folder: Path, point: Point, before: dict[str, str], then: list[dict[str, Any]], said: str) -> None:
    """What holds after the next apply, wherever the kill came."""
    after, now = results(folder), list(StepJournal(folder / ".git/mlops/steps.jsonl").lines())
    assert set(after) == ADDRESSES, point
    assert before.items() <= after.items(), f"{point}: what was finished stays as it was"
    assert now[: len(then)] == then, f"{point}: the journal is only added to"
    again = {line["address"] for line in now[len(then) :] if line["event"] == "started"}
    assert not again & set(before), f"{point}: a finished step was started again"
    assert again == set(after) - set(before), f"{point}: only what did not finish is done"
    for line in now:
        if line["event"] == "finished" and line["entry"]:
            assert after[line["address"]] == line["entry"], f"{point}: the journal and the trail say the same"
    begun = [line["address"] for line in then if line["event"] == "started"]
    for address in set(begun) - set(before):
        assert f"{address}  was interrupted after" in said, point
    assert "ok:" in must("mlopsctl audit verify && mlopsctl plan --detailed-exitcode", folder), point
    assert list((folder / ".git/mlops/work").iterdir()) == [], point


def draw(every: list[Point], count: int) -> list[Point]:
    """So many points, as evenly over threads and kinds of calls as there are points; the same ones in every run."""
    chance = random.Random(4)
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in chance.sample(every, len(every)):
        groups.setdefault((point.who, point.call), []).append(point)
    turns = [point for turn in zip_longest(*groups.values()) for point in turn if point is not None]
    return turns[:count]


def rounds(unmade: Path, scratch: Path, count: int) -> None:
    every = points(unmade, scratch)
    drawn = draw(every, count)
    hit = [point for number, point in enumerate(drawn) if killed(unmade, scratch / f"round-{number}", point)]
    calls, kills = Counter(point.call for point in every), Counter(point.call for point in hit)
    print(f"\n{len(hit)} of {len(drawn)} rounds were killed; writing calls of one apply: {len(every)}")
    for call in sorted(calls):
        print(f"  {call:<12} {calls[call]:>5} calls {kills[call]:>5} killed")
    for who in THREADS:
        print(f"  {who:<12} {sum(p.who == who for p in every):>5} calls {sum(p.who == who for p in hit):>5} killed")
    assert len(hit) >= 0.9 * len(drawn), "the others were not reached: calls come in another order each time"


@needs_strace
def test_killed_at_a_few_writing_calls(unmade: Path, tmp_path: Path) -> None:
    rounds(unmade, tmp_path, 5)


@needs_strace
@pytest.mark.slow
def test_killed_at_two_hundred_writing_calls(unmade: Path, tmp_path: Path) -> None:
    rounds(unmade, tmp_path, 200)
