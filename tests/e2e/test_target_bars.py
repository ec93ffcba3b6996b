"""The comparison of artifact and model is a measurement: whatever its bars do, nothing is compiled or compared again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import make_quickstart, must, shell, take_down

MANIFEST = """\
data:
  rows: {path: rows.csv, label: y}
train:
  noisy: {run: python fit.py, predict: "python answer.py {model}"}
targets:
  packed: {use: program, BARS}
deployments:
  local: {target: packed}
"""
FIT = "import os, pathlib\npathlib.Path(os.environ['MLOPS_OUT'], 'scale.txt').write_text('0.01')\n"
# Numbers that differ from run to run, as a sampling model's do.
ANSWER = """\
import json, pathlib, random, sys
scale = float((pathlib.Path(sys.argv[1]) / "scale.txt").read_text())
for line in sys.stdin:
    print(json.loads(line)["a"] + scale * random.random(), flush=True)
"""
ROWS = "a,y\n" + "".join(f"{n / 100},{n / 100}\n" for n in range(300))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = make_quickstart(tmp_path / "noisy")
    for name, text in (("rows.csv", ROWS), ("fit.py", FIT), ("answer.py", ANSWER)):
        (folder / name).write_text(text)
    head = (folder / "mlops.yaml").read_text().split("data:\n")[0]
    (folder / "mlops.yaml").write_text(head + MANIFEST.replace("BARS", "tolerance: 0.0001"))
    must("git add -A && git commit -qm Noisy", folder)
    yield folder
    take_down(folder)


def steps(folder: Path) -> dict[str, dict[str, Any]]:
    return {step["address"]: step for step in json.loads(must("mlopsctl plan --format json", folder))["steps"]}


def move(folder: Path, old: str, new: str) -> None:
    manifest = folder / "mlops.yaml"
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))


def test_what_misses_its_bars_is_kept_and_other_bars_make_nothing_again(folder: Path) -> None:
    done = shell("mlopsctl apply -y", folder)
    assert done.returncode == 4 and "the artifact answers otherwise than the model" in done.stdout
    made = steps(folder)["targets.packed"]
    assert made["action"] == "noop" and made["verdict"]["status"] == "failed", "a failed measurement is a result"
    assert steps(folder)["deployments.local"]["blocked_by"] == ["targets.packed failed"]

    move(folder, "tolerance: 0.0001", "tolerance: 0.1")
    now = steps(folder)
    assert now["targets.packed"]["made_from"] == made["made_from"]
    assert now["targets.packed"]["action"] == "noop" and now["targets.packed"]["verdict"]["status"] == "passed"
    assert now["deployments.local"]["action"] == "create" and not now["deployments.local"]["blocked_by"]
    must("mlopsctl apply -y", folder)
    entries = json.loads(must("mlopsctl audit log --format json", folder))["entries"]
    kinds = [entry["address"] for entry in entries if entry["kind"] == "result"]
    assert kinds.count("targets.packed") == kinds.count("deployments.local") == 1

    move(folder, "tolerance: 0.1", "tolerance: 0.0001")
    refused = shell("mlopsctl pin local", folder)
    assert refused.returncode == 4 and "targets.packed failed" in refused.stdout, "today's bars judge any switch"
