"""A deployment that comes after another one, and gates that are named: with a program that deploys to a folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.e2e.test_control import two_people
from tests.quickstart import must, shell
from tests.shelf import BEFORE, another_model, block, declare, on

APPLY = f"{BEFORE}mlopsctl apply -y"


@pytest.fixture
def project(two_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_models, tmp_path / "small", symlinks=True))


@pytest.fixture
def shelves(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "staging", tmp_path / "live"
    for shelf in found:
        shelf.mkdir()
    return found


def step(project: Path, address: str = "deployments.live") -> dict[str, object]:
    steps = json.loads(must("mlopsctl plan --format json", project))["steps"]
    return dict(next(one for one in steps if one["address"] == address))


def test_it_comes_after_the_other_one_has_run_the_artifact_that_long(project: Path, shelves: tuple[Path, Path]) -> None:
    staging, live = shelves
    declare(project, live=block(live, "after: {deployment: staging, for: 4s}"), staging=block(staging))
    assert step(project)["blocked_by"] == ["deployments.staging, which has to run it for 4 s first"]
    begun = time.monotonic()
    done = must(f"{APPLY} --format json", project)
    soak = next(json.loads(line) for line in done.splitlines() if json.loads(line)["event"] == "soak")
    assert soak["address"] == "deployments.live" and "free at 20" in soak["text"]
    assert ", claimed by its signer, and has to for 4 s" in soak["text"], "nobody else saw when it was deployed"
    assert json.loads(done.splitlines()[-1])["waiting"] == 1 and on(staging) and not on(live)
    if time.monotonic() - begun < 3:
        assert step(project)["free_at"] is not None
        assert shell("mlopsctl plan --detailed-exitcode", project).returncode == 2
    time.sleep(5)
    assert step(project)["blocked_by"] == []
    must(APPLY, project)
    assert on(live) == on(staging)
    another_model(project)
    must(APPLY, project)
    assert on(live) != on(staging), "the next artifact waits anew"


def test_without_a_time_it_follows_in_the_same_apply_unless_the_other_one_is_held(
    project: Path, shelves: tuple[Path, Path]
) -> None:
    staging, live = shelves
    declare(project, live=block(live, "after: staging"), staging=block(staging))
    must(APPLY, project)
    first = on(live)
    assert first and first == on(staging)
    must(f"{BEFORE}mlopsctl halt staging --reason wrong", project)
    another_model(project)
    done = shell(APPLY, project)
    assert done.returncode == 4 and "counts as not running: halted by" in done.stdout and on(live) == first
    refused = shell(f"{BEFORE}mlopsctl promote live --from staging", project)
    assert refused.returncode == 4 and "counts as not running" in refused.stdout and on(live) == first
    must(f"{BEFORE}mlopsctl resume staging", project)
    must(APPLY, project)
    assert on(live) == on(staging) != first


def test_the_named_gates_guard_it_and_the_scan_always_does(project: Path, shelves: tuple[Path, Path]) -> None:
    _, live = shelves
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("gates:\n", "gates:\n  high: {metric: accuracy, min: 0.999999}\n"))
    declare(project, live=block(live))
    assert shell(APPLY, project).returncode == 4 and not on(live)
    declare(project, "Another gate", live=block(live, "gates: [accuracy]"))
    needs = step(project)["needs"]
    assert isinstance(needs, list)
    assert [one["address"] for one in needs if one["role"] == "guard"] == ["gates.accuracy", "gates.scan"]
    must(f"{APPLY} --target deployments.live", project)
    assert on(live)


def test_a_gate_taken_out_of_the_list_and_a_shorter_time_need_people_who_govern(
    project: Path, shelves: tuple[Path, Path]
) -> None:
    staging, live = shelves
    two_people(project)
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("gates:\n", "gates:\n  other: {metric: f1, min: 0.5}\n"))
    keys = "approvals: {count: 1}\nafter: {deployment: staging, for: 8s}\n"
    declare(project, live=block(live, keys + "gates: [accuracy, other]"), staging=block(staging))
    must(f"{APPLY} --target deployments.staging", project)
    begun = time.monotonic()
    must(
        "MLOPS_KEY=$PWD/../ann.pem GIT_AUTHOR_NAME=ann GIT_AUTHOR_EMAIL=ann@example.com mlopsctl approve live -y",
        project,
    )
    if time.monotonic() - begun < 6:
        must(APPLY, project)
        assert not on(live), "agreed to, and its time has not come"
    time.sleep(9)
    must(APPLY, project)
    assert on(live)
    declare(project, "Looser", live=block(live, "approvals: {count: 1}\ngates: [accuracy]"), staging=block(staging))
    another_model(project)
    assert shell(APPLY, project).returncode == 5
    assert step(project)["weakens"] == [
        "gates.other no longer guards deployments.live",
        "deployments.live after is switched off",
    ]
