"""Models that are not ONNX, from trainers that are not Python: trained, scanned, measured, packed, signed, served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.serving.client import infer, metadata
from tests.quickstart import make_quickstart, must, shell, take_down

TRAINERS = Path(__file__).parents[1] / "providers" / "train" / "trainers"
ROWS = "a,b,label\n" + "".join(f"{n / 50},{n / 100},0\n{3 + n / 50},{2 + n / 100},1\n" for n in range(100))

MANIFEST = """\
data:
  rows: {{path: data/rows.csv, label: label}}
train:
  nearest: {train}
gates:
  accuracy: {{metric: accuracy, min: 0.9}}
targets:
  packed: {{use: program}}
deployments:
  local: {{target: packed}}
"""

CPP = """
    run: ["g++ -O1 -o {out}/nearest nearest.cpp", "{out}/nearest train"]
    predict: "{model}/nearest answer {model}"\
"""
JAVA = """
    run: ["javac -d {out} Train.java Predict.java", "java -cp {out} Train"]
    predict: "java -cp {model} Predict {model}"\
"""
PYTHON = """
    run: python fit.py
    predict: "python answer.py {{model}}"\
"""
FIT = "import os, pathlib\npathlib.Path(os.environ['MLOPS_OUT'], 'cut.txt').write_text('2.5')\n"
ANSWER = """\
import json, pathlib, sys
assert sys.argv[1] == "{model}", "doubled braces are braces"
cut = float(pathlib.Path(__file__).with_name("cut.txt").read_text())
for line in sys.stdin:
    print(int(json.loads(line)["a"] > cut), flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = make_quickstart(tmp_path / "opaque")
    (folder / "data" / "rows.csv").write_text(ROWS)
    for path in TRAINERS.iterdir():
        shutil.copy(path, folder)
    yield folder
    take_down(folder)


def declare(folder: Path, train: str) -> None:
    manifest = folder / "mlops.yaml"
    manifest.write_text(manifest.read_text().split("data:\n")[0] + MANIFEST.format(train=train))
    must("git rm -q --cached data/digits.csv train.py && git add -A && git commit -qm Opaque", folder)


def status(folder: Path) -> dict[str, dict[str, Any]]:
    found = json.loads(must("mlopsctl status --format json", folder))["resources"]
    return {row["address"]: row for row in found}


def column(name: str, *values: float) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": [len(values)], "data": list(values)}


@pytest.mark.parametrize(
    ("train", "tool"), [(CPP, "g++"), (JAVA, "javac"), (PYTHON, "")], ids=["cpp", "java", "python"]
)
def test_an_opaque_model_goes_the_whole_way(folder: Path, train: str, tool: str) -> None:
    if tool and shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    (folder / "fit.py").write_text(FIT)
    (folder / "answer.py").write_text(ANSWER)
    declare(folder, train)
    must("mlopsctl apply -y", folder)

    stands = status(folder)
    assert stands["gates.accuracy"]["state"] == stands["gates.scan"]["state"] == "passed"
    assert stands["targets.packed"]["proof"] == "device-run"
    assert stands["deployments.local"]["state"] == "serving"
    endpoint = stands["deployments.local"]["endpoint"]
    assert [port["name"] for port in metadata(endpoint, "nearest")["inputs"]] == ["a", "b"]
    answer = infer(endpoint, "nearest", [column("a", 0.1, 4.0), column("b", 0.2, 2.5)])
    assert (answer.status, answer.body["outputs"][0]["data"]) == (200, [0, 1])
    assert answer.headers["x-decision-id"]

    assert "No changes" in must("mlopsctl plan --detailed-exitcode", folder)
    assert must("mlopsctl audit verify", folder).startswith("ok: ")


def test_a_program_that_answers_wrong_stops_at_its_gate(folder: Path) -> None:
    (folder / "fit.py").write_text(FIT)
    (folder / "answer.py").write_text(ANSWER.replace("> cut", "< cut"))
    declare(folder, PYTHON)
    done = shell("mlopsctl apply -y", folder)
    assert done.returncode == 4, done.stdout
    assert "deployments.local" not in must("mlopsctl audit log --kind result", folder)
