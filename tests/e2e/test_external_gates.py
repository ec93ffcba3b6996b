"""A program that measures is given what the gate is about: a champion, a target's artifact, a deployment that runs."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import must, shell, take_down
from tests.shelf import BEFORE, another_model, block, declare, make_small, on

APPLY = f"{BEFORE}mlopsctl apply -y"
JUDGE = """
import json, os, sys
request = json.load(sys.stdin)
given = {role: [one["path"] for one in found] for role, found in request["inputs"].items()}
rows = len(open(given["data"][0]).read().splitlines()) - 1
facts = {"value": 0.9, "ci": [0.85, 0.95], "n": rows}
want = request["spec"]["params"]["want"]
if want == "champion" and "champion" in given:
    assert os.listdir(given["champion"][0]) == ["model.onnx"] and len(given["champion_rows"]) == 1
    seen = set(open(given["champion_rows"][0]).read().splitlines())
    left = [line for line in open(given["data"][0]).read().splitlines()[1:] if line not in seen]
    drop = {"value": 0.02, "ci": [0.01, 0.03]}
    facts["champion"] = {"value": 0.92, "drop": drop, "n": len(left), "dropped": rows - len(left)}
elif want == "artifact":
    names = os.listdir(given["artifact"][0])
    facts["files"] = len(names)
    assert "artifact.json" in names
elif want == "running":
    there = request["spec"]["on"]
    assert there["address"] == "deployments.staging" and there["endpoint"].startswith("http://127.0.0.1:")
    assert request["inputs"]["artifact"][0]["digest"] == there["artifact"]
json.dump({"facts": facts}, sys.stdout)
"""
CODE = f"#!{sys.executable} -I\n{JUDGE}"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    folder = make_small(tmp_path / "small")
    (folder / "tools").mkdir()
    (folder / "tools/judge.py").write_text(CODE)
    yield folder
    take_down(folder)


def gates(project: Path, keys: str, rest: str = "") -> None:
    """Replaces the gates by one, and all after them by ``rest`` where there is some."""
    path = project / "mlops.yaml"
    digest = "sha256:" + hashlib.sha256(CODE.encode()).hexdigest()
    gate = f'gates:\n  judged: {{use: command, program: tools/judge.py, digest: "{digest}", metric: odd, {keys}}}\n'
    head, after = re.split(r"gates:\n(?:  .*\n)+", path.read_text())
    path.write_text(head + gate + (rest or after))
    must("git add -A && git commit -qm Gates", project)


def step(project: Path, address: str = "gates.judged") -> dict[str, Any]:
    steps = json.loads(must("mlopsctl plan --format json", project))["steps"]
    return dict(next(one for one in steps if one["address"] == address))


def test_a_program_compares_with_the_champion_and_todays_bar_judges(project: Path, shelf: Path) -> None:
    champion = "params: {want: champion}, against: live, max_drop: "
    gates(project, champion + "0.05, first: fail")
    declare(project, live=block(shelf))
    first = shell(APPLY, project)
    assert first.returncode == 4 and "limitation no_champion" in first.stdout and not on(shelf)
    gates(project, champion + "0.05")
    must(APPLY, project)
    another_model(project)
    must(APPLY, project)
    text = step(project)["verdict"]["text"]
    assert "0.02 [0.01, 0.03] worse than the model of entry" in text
    assert "on the same" in text and "external: measured by tools/judge.py" in text
    gates(project, champion + "0.005")
    stricter = step(project)
    assert stricter["action"] == "noop" and stricter["verdict"]["status"] == "failed", "nothing is measured again"
    entry = json.loads(must("mlopsctl status judged --format json", project))["resources"][0]["attested_by"]
    shown = must(f"mlopsctl audit show {entry} --format json", project)
    assert '"method": "external"' in shown and '"entry": "' in shown
    must("mlopsctl audit verify --full", project)


def test_a_program_measures_an_artifact_and_guards_its_deployments_alone(project: Path) -> None:
    rest = "targets:\n  cpu: {}\n  other: {view: all}\ndeployments:\n  one: {target: cpu}\n  two: {target: other}\n"
    gates(project, "params: {want: artifact}, min: 0.5, target: cpu", rest)
    steps = json.loads(must("mlopsctl plan --format json", project))["steps"]
    guards = {
        one["address"]: [need["address"] for need in one["needs"] if need["role"] == "guard"]
        for one in steps
        if one["address"].startswith("deployments.")
    }
    assert guards == {"deployments.one": ["gates.judged", "gates.scan"], "deployments.two": ["gates.scan"]}
    must("mlopsctl apply -y --target gates.judged", project)
    assert step(project)["verdict"]["status"] == "passed"


def test_a_program_measures_what_runs_and_stops_what_comes_after_it(project: Path) -> None:
    rest = "targets:\n  cpu: {}\ndeployments:\n  staging: {target: cpu}\n  production: {target: cpu, after: staging}\n"
    gates(project, "params: {want: running}, min: 0.5, on: deployments.staging", rest)
    must("mlopsctl apply -y", project)
    assert step(project)["verdict"]["status"] == "passed"
    gates(project, "params: {want: running}, min: 0.99, on: deployments.staging")
    another_model(project)
    assert shell("mlopsctl apply -y", project).returncode == 4
    assert step(project, "deployments.production")["blocked_by"] == ["gates.judged failed"]
    must("mlopsctl pin staging --reason fair && git revert -n HEAD && git commit -qm Back", project)
    another_model(project, 5.0)
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 7 and "MLO1324" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("params: {want: nothing}, against: live", "MLO1320"),
        ("params: {want: nothing}, max_drop: 0.1", "MLO1320"),
        ("params: {want: nothing}, min: 0.5, first: fail", "MLO1320"),
        ("params: {want: nothing}, min: 0.5, target: cpu, on: deployments.live", "MLO1321"),
        ("params: {want: nothing}", "MLO1315"),
    ],
)
def test_keys_that_do_not_fit_are_said(project: Path, shelf: Path, keys: str, code: str) -> None:
    declare(project, live=block(shelf))
    gates(project, keys)
    done = shell("mlopsctl validate", project)
    assert done.returncode == 3 and code in done.stdout, done.stdout


def test_where_there_is_a_champion_an_answer_without_a_drop_is_no_measurement(project: Path, shelf: Path) -> None:
    gates(project, "params: {want: nothing}, against: live, max_drop: 0.05")
    declare(project, live=block(shelf))
    must(APPLY, project)
    another_model(project)
    done = shell(APPLY, project)
    assert done.returncode == 1 and "facts.champion has no drop" in done.stdout
