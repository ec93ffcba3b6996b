"""``version:`` of a deployment in a real project: it stays, says so, and goes nowhere that is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import add_deployment, must, shell, take_down


@pytest.fixture(scope="module")
def two(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two models were made and deployed one after the other, beside a second deployment."""
    project = add_deployment(applied, tmp_path_factory.mktemp("two") / "project")
    must("sed -i 's/^  local: {target: cpu}/  local: {target: cpu}\\n  other: {target: cpu}/' mlops.yaml", project)
    must('git commit -qam "Two deployments" && mlopsctl apply -y', project)
    must("sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam fewer && mlopsctl apply -y", project)
    yield project
    take_down(project)


def entries(project: Path, address: str) -> list[dict[str, Any]]:
    """The results of an address, oldest first."""
    found = json.loads(must("mlopsctl audit log --format json", project))["entries"]
    chosen = [one for one in found if one["address"] == address and one["kind"] == "result"]
    return sorted(chosen, key=lambda one: int(one["seq"]))


def artifact(project: Path, address: str) -> str:
    last = entries(project, address)[-1]["id"]
    shown = must(f"mlopsctl audit show {last} --format json", project)
    return str(re.findall(r'"artifact": "(dirhash:[0-9a-f]{64})"', shown)[0])


def pin(project: Path, word: str) -> None:
    must(f"sed -i 's/^  local: {{target: cpu.*}}/  local: {{target: cpu, version: \"{word}\"}}/' mlops.yaml", project)


def test_a_deployment_stays_on_the_version_that_it_names(two: Path) -> None:
    first = entries(two, "targets.cpu")[0]
    old = re.findall(r"dirhash:[0-9a-f]{64}", must(f"mlopsctl audit show {first['id']} --format json", two))
    new = artifact(two, "deployments.local")
    release = entries(two, "deployments.local")[0]["id"]
    for word in (first["id"][:12], release[:12]):
        pin(two, word)
        plan = must("mlopsctl plan", two)
        assert re.search(r"deployments\.local +update", plan), plan
        assert f"held: version: {word} is dirhash:" in plan
        assert re.search(r"deployments\.other +unchanged", plan), plan
    must("git commit -qam pinned && mlopsctl apply -y", two)
    live = artifact(two, "deployments.local")
    assert live in old and live != new
    assert artifact(two, "deployments.other") == new
    # Its digest names the same; what is pinned stays when another model comes.
    pin(two, live[:20])
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", two)
    must("sed -i 's/DECAY = 64, 50/DECAY = 64, 40/' train.py && git commit -qam fewer && mlopsctl apply -y", two)
    assert artifact(two, "deployments.local") == live
    assert artifact(two, "deployments.other") != new
    assert "live" in must("mlopsctl status local", two)


def test_releases_have_numbers_and_a_number_names_one(two: Path) -> None:
    must("git checkout -q mlops.yaml", two)
    row = json.loads(must("mlopsctl status other --format json", two))["resources"][0]
    last = row["release"]
    assert last >= 3 and f", release {last}" in must("mlopsctl status other", two)
    assert json.loads(must("mlopsctl show deployments.other --format json", two))["facts"]["release"] == last
    history = must("mlopsctl show deployments.other --history", two)
    assert [f"release {n}" in history for n in range(1, last + 2)] == [True] * last + [False]
    released = [one["id"] for one in entries(two, "deployments.other")]
    for number in (1, 2):
        try:
            must(f"sed -i 's/^  other: {{target: cpu}}/  other: {{target: cpu, version: {number}}}/' mlops.yaml", two)
            plan = must("mlopsctl plan --target deployments.other", two)
        finally:
            must("git checkout -q mlops.yaml", two)
        shown = must(f"mlopsctl audit show {released[number - 1]} --format json", two)
        digest = re.findall(r'"artifact": "(dirhash:[0-9a-f]{64})"', shown)[0]
        assert f"version: {number} is {digest[:20]}" in plan, plan


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("99", "is no release of deployments.local, which has had"),
        ("dirhash:0123456789ab", "no artifact in this trail has"),
        ("0123456789ab", "begins no entry"),
        ("TRAIN", "is an entry of neither"),
        ("DATA", "is an entry of neither"),
    ],
)
def test_what_names_no_artifact_of_the_target_bars_the_deployment(two: Path, word: str, why: str) -> None:
    before = artifact(two, "deployments.local")
    sections = {"TRAIN": "train.classifier", "DATA": "data.digits"}
    pin(two, entries(two, sections[word])[0]["id"][:16] if word in sections else word)
    try:
        done = shell("mlopsctl plan --detailed-exitcode", two)
        assert (done.returncode, why in done.stdout) == (4, True), done.stdout
        assert shell("mlopsctl apply -y", two).returncode == 4
    finally:
        must("git checkout -q mlops.yaml", two)
    assert artifact(two, "deployments.local") == before


def test_todays_bars_judge_the_version(two: Path) -> None:
    must("sed -i 's/min: 0.93/min: 0.9999/' mlops.yaml", two)
    pin(two, entries(two, "targets.cpu")[1]["id"][:16])
    try:
        done = shell("mlopsctl plan --target deployments.local --detailed-exitcode", two)
    finally:
        must("git checkout -q mlops.yaml", two)
    line = next(line for line in done.stdout.splitlines() if "deployments.local" in line)
    assert "by gates.accuracy failed" in line, done.stdout


def test_a_withdrawn_version_is_refused(two: Path) -> None:
    first = entries(two, "targets.cpu")[0]["id"]
    pin(two, first[:16])
    must("git commit -qam 'Pin the first' || true", two)
    must(f'mlopsctl audit impact {first[:16]} --quarantine --reason "poisoned rows"', two)
    done = shell("mlopsctl plan --detailed-exitcode", two)
    assert (done.returncode, "poisoned rows" in done.stdout) == (4, True), done.stdout
