"""Several commands at once, and clocks that jump: nothing is lost, nothing is made twice where it need not be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlopsctl.apply import Walk
from mlopsctl.cli.plan import plan_project
from mlopsctl.cli.project import Project, open_project
from mlopsctl.cli.workshop import ProjectWorkshop
from mlopsctl.workshop import Event
from tests.e2e.refusals import start
from tests.e2e.small_steps import ADDRESSES, make_small_steps, results
from tests.quickstart import must, shell


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make_small_steps(tmp_path / "small")


def at_once(*lines: tuple[str, Path]) -> list[tuple[int, str]]:
    """Exit code and output of commands that are started together."""
    running = [start(line, folder) for line, folder in lines]
    said = [process.communicate(timeout=300)[0] for process in running]
    return [(process.returncode, text) for process, text in zip(running, said, strict=True)]


def test_two_clones_over_one_remote_apply_at_once(small: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub.git"
    must(
        f"git init -q --bare {hub} && git remote add origin {hub} && git push -q -u origin HEAD && mlopsctl push", small
    )
    must(f"git clone -q {hub} other && cd other && mlopsctl pull --trail-only", tmp_path)
    other = tmp_path / "other"
    for code, said in at_once(("mlopsctl apply -y", small), ("mlopsctl apply -y", other)):
        assert code in (0, 8), said
    must("mlopsctl push", small)
    must("mlopsctl pull && mlopsctl push", other)
    must("mlopsctl pull", small)
    for folder in (small, other):
        assert "ok:" in must("mlopsctl audit verify && mlopsctl plan --detailed-exitcode", folder)
    shown = [json.loads(must("mlopsctl status --format json", folder))["resources"] for folder in (small, other)]
    assert [row["outputs"] for row in shown[0]] == [row["outputs"] for row in shown[1]]


def test_two_work_trees_of_one_repository_apply_at_once(small: Path, tmp_path: Path) -> None:
    must(f"git worktree add -q {tmp_path / 'beside'}", small)
    lines = [("mlopsctl apply -y --offline", folder) for folder in (small, tmp_path / "beside")]
    ended = at_once(*lines)
    assert sorted(code for code, _ in ended) in ([0, 0], [0, 6]), ended
    for code, said in ended:
        assert (code == 6) == ("error[MLO6001]" in said), said
    assert set(results(small)) == ADDRESSES
    for _, folder in lines:
        assert must("mlopsctl plan --detailed-exitcode && mlopsctl audit verify", folder)


def test_reading_and_pulling_go_on_while_an_apply_writes(small: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub.git"
    must(
        f"git init -q --bare {hub} && git remote add origin {hub} && git push -q -u origin HEAD && mlopsctl push", small
    )
    verbs = ("apply -y", "pull --trail-only", "plan", "status", "audit verify")
    for code, said in at_once(*((f"mlopsctl {verb}", small) for verb in verbs)):
        assert code in (0, 6, 8) and "Traceback" not in said and "MLO1999" not in said, said
    must("mlopsctl apply -y && mlopsctl plan --detailed-exitcode && mlopsctl audit verify", small)
    assert set(results(small)) == ADDRESSES


def backwards() -> Iterator[str]:
    """A clock that goes back an hour at every look."""
    for hour in range(23, -1, -1):
        yield f"2026-01-01T{hour:02}:00:00Z"


def test_a_clock_that_goes_back_between_steps_repeats_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    project, hours = open_project(small), backwards()
    monkeypatch.setattr(project.trail, "clock", lambda: next(hours))
    first = apply(project)
    assert [event.event for event in first].count("done") == len(ADDRESSES)
    assert shell("mlopsctl plan --detailed-exitcode", small).returncode == 0
    assert "ok:" in must("mlopsctl audit verify", small), "a clock that was wrong is a warning"
    (small / "rows.csv").write_text("a,b\n5,6\n")
    again = open_project(small)
    assert [event.event for event in apply(again)].count("done") == len(ADDRESSES), "the newer data wins by its place"
    assert shell("mlopsctl plan --detailed-exitcode", small).returncode == 0


def apply(project: Project) -> list[Event]:
    made = plan_project(project)
    with (
        ProjectWorkshop(project, lambda address, line: None) as workshop,
        closing(Walk(made, project.resources, workshop, jobs=2)) as walk,
    ):
        return list(walk)
