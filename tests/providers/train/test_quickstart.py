"""The template: real data, a script anybody can read, and a bar that it clears with room."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlopsctl.adapters.inference import inspect_model, run_model

from .conftest import TEMPLATE

BAR, MARGIN = 0.93, 0.02


def test_the_data_are_the_digits_of_uci() -> None:
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the reference")
    rows = np.loadtxt(TEMPLATE / "data/digits.csv", delimiter=",", skiprows=1, dtype=int)
    reference = sklearn.load_digits()
    assert rows.shape == (1797, 65)
    assert np.array_equal(rows[:, :64], reference.data) and np.array_equal(rows[:, 64], reference.target)
    assert "CC BY 4.0" in (TEMPLATE / "data/LICENSE.md").read_text()


def test_the_script_is_short_and_needs_the_core_install_only() -> None:
    text = (TEMPLATE / "train.py").read_text()
    assert len(text.splitlines()) < 60
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [item.name for item in node.names])
    }
    assert imported <= {"os", "pathlib", "numpy", "onnx"}


@pytest.mark.parametrize("seed", range(3))
def test_held_out_accuracy_clears_the_bar(tmp_path: Path, seed: int) -> None:
    header, *rows = (TEMPLATE / "data/digits.csv").read_text().splitlines(keepends=True)
    order = np.random.default_rng(seed).permutation(len(rows))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/digits.csv").write_text(header + "".join(rows[number] for number in order[360:]))
    env = {**os.environ, "MLOPS_OUT": str(tmp_path), "MLOPS_SEED": str(seed)}
    subprocess.run([sys.executable, str(TEMPLATE / "train.py")], cwd=tmp_path, env=env, check=True, capture_output=True)

    test = np.array([rows[number].split(",") for number in order[:360]], np.float32)
    answers = run_model(tmp_path / "model.onnx", {"pixels": test[:, :64]})["probabilities"]
    assert (answers.argmax(axis=1) == test[:, 64]).mean() >= BAR + MARGIN
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert inspect_model(tmp_path / "model.onnx")["ops"] == {"Gemm": 2, "Relu": 1, "Softmax": 1}
