"""Gates about a target's artifact and about a deployment that runs, through the real servers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import must, shell, take_down
from tests.shelf import MANIFEST, make_small, write_model


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    folder = make_small(tmp_path / "small")
    yield folder
    take_down(folder)


def manifest(project: Path, gates: str, rest: str) -> None:
    """The small project with other gates, targets and deployments, committed."""
    log = re.search(r"log: .*?(?=[,}\n])", (project / "mlops.yaml").read_text())
    head = MANIFEST[: MANIFEST.index("gates:")]
    if log is not None:
        head = head.replace("{name: small}", f"{{name: small, {log[0]}}}")
    (project / "mlops.yaml").write_text(f"{head}gates:\n{gates}{rest}")
    must("git add -A && git commit -qm 'Gates'", project)


def steps(project: Path) -> dict[str, Any]:
    return {one["address"]: one for one in json.loads(must("mlopsctl plan --format json", project))["steps"]}


def test_a_gate_on_a_target_measures_its_artifact_and_guards_its_deployments_alone(project: Path) -> None:
    gates = "  compiled: {metric: accuracy, min: 0.7, target: cpu}\n"
    rest = "targets:\n  cpu: {}\n  other: {view: all}\ndeployments:\n  one: {target: cpu}\n  two: {target: other}\n"
    manifest(project, gates, rest)
    guards = {
        name: [need["address"] for need in step["needs"] if need["role"] == "guard"]
        for name, step in steps(project).items()
        if name.startswith("deployments.")
    }
    assert guards == {"deployments.one": ["gates.compiled", "gates.scan"], "deployments.two": ["gates.scan"]}
    must("mlopsctl apply -y --target gates.compiled", project)
    found = steps(project)
    assert found["gates.compiled"]["verdict"]["text"].startswith("accuracy 1.0000")
    assert found["targets.cpu"]["relies_on"][0] and set(found["targets.cpu"]["relies_on"]) & set(
        found["gates.compiled"]["relies_on"]
    ), "it rests on what the target made"
    must("sed -i 's|  cpu: {}|  cpu: {view: all}|' mlops.yaml", project)
    must("git commit -qam 'Another comparison'", project)
    assert steps(project)["gates.compiled"]["reason"] == "waits for targets.cpu"


def test_a_gate_on_a_deployment_stops_what_comes_after_it(project: Path) -> None:
    gates = "  live: {metric: accuracy, min: 0.7, on: deployments.staging}\n"
    rest = "targets:\n  cpu: {}\ndeployments:\n  staging: {target: cpu}\n  production: {target: cpu, after: staging}\n"
    manifest(project, gates, rest)
    must("mlopsctl apply -y", project)
    found = steps(project)
    assert {one["action"] for one in found.values()} == {"noop"}
    assert found["gates.live"]["verdict"]["text"].startswith("accuracy 1.0000")
    must("mlopsctl audit verify --full", project)
    assert "missing" not in must("mlopsctl audit trace gates.live --format json", project)
    good = found["deployments.production"]["made_from"]
    write_model(project, -1.0)
    must("git commit -qam 'A bad model'", project)
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 4 and "failed: accuracy 0.0000" in done.stdout
    stopped = steps(project)["deployments.production"]
    assert stopped["blocked_by"] == ["gates.live failed"]
    history = must("mlopsctl show production --history", project)
    assert steps(project)["deployments.staging"]["made_from"] != good and history
    must("mlopsctl apply -y --quick", project)


def test_a_deployment_that_answers_with_another_artifact_is_not_measured(project: Path, tmp_path: Path) -> None:
    gates = "  live: {metric: accuracy, min: 0.7, on: deployments.staging}\n"
    rest = "targets:\n  cpu: {}\ndeployments:\n  staging: {target: cpu}\n"
    manifest(project, gates, rest)
    must("mlopsctl apply -y", project)
    must("mlopsctl pin staging --reason fair", project)
    write_model(project, 3.0)
    must("git commit -qam 'Another model'", project)
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 7 and "MLO1324" in done.stdout, done.stdout
    copied = shutil.copytree(project, tmp_path / "copy", symlinks=True)
    must("sed -i 's/staging: {target: cpu}/other: {target: cpu}/' mlops.yaml", copied)
    refused = shell("mlopsctl validate", copied)
    assert refused.returncode == 3 and "'on' names deployments.staging" in refused.stdout
