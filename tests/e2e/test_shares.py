"""Gates and targets that run here are held to their ``resources:``, and a plan says what the machine has not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, shell

MANIFEST = """\
data:
  rows: {path: rows.csv, label: label, split: {test: 0.3, key: id}}
train:
  cut: {run: python fit.py, predict: "python answer.py {model}"}
gates:
  accuracy: {metric: accuracy, min: 0.8GATE}
targets:
  packed: {use: programTARGET}
"""
FIT = "import os, pathlib\npathlib.Path(os.environ['MLOPS_OUT'], 'cut.txt').write_text('1.5')\n"
ANSWER = """\
import json, os, sys
try:
    bytearray(400 << 20); full = False
except MemoryError:
    full = True
held = len(os.sched_getaffinity(0)) == 1 and os.environ["OMP_NUM_THREADS"] == "1"
held = held and os.environ["CUDA_VISIBLE_DEVICES"] == "" and full
for line in sys.stdin:
    print(int(json.loads(line)["a"] > 1.5), flush=True) if held else sys.exit(3)
"""
ROWS = "id,a,label\n" + "".join(f"{n},{n / 100},{int(n > 150)}\n" for n in range(300))
SHARE = ", resources: {cpu: 1, memory: 300MiB, gpu: 0}"


def project(tmp_path: Path, gate: str, target: str) -> Path:
    folder = make_quickstart(tmp_path / "cut")
    head = (folder / "mlops.yaml").read_text().split("data:\n")[0]
    manifest = head + MANIFEST.replace("GATE", gate).replace("TARGET", target)
    for name, text in (("rows.csv", ROWS), ("fit.py", FIT), ("answer.py", ANSWER), ("mlops.yaml", manifest)):
        (folder / name).write_text(text)
    must("git add -A && git commit -qm Next", folder)
    return folder


def test_a_model_is_measured_within_the_share_of_its_gate(tmp_path: Path) -> None:
    folder = project(tmp_path, SHARE, "")
    must("mlopsctl apply -y --exclude targets.packed", folder)
    assert "passed" in must("mlopsctl gate run accuracy", folder)
    done = shell("mlopsctl apply -y", folder)
    assert done.returncode != 0 and "targets.packed" in done.stdout, "a share is that of one step"


def test_a_model_is_packed_within_the_share_of_its_target(tmp_path: Path) -> None:
    folder = project(tmp_path, "", SHARE)
    must("mlopsctl apply -y --exclude gates.accuracy", folder)
    assert shell("mlopsctl apply -y", folder).returncode != 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_quickstart(tmp_path_factory.mktemp("trained") / "digits")
    must("mlopsctl apply -y --target train.classifier", folder)
    return folder


@pytest.mark.parametrize(
    ("block", "address"),
    [
        ("gates: {look: {use: scan, RES}}", "gates.look"),
        ("targets: {cpu: {RES}}", "targets.cpu"),
        ("targets: {fast: {use: tvm, RES}}", "targets.fast"),
        ("targets: {intel: {use: openvino, RES}}", "targets.intel"),
        ("targets: {best: {use: auto, RES}}", "targets.best"),
    ],
)
def test_what_has_too_little_memory_is_ended(trained: Path, block: str, address: str) -> None:
    if "tvm" in block:
        pytest.importorskip("tvm", reason="apache-tvm is not installed")
    text = (trained / "mlops.yaml").read_text()
    head = text.split("gates:\n")[0]
    try:
        for size, works in (("2MiB", False), ("6GiB", True)):
            share = f"resources: {{cpu: 1, memory: {size}, gpu: 0}}"
            (trained / "mlops.yaml").write_text(head + block.replace("RES", share) + "\n")
            must("git commit -qam Share", trained)
            done = shell(f"mlopsctl apply -y --target {address}", trained)
            assert (done.returncode == 0) is works, done.stdout
    finally:
        (trained / "mlops.yaml").write_text(text)


def test_a_gate_that_asks_for_more_than_the_machine_has_is_blocked(tmp_path: Path) -> None:
    folder = project(tmp_path, f", resources: {{cpu: {os.cpu_count() or 1}00}}", "")
    steps = json.loads(must("mlopsctl plan --format json", folder))["steps"]
    blocked = next(one for one in steps if one["address"] == "gates.accuracy")["blocked_by"]
    assert any("this machine's" in line and "(it asks for" in line for line in blocked)
