"""``gate run`` in the quickstart: measured at once, judged by today's bars, recorded only when asked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, shell


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_quickstart(tmp_path_factory.mktemp("gate") / "digits")
    text = (folder / "mlops.yaml").read_text()
    text = text.replace(
        "{path: data/digits.csv, label: digit}", "{path: data/digits.csv, label: digit, split: {test: 0.2, val: 0.1}}"
    )
    (folder / "mlops.yaml").write_text(text.partition("deployments:")[0])
    must("git commit -qam val && mlopsctl apply -y", folder)
    return folder


def test_a_gate_that_passes_says_how_well(project: Path) -> None:
    said = must("mlopsctl gate run accuracy", project)
    assert "passed  gates.accuracy  accuracy 0.9" in said
    assert "needs >= 0.93" in said


def test_json_has_the_figures_as_numbers(project: Path) -> None:
    found = json.loads(must("mlopsctl gate run accuracy --format json 2>/dev/null", project))
    assert found["status"] == "passed"
    lo, hi = found["ci"]
    assert 0.9 < lo < found["value"] < hi < 1
    assert (found["threshold"], found["view"], found["method"]) == (0.93, "test", "wilson")


def test_the_wrong_rows_can_be_looked_at(project: Path, tmp_path: Path) -> None:
    found = json.loads(must(f"mlopsctl gate run accuracy --errors {tmp_path}/e.csv --format json 2>/dev/null", project))
    with (tmp_path / "e.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == round(found["n"] * (1 - found["value"]))
    assert all(row["digit"] != row["_predicted"] for row in rows)


def test_a_bar_moved_up_is_judged_at_once_and_exits_4(project: Path) -> None:
    moved = shell("sed -i 's/min: 0.93/min: 0.999/' mlops.yaml && mlopsctl gate run accuracy", project)
    must("git checkout -q mlops.yaml", project)
    assert "failed  gates.accuracy" in moved.stdout or "inconclusive  gates.accuracy" in moved.stdout
    assert "what would help" in moved.stdout
    assert moved.returncode == 4


def test_a_measurement_on_another_view_is_recorded_when_asked(project: Path) -> None:
    before = must("mlopsctl audit log", project).count("gates.accuracy")
    must("mlopsctl gate run accuracy --view val", project)
    assert must("mlopsctl audit log", project).count("gates.accuracy") == before
    assert "recorded: " in must("mlopsctl gate run accuracy --view val --record", project)
    assert "already recorded" in must("mlopsctl gate run accuracy --view val --record", project)
    assert must("mlopsctl audit log", project).count("gates.accuracy") == before + 1
    assert "No changes" in must("mlopsctl plan", project)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("mlopsctl gate run acuracy", 1, "did you mean 'gates.accuracy'"),
        ("mlopsctl gate run accuracy --view train", 64, "'train' is no view to measure on"),
        ("mlopsctl gate run accuracy --view all", 3, "holds the rows that train.classifier was trained on"),
        ("mlopsctl gate run scan --view val", 64, "gates.scan has no view"),
        ("mlopsctl gate run scan --errors e.csv", 64, "gates.scan judges no rows"),
    ],
)
def test_what_can_not_be_measured_is_said(project: Path, line: str, code: int, said: str) -> None:
    done = shell(line, project)
    assert said in done.stdout
    assert done.returncode == code


def test_nothing_trained_yet_is_said(tmp_path: Path) -> None:
    folder = make_quickstart(tmp_path / "new")
    done = shell("mlopsctl gate run accuracy", folder)
    assert "has yet to run" in done.stdout
    assert "fix: mlopsctl apply" in done.stdout
    assert done.returncode == 1
