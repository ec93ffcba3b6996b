"""``init --from-existing`` as a person types it: a proposal is written whole or not at all, and plans."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.adopt.repositories import notebook, repository
from tests.quickstart import must, shell

TRAIN = "rows = open('rows.csv').read()\nopen('model.bin', 'w').write(rows)\n"


def start(folder: Path, files: Mapping[str, str], words: str = "") -> str:
    repository(folder, files)
    must("git add -A && git commit -qm 'as it was'", folder)
    return must(f"mlopsctl init --from-existing --ci none {words}", folder)


def steps(folder: Path) -> dict[str, str]:
    """Address -> action of each step of the plan."""
    plan = json.loads(must("mlopsctl plan --format json 2>/dev/null", folder))
    return {step["address"]: step["action"] for step in plan["steps"]}


def test_a_proposal_validates_plans_and_runs(tmp_path: Path) -> None:
    said = start(tmp_path, {"rows.csv": "a\n1\n", "train.py": TRAIN, "odd.ipynb": notebook("!ls")})
    assert "data.rows" in said and "train.train" in said and "odd.ipynb: cell 1" in said
    assert "git add -A" in said and "mlopsctl plan" in said
    text = (tmp_path / "mlops.yaml").read_text()
    assert "# Not taken over:" in text and "odd.ipynb" in text and "Guessed from its text" in text and "log: " in text
    must("mlopsctl validate && git add -A && git commit -qm Start", tmp_path)
    assert steps(tmp_path) == {"data.rows": "create", "train.train": "create"}
    must("mlopsctl apply -y", tmp_path)
    assert set(steps(tmp_path).values()) == {"noop"}


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    repository(tmp_path, {"rows.csv": "a\n1\n", "train.py": TRAIN, "mlops.yaml": "mine"})
    done = shell("mlopsctl init --from-existing", tmp_path)
    assert done.returncode == 1 and "MLO1080" in done.stdout
    assert (tmp_path / "mlops.yaml").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", "mlops.yaml", "rows.csv", "train.py"]
    assert not (tmp_path / ".git" / "mlops").exists()


@pytest.mark.parametrize(
    ("files", "words", "status", "code"),
    [
        ({}, "", 1, "MLO1082"),
        ({"train.py": "import os\n"}, "", 1, "MLO1082"),
        ({"dvc.yaml": "stages: {a: {cmd: python gone.py, outs: [x]}}\n"}, "", 1, "gone.py"),
        ({"train.py": TRAIN}, "--template quickstart", 64, "MLO6404"),
        ({"train.py": TRAIN}, "nowhere", 64, "MLO6405"),
    ],
)
def test_where_there_is_nothing_to_go_by(
    tmp_path: Path, files: dict[str, str], words: str, status: int, code: str
) -> None:
    repository(tmp_path, files)
    done = shell(f"mlopsctl init --from-existing {words}", tmp_path)
    assert done.returncode == status and code in done.stdout, done.stdout
    assert not (tmp_path / "mlops.yaml").exists() and not (tmp_path / "trust.yaml").exists()


def test_a_folder_without_git_and_a_flag_alone(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    done = shell(f"GIT_CEILING_DIRECTORIES={tmp_path.parent} mlopsctl init --from-existing", tmp_path)
    assert done.returncode == 1 and "MLO1081" in done.stdout and not (tmp_path / ".git").exists()
    assert shell("mlopsctl init --run-notebooks", tmp_path).returncode == 64


def test_a_secret_among_the_settings_is_not_copied_into_the_manifest(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--key', default='ghp_" + "a" * 36 + "')\n"
    said = start(tmp_path, {"train.py": text + TRAIN, "other.py": TRAIN, "rows.csv": "a\n1\n"})
    assert "secret" in said and "ghp_" not in said and "ghp_" not in (tmp_path / "mlops.yaml").read_text()


def test_nothing_of_the_repository_is_run(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')\nopen('x.bin', 'w')\n"
    files = {
        "train.py": trap,
        "sitecustomize.py": trap,
        "yaml.py": trap,
        "note.ipynb": notebook(trap),
        "dvc.yaml": f"vars: [p.yaml]\nstages: {{a: {{cmd: touch {tmp_path}/sprung, outs: ['${{x}}']}}}}\n",
        "p.yaml": "x: '$(touch sprung)'\n",
        "MLproject": f"entry_points: {{main: {{command: touch {tmp_path}/sprung}}}}\n",
        ".dvc/config": "[core]\n    hooks = true\n",
    }
    start(tmp_path, files)
    assert not (tmp_path / "sprung").exists()


def test_names_of_files_may_hold_anything(tmp_path: Path) -> None:
    files = {
        "new\nline.py": TRAIN,
        "sp ace's.py": TRAIN.replace("model.bin", "o ut.bin"),
        "\x1b[31m.py": TRAIN,
        "rows.csv": "a\n1\n",
    }
    said = start(tmp_path, files)
    assert "\x1b" not in said and "new?line.py" in said
    must("mlopsctl validate && git add -A && git commit -qm Start", tmp_path)
    assert "train.sp-ace-s" in steps(tmp_path)


def test_in_a_folder_of_a_repository(tmp_path: Path) -> None:
    repository(tmp_path, {"models/a/train.py": TRAIN, "models/a/rows.csv": "a\n1\n"})
    must("git add -A && git commit -qm x", tmp_path)
    must("mlopsctl init --from-existing --ci none models/a", tmp_path)
    must("git add -A && git commit -qm y", tmp_path)
    assert steps(tmp_path / "models" / "a") == {"data.rows": "create", "train.train": "create"}


READ = "import numpy as np\nrows = np.loadtxt('../rows.csv', delimiter=',', skiprows=1)"
FIT = "def fit(x, y):\n    return np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]"
MEASURE = """\
w = fit(rows[:, :2], rows[:, 2])
guess = np.c_[rows[:, :2], np.ones(len(rows))] @ w
accuracy = float(((guess > 0.5) == rows[:, 2]).mean())
accuracy"""
EXPORT = """\
from onnx import TensorProto, helper, numpy_helper, save_model
weights = [numpy_helper.from_array(np.array(v, dtype=np.float32), n) for v, n in [(w[:2, None], "w"), (w[2:], "b")]]
graph = helper.make_graph(
    [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
    "line",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
    weights,
)
save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), "line.onnx")"""


def rows() -> str:
    """A table that a line separates almost; no row lies on the line."""
    lines = [f"{n % 7},{n * n % 11},{int(n % 7 + n * n % 11 / 3 + n % 3 > 6.1)}" for n in range(105)]
    return "\n".join(["a,b,y", *lines, ""])


def test_an_adopted_notebook_reaches_the_metric_that_it_shows(tmp_path: Path) -> None:
    plain = (
        f"{READ}\n{FIT}\n{MEASURE}".replace("../rows.csv", "rows.csv").removesuffix("accuracy") + "print(accuracy)\n"
    )
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "rows.csv").write_text(rows())
    (tmp_path / "reference" / "cells.py").write_text(plain)
    accuracy = must("python cells.py", tmp_path / "reference").strip()
    folder = tmp_path / "project"
    cells = notebook(READ, FIT, (MEASURE, 3, accuracy), EXPORT)
    said = start(folder, {"rows.csv": rows(), "study/line.ipynb": cells}, "--run-notebooks")
    assert "ran from top to bottom; it printed the 1 line(s) with figures that it shows" in said
    assert not list(folder.rglob("*.onnx"))
    must("git add -A && git commit -qm Start && mlopsctl apply -y", folder)
    assert accuracy in must("mlopsctl logs train.line", folder).split()
    # The model itself, not only the script, is as good as the notebook says.
    assert "line.onnx {out}/model.onnx" in (folder / "mlops.yaml").read_text()
    store = folder / ".git" / "mlops" / "store"
    [model] = {path for path in store.rglob("*") if path.is_file() and b"Gemm" in path.read_bytes()}
    check = (
        "import numpy as np, onnxruntime as o\n"
        "r = np.loadtxt('rows.csv', delimiter=',', skiprows=1, dtype=np.float32)\n"
        f"y = o.InferenceSession({str(model)!r}).run(None, {{'x': r[:, :2]}})[0][:, 0]\n"
        "print(float(((y > 0.5) == r[:, 2]).mean()))"
    )
    found = subprocess.run([sys.executable, "-c", check], cwd=folder, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == accuracy


def test_a_notebook_with_hidden_state_is_named_by_cell_and_not_adopted(tmp_path: Path) -> None:
    cells = notebook(("print(scale)", 2), ("scale = 2\nopen('x.bin', 'w')", 1))
    files = {"broken.ipynb": cells, "train.py": TRAIN, "rows.csv": "a\n1\n"}
    said = start(tmp_path, files, "--run-notebooks")
    assert "cell 1 stops with NameError: name 'scale' is not defined" in said and "only cell 2 makes" in said
    assert "train.broken" not in said and not (tmp_path / "broken.py").exists() and not (tmp_path / "x.bin").exists()
    assert "broken.ipynb" in (tmp_path / "mlops.yaml").read_text()


def test_a_notebook_that_comes_out_otherwise_is_said(tmp_path: Path) -> None:
    cells = notebook(("open('x.bin', 'w').write('1')\n1 + 1", 1, "3"))
    said = start(tmp_path, {"n.ipynb": cells}, "--run-notebooks")
    assert "1 came out otherwise, first in cell 1: 3" in said and "train.n" in said
