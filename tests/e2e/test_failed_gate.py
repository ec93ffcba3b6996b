"""A gate that fails stops the deployment and says why; a lower bar deploys without training or measuring again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, shell, take_down


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Path]:
    """The quickstart with a bar that its model does not reach."""
    folder = make_quickstart(tmp_path / "strict")
    must("sed -i 's/min: 0.93/min: 0.9999/' mlops.yaml && git commit -qam Strict", folder)
    yield folder
    take_down(folder)


def entries(folder: Path, address: str) -> list[str]:
    log = json.loads(must(f"mlopsctl audit log {address} -n -1 --format json 2>/dev/null", folder))
    return [entry["id"] for entry in log["entries"]]


def test_a_failed_gate_blocks_and_a_lower_bar_deploys_what_stands(strict: Path) -> None:
    done = shell("mlopsctl apply -y", strict)
    assert done.returncode == 4, done.stdout
    gate = next(line for line in done.stdout.splitlines() if "gates.accuracy (" in line)
    assert "accuracy 0.9" in gate and "needs >= 0.9999" in gate and "335 rows" in gate
    assert "what would help: " in done.stdout
    assert "✗ blocked   deployments.local  gates.accuracy" in done.stdout
    assert "absent" in must("mlopsctl status local", strict) and entries(strict, "deployments.local") == []

    # Neither trying again nor asking for a plan changes that.
    assert shell("mlopsctl apply -y", strict).returncode == 4
    assert shell("mlopsctl plan --detailed-exitcode", strict).returncode == 4
    plan = json.loads(must("mlopsctl plan --format json 2>/dev/null", strict))
    blocked = {step["address"]: step["blocked_by"] for step in plan["steps"] if step["blocked_by"]}
    assert set(blocked) == {"deployments.local"} and "gates.accuracy" in blocked["deployments.local"][0]

    before = {address: entries(strict, address) for address in ("train.classifier", "gates.accuracy", "targets.cpu")}
    must("sed -i 's/min: 0.9999/min: 0.9/' mlops.yaml && git commit -qam Lower", strict)
    said = must("mlopsctl apply -y", strict)
    assert "1 applied" in said
    assert {address: entries(strict, address) for address in before} == before
    assert "serving" in must("mlopsctl status local", strict)
