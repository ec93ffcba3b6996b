"""Clocks that are wrong: order comes from what an entry was built on, so that no time of day makes anything run again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.cli.project import open_project
from mlopsctl.types import Address
from tests.e2e.small_steps import ADDRESSES, make_small_steps, results
from tests.quickstart import must, shell

LAUNCHER = Path(__file__).with_name("at_time.py")
DAY = 86_400
slow = pytest.mark.slow
JUMPS = {"ten-years-back": -3653 * DAY, "ten-years-on": 3653 * DAY, "an-hour-back": -3600, "a-day-on": DAY}


def every_jump(daily: str) -> pytest.MarkDecorator:
    """All jumps of the clock, of which each run of the tests makes one."""
    jumps = [pytest.param(by, id=name, marks=() if name == daily else slow) for name, by in JUMPS.items()]
    return pytest.mark.parametrize("by", jumps)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of small steps, all of them made. Never change it: copy it."""
    folder = make_small_steps(tmp_path_factory.mktemp("clocks") / "small")
    must("mlopsctl apply -y", folder)
    return folder


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "small", symlinks=True))


def at(by: int | str, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line of ours while the clock is wrong."""
    return shell(f"{sys.executable} {LAUNCHER} {by} {line}", folder)


def settled(folder: Path) -> bool:
    return shell("mlopsctl plan --detailed-exitcode", folder).returncode == 0


@every_jump("ten-years-on")
def test_between_plan_and_apply(made: Path, tmp_path: Path, by: int) -> None:
    """The plan still holds, all of it is done, and with the clock mended there is nothing to do and nothing to doubt."""
    folder = make_small_steps(tmp_path / "new")
    must("mlopsctl plan -o next.plan", folder)
    done = at(by, "apply next.plan", folder)
    assert done.returncode == 0 and f"{len(ADDRESSES)} applied" in done.stdout, done.stdout
    for clock in (0, by, -by):
        assert at(clock, "plan --detailed-exitcode", folder).returncode == 0
        assert at(clock, "audit verify", folder).returncode == 0, "a clock that was wrong is a warning"
    assert "0 applied" in must("mlopsctl apply -y", folder)
    assert set(results(folder)) == ADDRESSES


@every_jump("ten-years-back")
def test_what_came_later_wins_whatever_it_says_of_its_time(small: Path, by: int) -> None:
    (small / "rows.csv").write_text("a,b\n5,6\n")
    must("git commit -qam 'Other rows'", small)
    assert at(by, "apply -y", small).returncode == 0
    assert settled(small)
    assert at(by, "apply -y --replace train.a", small).returncode == 0
    assert settled(small)
    must("mlopsctl apply -y --replace train.a", small)
    trail = open_project(small).trail
    newest = trail.latest(Address("train", "a"), ("result",))
    assert newest is not None
    times = [entry for entry in trail.entries("train.a", ("result",)) if entry.made_from == newest.made_from]
    assert len(times) == 3 and settled(small)
    found = trail.result(times[-1].made_from)
    assert found is not None and found.id == times[-1].id, "the last one made is in force"
    assert at("backwards", "plan --detailed-exitcode", small).returncode == 0


def test_a_clock_that_only_goes_back(tmp_path: Path) -> None:
    folder = make_small_steps(tmp_path / "small")
    done = at("backwards", "apply -y", folder)
    assert done.returncode == 0 and f"{len(ADDRESSES)} applied" in done.stdout, done.stdout
    assert settled(folder) and at("backwards", "audit verify", folder).returncode == 0
    assert "0 applied" in at("backwards", "apply -y", folder).stdout
