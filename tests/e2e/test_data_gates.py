"""A gate on a dataset alone: it is measured before anything is trained, and stops all that would be made of the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import must, shell, take_down
from tests.shelf import MANIFEST, make_small


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    folder = make_small(tmp_path / "small")
    yield folder
    take_down(folder)


def gate(project: Path, bars: str, rest: str = "") -> None:
    """The small project with a gate on its data, committed."""
    log = re.search(r"log: .*?(?=[,}\n])", (project / "mlops.yaml").read_text())
    text = MANIFEST.replace("{name: small}", f"{{name: small, {log[0]}}}") if log else MANIFEST
    name = re.findall(r"^data:\n +([a-z]+):", text, re.MULTILINE)[0]
    line = f"gates:\n  clean: {{use: table, data: {name}, {bars}}}\n"
    (project / "mlops.yaml").write_text(text.replace("gates:\n", line) + rest)
    must("git add -A && git commit -qm 'A gate on the data'", project)


def steps(project: Path) -> dict[str, Any]:
    return {one["address"]: one for one in json.loads(must("mlopsctl plan --format json", project))["steps"]}


def test_nothing_is_trained_on_data_that_fails(project: Path) -> None:
    gate(project, "min_rows: 100000")
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 4
    assert "min_rows is 100,000" in done.stdout
    found = steps(project)
    trained = next(one for name, one in found.items() if name.startswith("train."))
    assert (trained["action"], trained["blocked_by"]) == ("create", ["gates.clean failed"])


def test_data_that_passes_is_trained_on_and_todays_bar_stops_deployments(project: Path) -> None:
    gate(project, "min_rows: 3, max_missing: 0, max_duplicates: 1")
    must("mlopsctl apply -y", project)
    before = steps(project)
    assert {one["action"] for one in before.values()} == {"noop"}
    gate(project, "min_rows: 100000", "deployments:\n  local: {target: cpu}\n")
    found = steps(project)
    # Another bar measures nothing and trains nothing again.
    assert {name: one["made_from"] for name, one in before.items()}.items() <= {
        name: one["made_from"] for name, one in found.items()
    }.items()
    assert found["gates.clean"]["verdict"]["status"] == "failed"
    assert found["deployments.local"]["blocked_by"] == ["gates.clean failed"]


def test_a_bar_that_is_moved_down_weakens(project: Path) -> None:
    deployment = "deployments:\n  local: {target: cpu}\n"
    gate(project, "min_rows: 3", deployment)
    must("mlopsctl apply -y", project)
    gate(project, "min_rows: 2", deployment)
    assert "weakens" in must("mlopsctl plan", project)


def test_it_is_measured_alone_and_the_graph_shows_that_it_comes_first(project: Path) -> None:
    gate(project, "min_rows: 3")
    assert "clean" in must("mlopsctl graph", project)
    must("mlopsctl apply -y --target gates.clean", project)
    assert "400 rows" in must("mlopsctl gate run clean", project)
    assert steps(project)["gates.clean"]["action"] == "noop"
    assert next(one for name, one in steps(project).items() if name.startswith("train."))["action"] == "create"
