"""A trial is quick, is used again by the next one, and never reaches a deployment, by whatever way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import make_quickstart, must, shell, take_down


def entries(folder: Path, *options: str) -> list[dict[str, Any]]:
    found = json.loads(must(f"mlopsctl audit log --format json {' '.join(options)}", folder))["entries"]
    return list(found)


def trials(folder: Path) -> list[dict[str, Any]]:
    return [entry for entry in entries(folder) if entry["kind"] == "trial"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The quickstart with so few rows that a sample is all of them: the fingerprints of a trial are those of a result."""
    folder = make_quickstart(tmp_path_factory.mktemp("trial") / "digits")
    table = folder / "data/digits.csv"
    table.write_bytes(b"".join(table.read_bytes().splitlines(keepends=True)[:401]))
    manifest = folder / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("min: 0.93", "min: 0.5"))
    must('git commit -qam "Fewer rows"', folder)
    yield folder
    take_down(folder)


def test_a_trial_is_never_deployed(small: Path) -> None:
    said = must("mlopsctl apply -y --quick", small)
    assert "passed: trial: accuracy" in said
    assert "never deployed" in said
    assert "deployments.local" not in said
    made = trials(small)
    assert {entry["address"] for entry in made} == {"data.digits", "train.classifier", "gates.accuracy", "gates.scan"}
    assert [entry for entry in entries(small) if entry["kind"] in ("result", "failure")] == []
    # A second one has nothing to do, and the plan everything.
    assert "0 applied" in must("mlopsctl apply -y --quick", small)
    plan = json.loads(must("mlopsctl plan --format json", small))
    assert {step["action"] for step in plan["steps"]} == {"create"}
    # The apply makes all anew; nothing that it rests on is a trial, though the fingerprints are the same.
    must("mlopsctl apply -y", small)
    results = {entry["address"]: entry for entry in entries(small) if entry["kind"] == "result"}
    same = {entry["address"] for entry in made if entry["made_from"] == results[entry["address"]]["made_from"]}
    assert {"train.classifier", "gates.accuracy", "gates.scan"} <= same
    relied = {
        entry for step in json.loads(must("mlopsctl plan --format json", small))["steps"] for entry in step["relies_on"]
    }
    assert not relied & {entry["id"] for entry in made}


def test_no_verb_takes_a_trial_for_a_release(small: Path) -> None:
    must("mlopsctl apply -y --quick && mlopsctl apply -y", small)
    for entry in trials(small):
        for verb in ("rollback", "pin"):
            done = shell(f"mlopsctl {verb} local --to {entry['id'][:16]}", small)
            assert (done.returncode, "MLO1536" in done.stdout) == (1, True), done.stdout
    assert shell("mlopsctl promote local --from train.classifier", small).returncode == 1
    assert "ran no other artifact before" in shell("mlopsctl rollback local", small).stdout
    assert must("mlopsctl audit verify", small).startswith("ok: ")


def test_runs_are_marked_and_measured_by_their_own_kind(small: Path) -> None:
    must("mlopsctl apply -y --quick && mlopsctl apply -y", small)
    runs = json.loads(must("mlopsctl runs ls --format json", small))["runs"]
    assert [run["trial"] for run in runs] == [False, True]
    kinds = {entry["id"]: entry["kind"] for entry in entries(small)}
    for run in runs:
        assert {kinds[gate["entry"]] for gate in run["gates"].values()} == {"trial" if run["trial"] else "result"}
    assert re.search(r"train\.classifier +trial done", must("mlopsctl runs ls", small))
    assert len(json.loads(must("mlopsctl runs ls --where trial=false --format json", small))["runs"]) == 1


@pytest.mark.slow
def test_the_first_gate_that_fails_ends_it(project: Path) -> None:
    manifest = project / "mlops.yaml"
    text = manifest.read_text().replace("{metric: accuracy, min: 0.93}", "{metric: accuracy, min: 0.999}")
    manifest.write_text(text.replace("gates:\n", "gates:\n  later: {metric: f1, min: 0.1}\n"))
    must('git commit -qam "A high bar"', project)
    done = shell("mlopsctl apply -y --quick", project)
    assert done.returncode == 4, done.stdout
    measured = [entry["address"] for entry in trials(project) if entry["address"].startswith("gates.")]
    assert "gates.accuracy" in measured, done.stdout
    sampled = next(entry for entry in trials(project) if entry["address"] == "data.digits")
    assert sampled["facts"]["rows"]["all"] == 500
    assert sampled["facts"]["sample"] == {"of": 1797}
    # What stands is as it was: the trial's verdict blocks nothing that is real.
    assert "trial" not in must("mlopsctl plan", project)


@pytest.mark.slow
def test_a_trial_that_crashes_is_history_of_trials_only(project: Path) -> None:
    (project / "train.py").write_text("raise SystemExit('no')\n")
    must('git commit -qam "Broken"', project)
    assert shell("mlopsctl apply -y --quick", project).returncode == 1
    crashed = [entry for entry in trials(project) if entry["status"] == "crashed"]
    assert [entry["address"] for entry in crashed] == ["train.classifier"]
    assert "the last attempt failed" not in must("mlopsctl plan", project)
    assert "the last attempt failed" in must("mlopsctl plan --quick", project)


def test_another_value_is_tried_and_never_deployed(small: Path) -> None:
    must("mlopsctl apply -y", small)
    before = entries(small)
    plan = must("mlopsctl plan --set train.classifier.seed=7", small)
    assert re.search(r"train\.classifier +update +retrain: seed now 7", plan), plan
    assert "Set on the command line: train.classifier.seed=7" in plan
    assert "deployments.local" not in plan
    said = must("mlopsctl apply -y --set train.classifier.seed=7", small)
    assert "passed: trial: accuracy" in said
    assert "write what was set into mlops.yaml" in said
    made = [entry for entry in entries(small) if entry not in before]
    assert {entry["kind"] for entry in made} == {"trial"}
    # Data and whatever else stands is used as it is: the value reaches the model and what follows from it.
    assert {entry["address"] for entry in made} == {
        "train.classifier", "gates.accuracy", "gates.scan", "targets.cpu",
    }  # fmt: skip
    shown = json.loads(must(f"mlopsctl audit show {made[0]['id'][:16]} --format json", small))
    assert '"set": ["train.classifier.seed"]' in json.dumps(shown)
    assert "0 applied" in must("mlopsctl apply -y --set train.classifier.seed=7", small)
    # The manifest knows nothing of it.
    assert must("mlopsctl plan --detailed-exitcode", small).startswith("    data.digits")


def test_a_saved_plan_keeps_what_was_set(small: Path) -> None:
    must("mlopsctl apply -y && mlopsctl plan --set train.classifier.seed=8 -o what-if.plan", small)
    assert shell("mlopsctl apply what-if.plan --set train.classifier.seed=9", small).returncode == 64
    before = entries(small)
    must("mlopsctl apply what-if.plan", small)
    made = [entry for entry in entries(small) if entry not in before]
    assert "train.classifier" in {entry["address"] for entry in made}
    assert {entry["kind"] for entry in made} == {"trial"}
    assert shell("mlopsctl plan --set train.clasifier.seed=8", small).returncode == 64
    assert shell("mlopsctl apply -y --set deployments.local.to=127.0.0.1:18080", small).returncode == 64
    (small / "what-if.plan").unlink()
