"""A gate that compares with what a deployment ran last: the trail says what that is, and no edge of the graph does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import must, shell
from tests.shelf import BEFORE, block, declare, on, write_model

APPLY = f"{BEFORE}mlopsctl apply -y"


@pytest.fixture
def project(two_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_models, tmp_path / "small", symlinks=True))


def gate(project: Path, keys: str) -> None:
    """Replaces the project's gates by one."""
    manifest = project / "mlops.yaml"
    text = re.sub(r"gates:\n(  .*\n)+", f"gates:\n  better: {{metric: accuracy, {keys}}}\n", manifest.read_text())
    manifest.write_text(text)


def step(project: Path, address: str = "gates.better") -> dict[str, Any]:
    steps = json.loads(must("mlopsctl plan --format json", project))["steps"]
    return dict(next(one for one in steps if one["address"] == address))


def model(project: Path, weight: float) -> None:
    """A negative weight tells the classes the wrong way round."""
    write_model(project, weight)
    must("git commit -qam 'Another model'", project)


def test_a_worse_model_is_stopped_and_the_champion_is_the_last_other_one(project: Path, shelf: Path) -> None:
    gate(project, "against: live, max_drop: 0.06")
    declare(project, live=block(shelf))
    first = must(APPLY, project)
    assert "limitation no_champion" in first and on(shelf)
    model(project, 3.0)
    must(APPLY, project)
    verdict = step(project)
    assert verdict["action"] == "noop" and "worse than the model of entry" in verdict["verdict"]["text"]
    assert '"applied": 0' in must(f"{APPLY} --format json", project), "what runs is not compared with itself"
    good = on(shelf)
    model(project, -1.0)
    done = shell(APPLY, project)
    assert done.returncode == 4 and "failed: accuracy 0.0000" in done.stdout and on(shelf) == good
    gate(project, "against: live, max_drop: 1")
    must("git commit -qam 'A lower bar'", project)
    lower = step(project)
    assert lower["action"] == "noop" and lower["verdict"]["status"] == "passed", "a bar that moves measures nothing"
    must("mlopsctl audit verify --full", project)


def test_what_the_first_model_gets_is_said(project: Path, shelf: Path) -> None:
    gate(project, "against: live, max_drop: 0.06, first: fail")
    declare(project, live=block(shelf))
    done = shell(APPLY, project)
    assert done.returncode == 4 and "failed: accuracy" in done.stdout and not on(shelf)


def test_rows_that_the_champion_was_trained_on_do_not_count(project: Path, shelf: Path) -> None:
    gate(project, "against: live, max_drop: 0.2")
    declare(project, live=block(shelf))
    must(APPLY, project)
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("label: y}", "label: y, split: {test: 0.4, seed: 7}}"))
    must("git add -A && git commit -qm 'Another split'", project)
    model(project, 2.0)
    must(APPLY, project)
    text = step(project)["verdict"]["text"]
    found = re.search(r"on (\d+) rows.* on the same (\d+) rows, without (\d+) that it was trained on", text)
    assert found is not None, text
    whole, same, aside = map(int, found.groups())
    assert whole == same + aside and aside > same > 0, "four rows in five were its own"


def test_bytes_of_a_champion_that_are_not_what_was_attested_are_not_run(project: Path, shelf: Path) -> None:
    gate(project, "against: live, max_drop: 0.06")
    declare(project, live=block(shelf))
    must(APPLY, project)
    before, bytes_of_it = on(shelf), (project / "model.onnx").read_bytes()
    model(project, 3.0)
    kept = [path for path in (project / ".git/mlops").rglob("*") if path.is_file() and path.read_bytes() == bytes_of_it]
    assert kept
    for path in kept:
        path.chmod(0o644)
        path.write_bytes(bytes_of_it[:-1] + b"x")
    done = shell(APPLY, project)
    assert done.returncode == 7 and on(shelf) == before, done.stdout


def test_what_was_withdrawn_is_no_champion(project: Path, shelf: Path) -> None:
    gate(project, "against: live, max_drop: 0.06")
    declare(project, live=block(shelf))
    must(APPLY, project)
    must("mlopsctl audit impact deployments.live --quarantine --reason wrong", project)
    model(project, 3.0)
    must(APPLY, project)
    assert "no_champion" in step(project)["verdict"]["text"]
