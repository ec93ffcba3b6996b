"""What one clone withdraws, another that has fetched uses for nothing any more; every command is one that was printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mlopsctl.serving.files import read_json
from mlopsctl.serving.processes import is_alive
from tests.cli.contract import follows
from tests.quickstart import must, shell, take_down

HOME = Path(".git/mlops/deployments/deployments.local")


class Two(NamedTuple):
    """``office`` decides, ``site`` runs what was trained; ``first`` and ``second`` are the site's releases."""

    office: Path
    site: Path
    first: str
    second: str


@pytest.fixture(scope="module")
def two(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    place = tmp_path_factory.mktemp("withdrawn")
    office, site = Path(shutil.copytree(applied, place / "office", symlinks=True)), place / "site"
    must(f"git init -q --bare {place}/hub.git", place)
    must(f"git remote add origin {place}/hub.git", office)
    manifest = office / "mlops.yaml"
    manifest.write_text(manifest.read_text() + f"store: {place}/store\ndeployments:\n  local: {{target: cpu}}\n")
    must("git commit -qam 'A shared store' && git push -q -u origin main && mlopsctl push", office)
    must(f"git clone -q {place}/hub.git site && cd site && mlopsctl apply -y", place)
    (site / "mlops.yaml").write_text(manifest.read_text().replace("python train.py}", "python train.py, seed: 2}"))
    must("git commit -qam 'Seed 2' && git push -q && mlopsctl apply -y", site)
    must("git pull -q && mlopsctl pull", office)
    second, first = [one["id"] for one in log(site, "deployments.local")][:2]
    yield Two(office, site, first, second)
    take_down(site)


def log(folder: Path, *words: str) -> list[dict[str, str]]:
    said = must(f"mlopsctl audit log {' '.join(words)} --kind result --format json 2>/dev/null", folder)
    entries: list[dict[str, str]] = json.loads(said)["entries"]
    return entries


def withdraw(two: Two, what: str, reason: str) -> str:
    said = must(f"mlopsctl audit impact {what} --quarantine --reason '{reason}' --format json 2>/dev/null", two.office)
    must("mlopsctl pull --trail-only", two.site)
    return str(json.loads(said)["quarantine"])


def lift(two: Two, *entries: str) -> None:
    for entry in entries:
        must(f"mlopsctl audit impact --lift {entry} --reason 'false alarm'", two.office)
    must("mlopsctl pull --trail-only", two.site)


def blocked(folder: Path) -> dict[str, str]:
    plan = follows("plan", must("mlopsctl plan --format json 2>/dev/null", folder))
    return {step["address"]: ", ".join(step["blocked_by"]) for step in plan["steps"] if step["blocked_by"]}


def test_rollback_goes_to_nothing_that_was_withdrawn(two: Two) -> None:
    old = log(two.office, "train.classifier")[-1]["id"]
    gone = withdraw(two, old, "trained on mislabelled rows")
    assert blocked(two.site) == {}
    done = shell(f"mlopsctl rollback local --to {two.first[:12]}", two.site)
    assert done.returncode == 4 and "MLO7250" in done.stdout and "mislabelled" in done.stdout
    # Of itself it finds no good one, and status offers none.
    assert "MLO1537" in shell("mlopsctl rollback local", two.site).stdout
    assert "to go back" not in must("mlopsctl status local", two.site)
    lift(two, gone)
    assert f"mlopsctl rollback local --to {two.first[:12]}" in must("mlopsctl status local", two.site)


def test_nothing_that_follows_is_used_anywhere_else(two: Two, tmp_path: Path) -> None:
    gone = withdraw(two, "data.digits", "consent ended")
    why = blocked(two.site)
    steps = ("data.digits", "train.classifier", "gates.accuracy", "gates.scan", "targets.cpu", "deployments.local")
    assert set(why) == set(steps)
    assert all("data.digits withdrawn by" in text and "consent ended" in text for text in why.values())
    assert "blocked" in must("mlopsctl plan", two.site)
    assert shell("mlopsctl plan --detailed-exitcode", two.site).returncode == 4
    assert shell("mlopsctl apply -y", two.site).returncode == 4

    said = must("mlopsctl status local", two.site)
    assert "what is live is withdrawn: data.digits withdrawn by" in said
    row = follows("status", must("mlopsctl status local --format json", two.site))["resources"][0]
    assert row["state"] == "serving" and "consent ended" in row["withdrawn"][0]
    halt = re.search(r"to cut out: +(mlopsctl halt .*)", said)
    assert halt
    must(halt[1], two.site)
    # A halt of it stays a halt.
    done = shell("mlopsctl resume local", two.site)
    assert done.returncode == 4 and "MLO7250" in done.stdout
    assert "halted" in must("mlopsctl status local", two.site)

    release = next((two.site / HOME / "releases").glob("*/artifact"))
    for line in (f"mlopsctl serve {release}", f"mlopsctl predict {release} data/digits.csv", "mlopsctl predict local data/digits.csv"):  # fmt: skip
        done = shell(line, two.site)
        assert done.returncode == 4 and "MLO7250" in done.stdout, line
    done = shell("mlopsctl rollback local", two.site)
    assert done.returncode == 1 and "MLO1537" in done.stdout

    # Neither is a server that died started again.
    found = [read_json(two.site / HOME / f"{name}.json") or {} for name in ("supervisor", "state")]
    for item in found:
        os.kill(item["pid"], signal.SIGKILL)
    until = time.monotonic() + 10
    while any(is_alive(item["pid"], item["start"]) for item in found):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert shell("mlopsctl apply -y", two.site).returncode == 4
    assert "down" in must("mlopsctl status local", two.site)

    lift(two, gone)
    assert blocked(two.site) == {}
    must("mlopsctl apply -y && mlopsctl resume local", two.site)
    assert "serving" in must("mlopsctl status local", two.site)
    assert "ok" in must("mlopsctl audit verify", two.site)


@pytest.mark.slow
def test_a_withdrawn_model_is_replaced_on_purpose(two: Two) -> None:
    model = log(two.site, "train.classifier")[0]["id"]
    gone = withdraw(two, model, "it answers with names of customers")
    why = blocked(two.site)
    assert "data.digits" not in why
    assert "to go on: mlopsctl apply --replace train.classifier" in why["train.classifier"]
    assert "to go on" not in why["deployments.local"]
    replaced = follows("plan", must("mlopsctl plan --replace train.classifier --format json 2>/dev/null", two.site))
    assert not any(step["blocked_by"] for step in replaced["steps"])
    # The same seed gives the same bytes, and bytes that are withdrawn stay so, whoever makes them again.
    done = shell("mlopsctl apply -y --replace train.classifier", two.site)
    assert done.returncode == 4 and "✓ done      train.classifier" in done.stdout
    assert "deployments.local" in blocked(two.site)
    must("sed -i 's/seed: 2/seed: 3/' mlops.yaml && git commit -qam 'Seed 3' && mlopsctl apply -y", two.site)
    assert blocked(two.site) == {}
    lift(two, gone)
