from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mlopsctl.adapters.store import hash_folder
from mlopsctl.canonical import canonical
from mlopsctl.errors import ProviderError
from mlopsctl.providers.targets import onnxruntime as target
from mlopsctl.types import Address, Observed, Resource, Status
from tests.providers.targets.bench import ROWS, Bench, described
from tests.providers.targets.models import write_mlp, write_tree

ONNX = {"kind": "onnx"}


def test_the_artifact_agrees_with_the_model_on_every_row(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    made = bench.make(target, folder, ONNX)
    assert made.facts["n"] == ROWS
    assert made.facts["agreement"] == "1"
    assert float(made.facts["max_abs_diff"]) < 1e-5
    assert made.facts["proof"] == "device-run"
    assert made.facts["size"] == sum(path.stat().st_size for path in made.outputs["artifact"].iterdir())
    assert "FusedGemm" in {node.op_type for node in onnx.load(made.outputs["artifact"] / "model.onnx").graph.node}
    assert len(canonical(made.facts)) < 4096


def test_a_metric_of_artifact_and_model_stands_side_by_side(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    made = bench.make(target, folder, ONNX)
    metrics = made.facts["metrics"]
    assert (metrics["metric"], metrics["n"]) == ("accuracy", ROWS)
    assert metrics["artifact"] == metrics["original"]
    low, high = (float(limit) for limit in metrics["artifact"]["ci"])
    assert low < float(metrics["artifact"]["value"]) < high
    assert metrics["drop"]["value"] == "0"
    seen = Observed("sha256:0", {}, made.facts)  # type: ignore[arg-type]
    want = Resource(Address("targets", "cpu"), "targets/onnxruntime", target.Spec())
    assert "; accuracy " in target.judge(want, seen, ()).text


def test_the_description_says_how_to_serve_it(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    artifact = bench.make(target, folder, ONNX).outputs["artifact"]
    assert described(artifact) == {
        "format": 1,
        "runtime": "onnxruntime",
        "model": "model.onnx",
        "name": "classifier",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [None, 4]}],
        "outputs": [{"name": "p", "dtype": "float32", "shape": [None, 3]}],
        "classes": [0, 1, 2],
    }


def test_another_time_and_place_give_the_same_artifact(tmp_path: Path) -> None:
    found = set()
    for name in ("here", "somewhere/else"):
        place = tmp_path / name
        (place / "model").mkdir(parents=True)
        write_mlp(place / "model" / "model.onnx")
        made = Bench(place).make(target, place / "model", ONNX)
        found.add(hash_folder(made.outputs["artifact"]))
        for file in made.outputs["artifact"].iterdir():
            assert str(tmp_path).encode() not in file.read_bytes()
    assert len(found) == 1


def test_a_model_of_trees_keeps_its_labels_and_probabilities(bench: Bench, folder: Path) -> None:
    write_tree(folder / "model.onnx")
    made = bench.make(target, folder, ONNX)
    assert made.facts["agreement"] == "1"
    assert len(described(made.outputs["artifact"])["outputs"]) == 2


def test_a_model_of_a_newer_format_is_refused_with_the_reason(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    model = onnx.load(folder / "model.onnx")
    model.ir_version = 99
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1410"
    assert "99" in error.value.message


def test_an_opaque_model_belongs_to_another_target(bench: Bench, folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"w")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, {"kind": "opaque"})
    assert "use: program" in error.value.hint


def test_a_tighter_tolerance_judges_the_recorded_comparison_anew() -> None:
    facts = {"n": 60, "agreement": "1", "max_abs_diff": "0.00002", "max_scaled_diff": "0.00002", "proof": "device-run"}
    seen = Observed("sha256:0", {}, facts)  # type: ignore[arg-type]
    verdicts = [
        target.judge(Resource(Address("targets", "cpu"), "targets/onnxruntime", target.Spec(tolerance=bar)), seen, ())
        for bar in (1e-4, 1e-5)
    ]
    assert [verdict.status for verdict in verdicts] == [Status.PASSED, Status.FAILED]
    assert verdicts[0].text == "all 60 rows agree, numbers differ by at most 0.00002 (device-run)"
    assert verdicts[1].blocks


def test_weights_beside_the_model_move_with_it(bench: Bench, folder: Path) -> None:
    model = onnx.load(write_mlp(bench.root / "whole.onnx"))
    onnx.save(model, str(folder / "model.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0)
    made = bench.make(target, folder, ONNX)
    assert made.facts["agreement"] == "1"
    assert {path.name for path in made.outputs["artifact"].iterdir()} == {
        "artifact.json",
        "model.onnx",
        "model.onnx.data",
    }
    again = bench.make(target, folder, ONNX, "again")
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made.outputs["artifact"])


def test_the_compiler_is_held_to_its_time_and_memory(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    codes = []
    for name, limit in (("slow", {"timeout": 0.01}), ("large", {"memory": 60 * 2**20})):
        with pytest.raises(ProviderError) as error:
            bench.make(target, folder, ONNX, name, **limit)
        codes.append(error.value.code)
    assert codes[0] == "MLO1402"
    assert codes[1] in ("MLO1401", "MLO1410")


def test_an_artifact_is_made_only_where_it_can_run(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, arch="x86-64")
    assert error.value.code == "MLO1405"
    assert "this machine is arm64" in error.value.message
