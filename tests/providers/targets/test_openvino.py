from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mlopsctl.adapters.store import hash_folder
from mlopsctl.errors import ProviderError
from mlopsctl.providers.targets import openvino as target
from mlopsctl.serving.artifact import read_artifact
from mlopsctl.serving.models import load
from tests.providers.targets.bench import Bench
from tests.providers.targets.digits import TEST_ROWS, DigitsBench, rows, write_digits_mlp
from tests.providers.targets.models import write_mlp, write_tree

ONNX = {"kind": "onnx"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("openvino")
    (root / "model").mkdir()
    write_digits_mlp(root / "model" / "model.onnx")
    return DigitsBench(root).make(target, root / "model", ONNX)


def test_the_artifact_agrees_with_the_model_on_every_row(made: Any) -> None:
    assert (made.facts["n"], made.facts["agreement"], made.facts["proof"]) == (TEST_ROWS, "1", "device-run")
    assert float(made.facts["max_abs_diff"]) < 1e-5
    assert made.facts["metrics"]["artifact"] == made.facts["metrics"]["original"]
    assert {path.name for path in made.outputs["artifact"].iterdir()} == {"artifact.json", "model.xml", "model.bin"}
    assert "openvino" in made.made_with


def test_another_time_and_place_give_the_same_artifact(made: Any, tmp_path: Path) -> None:
    (tmp_path / "else" / "model").mkdir(parents=True)
    write_digits_mlp(tmp_path / "else" / "model" / "model.onnx")
    again = DigitsBench(tmp_path).make(target, tmp_path / "else" / "model", ONNX)
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made.outputs["artifact"])
    for file in again.outputs["artifact"].iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def test_the_server_answers_from_it(made: Any) -> None:
    artifact = read_artifact(made.outputs["artifact"])
    model = load(artifact)
    try:
        pixels, digits = rows()
        found = model.run({"x": pixels[-TEST_ROWS:]}, ["p"])["p"]
        assert found.shape == (TEST_ROWS, 10)
        assert (found.argmax(axis=1) == digits[-TEST_ROWS:]).mean() > 0.93
    finally:
        model.close()


def test_the_artifact_answers_from_several_threads(made: Any) -> None:
    model = load(read_artifact(made.outputs["artifact"]))
    pixels, _ = rows()
    whole = model.run({"x": pixels[:64]}, ["p"])["p"]

    async def ask() -> list[Any]:
        return await asyncio.gather(
            *(asyncio.to_thread(lambda at=at: model.run({"x": pixels[at : at + 1]}, ["p"])["p"]) for at in range(64))  # type: ignore[misc]
        )

    assert np.allclose(np.concatenate(asyncio.run(ask())), whole, atol=1e-6)


def test_trees_are_refused_with_what_takes_them(bench: Bench, folder: Path) -> None:
    write_tree(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1433"
    assert "use: onnxruntime" in error.value.hint


def test_weights_that_are_no_numbers_are_refused_with_their_node(bench: Bench, folder: Path) -> None:
    write_digits_mlp(folder / "model.onnx")
    model = onnx.load(folder / "model.onnx")
    model.graph.initializer[0].raw_data = np.full(64 * 32, np.nan, np.float32).tobytes()
    onnx.save(model, str(folder / "model.onnx"))
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1430"
    assert "node 'dense0' (Gemm)" in error.value.message


def test_without_openvino_the_package_is_named(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1411"
    assert "mlopsctl[openvino]" in error.value.hint


def test_the_converter_is_held_to_its_time_and_memory(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    codes = []
    for name, limit in (("slow", {"timeout": 0.01}), ("large", {"memory": 100 * 2**20})):
        with pytest.raises(ProviderError) as error:
            bench.make(target, folder, ONNX, name, **limit)
        codes.append(error.value.code)
    assert codes[0] == "MLO1402"
    assert codes[1] in ("MLO1401", "MLO1433")


def test_an_artifact_is_made_only_where_it_can_run(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1405"
