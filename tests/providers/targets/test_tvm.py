from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mlopsctl.adapters.store import hash_folder
from mlopsctl.errors import ProviderError
from mlopsctl.providers.targets import tvm as target
from tests.providers.targets.bench import ROWS, Bench, described
from tests.providers.targets.models import write_mlp, write_tree

ONNX = {"kind": "onnx"}
needs_tvm = pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="the extra tvm is not installed")


@needs_tvm
@pytest.mark.parametrize("batch", [1, 16])
def test_the_library_agrees_with_the_model_on_every_row(bench: Bench, folder: Path, batch: int) -> None:
    write_mlp(folder / "model.onnx")
    made = bench.make(target, folder, ONNX, batch=batch)
    assert (made.facts["n"], made.facts["agreement"], made.facts["proof"]) == (ROWS, "1", "device-run")
    assert 0 < float(made.facts["max_abs_diff"]) < 1e-5
    found = described(made.outputs["artifact"])
    assert (found["runtime"], found["model"], found["batch"]) == ("tvm", "model.so", batch)


@needs_tvm
def test_another_time_and_place_give_the_same_artifact(tmp_path: Path) -> None:
    found = set()
    for name in ("here", "there"):
        (tmp_path / name / "model").mkdir(parents=True)
        write_mlp(tmp_path / name / "model" / "model.onnx")
        made = Bench(tmp_path / name).make(target, tmp_path / name / "model", ONNX)
        found.add(hash_folder(made.outputs["artifact"]))
    assert len(found) == 1


@needs_tvm
def test_operators_that_tvm_lacks_are_told_with_the_way_out(bench: Bench, folder: Path) -> None:
    write_tree(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1430"
    assert "use: onnxruntime" in error.value.hint


@needs_tvm
def test_a_processor_nobody_knows_is_refused_and_not_passed_over(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, mcpu="skylark")
    assert "skylark" in error.value.message


def test_a_missing_extra_is_told_with_the_line_that_installs_it(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.hint == "pip install 'mlopsctl[tvm]'"


@needs_tvm
def test_the_compiler_is_held_to_its_time_and_memory(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    codes = []
    for name, limit in (("slow", {"timeout": 0.01}), ("large", {"memory": 60 * 2**20})):
        with pytest.raises(ProviderError) as error:
            bench.make(target, folder, ONNX, name, **limit)
        codes.append(error.value.code)
    assert codes[0] == "MLO1402"
    assert codes[1] in ("MLO1401", "MLO1412")


@needs_tvm
def test_an_artifact_is_made_only_where_it_can_run(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, arch="x86-64")
    assert error.value.code == "MLO1405"
