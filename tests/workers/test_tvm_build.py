from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mlopsctl.adapters.worker import run_worker
from mlopsctl.serving import tvm_model
from mlopsctl.workers import tvm_build
from tests.providers.targets.models import write_mlp, write_tree

pytest.importorskip("tvm", reason="the extra tvm is not installed")

GIB = 2**30


def build(model: Path, out: Path, batch: int = 1, mcpu: str = "x86-64-v3") -> dict[str, str]:
    request = {"model": str(model), "out": str(out), "batch": batch, "target": {"mcpu": mcpu}}
    return run_worker(Path(tvm_build.__file__), request, seconds=60, memory=8 * GIB, task="compiling")


def describe(folder: Path, batch: int) -> None:
    described = {
        "runtime": "tvm", "model": "model.so", "batch": batch, "inputs": [{"name": "x"}], "outputs": [{"name": "p"}]
    }  # fmt: skip
    (folder / "artifact.json").write_text(json.dumps(described), encoding="utf-8")


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    found = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        assert "error" not in build(write_mlp(folder / "model.onnx"), folder / "model.so")
        data = (folder / "model.so").read_bytes()
        assert str(tmp_path).encode() not in data
        found.add(hashlib.sha256(data).hexdigest())
    assert len(found) == 1


@pytest.mark.parametrize(("batch", "rows"), [(1, 3), (4, 10)], ids=["row by row", "the last call filled up"])
def test_the_library_answers_as_onnx_runtime_does(tmp_path: Path, batch: int, rows: int) -> None:
    import onnxruntime

    model = write_mlp(tmp_path / "model.onnx")
    build(model, tmp_path / "model.so", batch)
    describe(tmp_path, batch)
    x = np.random.default_rng(1).normal(size=(rows, 4)).astype(np.float32)
    np.savez(tmp_path / "feeds.npz", x=x)
    request = {"folder": str(tmp_path), "feeds": str(tmp_path / "feeds.npz"), "out": str(tmp_path / "found.npz")}
    answer = run_worker(Path(tvm_model.__file__), request, seconds=60, memory=8 * GIB, task="running")
    assert answer == {}
    expected = onnxruntime.InferenceSession(str(model)).run(None, {"x": x})[0]
    np.testing.assert_allclose(np.load(tmp_path / "found.npz")["p"], expected, atol=1e-6)


def test_a_processor_that_llvm_does_not_know_is_refused(tmp_path: Path) -> None:
    error = build(write_mlp(tmp_path / "model.onnx"), tmp_path / "model.so", mcpu="skylark")["error"]
    assert "no processor 'skylark'" in error
    assert "skylake" in error
    assert not (tmp_path / "model.so").exists()


def test_a_model_of_trees_is_an_answer_and_no_traceback(tmp_path: Path) -> None:
    found = build(write_tree(tmp_path / "model.onnx"), tmp_path / "model.so")["findings"]
    assert "TreeEnsembleClassifier" in str(found)
