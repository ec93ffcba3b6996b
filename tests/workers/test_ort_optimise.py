from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlopsctl.adapters.model_fit import Limits
from mlopsctl.adapters.worker import run_worker
from mlopsctl.errors import ProviderError
from mlopsctl.workers import ort_optimise
from tests.providers.targets.models import write_mlp

SCRIPT = Path(ort_optimise.__file__)


def optimise(model: Path, out: Path, memory: int = 8 * 2**30) -> dict[str, str]:
    request = {"model": str(model), "out": str(out), "limits": Limits(external=True)._asdict()}
    return run_worker(SCRIPT, request, seconds=60, memory=memory, task="optimising")


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    found = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        optimise(write_mlp(folder / "model.onnx"), folder / "out.onnx")
        data = (folder / "out.onnx").read_bytes()
        assert str(tmp_path).encode() not in data
        found.add(hashlib.sha256(data).hexdigest())
    assert len(found) == 1


def test_a_broken_model_is_an_answer_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a protobuf")
    assert "is no ONNX model" in optimise(tmp_path / "model.onnx", tmp_path / "out.onnx")["error"]


def test_too_little_memory_ends_the_worker_and_not_us(tmp_path: Path) -> None:
    try:
        answer = optimise(write_mlp(tmp_path / "model.onnx"), tmp_path / "out.onnx", memory=60 * 2**20)
    except ProviderError as error:
        assert error.code == "MLO1401"
    else:
        assert "error" in answer


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "MLO1401", "SIGSEGV"),
        ("import sys; sys.exit('no such thing')", "MLO1401", "no such thing"),
        ("import time; time.sleep(60)", "MLO1402", "not done"),
    ],
    ids=["segfault", "exit 1", "hangs"],
)
def test_a_worker_that_fails_is_one_clear_error(tmp_path: Path, body: str, code: str, text: str) -> None:
    script = tmp_path / "worker.py"
    script.write_text(body, encoding="utf-8")
    with pytest.raises(ProviderError) as error:
        run_worker(script, {}, seconds=1, memory=2**30, task="compiling")
    assert error.value.code == code
    assert text in error.value.message
