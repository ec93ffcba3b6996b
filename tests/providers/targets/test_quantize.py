from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest

from mlopsctl.adapters.quantisation import CALIBRATION, Scheme, judge_accuracy_drop, quantise
from mlopsctl.adapters.store import hash_folder
from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.providers.targets import onnxruntime as target
from mlopsctl.types import Digest, Status
from tests.providers.targets.digits import TEST_ROWS, DigitsBench, write_digits_mlp
from tests.providers.targets.models import write_tree

ONNX = {"kind": "onnx"}


class Made:
    """The digits quantised both ways, once for all tests of this file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bench = DigitsBench(root)
        self.folder = root / "model"
        self.folder.mkdir()
        write_digits_mlp(self.folder / "model.onnx")
        self.of: dict[str, Any] = {
            kind: self.bench.make(target, self.folder, ONNX, kind, quantize=kind) for kind in ("int8", "dynamic")
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("digits"))


def operators(outcome: Any) -> set[str]:
    return {node.op_type for node in onnx.load(outcome.outputs["artifact"] / "model.onnx").graph.node}


@pytest.mark.parametrize(("kind", "operator"), [("int8", "QGemm"), ("dynamic", "DynamicQuantizeMatMul")])
def test_the_artifact_computes_in_8_bits_and_keeps_the_accuracy(made: Made, kind: str, operator: str) -> None:
    facts = made.of[kind].facts
    assert operator in operators(made.of[kind])
    metrics = facts["metrics"]
    assert (metrics["metric"], metrics["n"], facts["n"]) == ("accuracy", TEST_ROWS, TEST_ROWS)
    assert float(metrics["original"]["value"]) > 0.93
    assert abs(float(metrics["drop"]["value"])) < 0.01
    assert float(facts["agreement"]) > 0.98
    assert facts["proof"] == "device-run"
    assert facts["figures"]["quantize"] == kind


def test_the_training_rows_alone_fix_the_scales(made: Made) -> None:
    assert made.of["int8"].facts["figures"]["calibration_rows"] == 512
    fewer = made.bench.make(target, made.folder, ONNX, "fewer", quantize="int8", calibration=20)
    assert fewer.facts["figures"]["calibration_rows"] == 20
    assert hash_folder(fewer.outputs["artifact"]) != hash_folder(made.of["int8"].outputs["artifact"])
    # Other test rows: the same artifact.
    (made.root / "other").mkdir()
    other = DigitsBench(made.root / "other")
    lines = other.rows.read_text().splitlines()
    other.rows.write_text("\n".join(lines[:100]) + "\n")
    again = other.make(target, made.folder, ONNX, quantize="int8")
    assert again.facts["n"] == 99
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made.of["int8"].outputs["artifact"])


@pytest.mark.parametrize("kind", ["int8", "dynamic"])
def test_another_time_and_place_give_the_same_artifact(made: Made, tmp_path: Path, kind: str) -> None:
    (tmp_path / "else").mkdir()
    folder = tmp_path / "model"
    folder.mkdir()
    write_digits_mlp(folder / "model.onnx")
    again = DigitsBench(tmp_path / "else").make(target, folder, ONNX, quantize=kind)
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made.of[kind].outputs["artifact"])


def drop(value: str | None, ci: list[str] | None) -> dict[str, Any]:
    side = {"value": "0.9", "ci": ["0.88", "0.92"]}
    found = {"value": value, "ci": ci, "method": "tango score", "reason": "too few rows"}
    metrics = {"metric": "accuracy", "n": 1000, "original": side, "artifact": side, "drop": found}
    return {"metrics": metrics, "agreement": "0.99", "n": 1000, "proof": "device-run"}


@pytest.mark.parametrize(
    ("facts", "most", "status"),
    [
        (drop("0.002", ["-0.001", "0.005"]), 0.01, Status.PASSED),
        (drop("0.002", ["-0.001", "0.005"]), 0.004, Status.INCONCLUSIVE),
        (drop("0.05", ["0.03", "0.07"]), 0.01, Status.FAILED),
        (drop("0.05", ["0.03", "0.07"]), 0.08, Status.PASSED),
        (drop("0.002", None), 0.5, Status.INCONCLUSIVE),
        (
            {**drop(None, None), "metrics": {"metric": None, "reason": "the data has no label"}},
            0.5,
            Status.INCONCLUSIVE,
        ),
    ],
)
def test_the_whole_interval_of_the_drop_is_held_to_todays_bar(facts: Any, most: float, status: Status) -> None:
    verdict = judge_accuracy_drop(facts, most, warn=False)
    assert verdict.status is status
    assert verdict.blocks == (status is not Status.PASSED)
    assert judge_accuracy_drop(facts, most, warn=True).blocks == (status is Status.FAILED)


def test_an_inconclusive_drop_says_how_many_rows_would_settle_it() -> None:
    verdict = judge_accuracy_drop(drop("0.002", ["-0.001", "0.005"]), 0.004, warn=False)
    assert "about 2,300 rows" in verdict.hint  # 1000 * (0.003 / 0.002) ** 2


@pytest.mark.parametrize(
    "spec",
    [
        target.Spec(max_accuracy_drop=0.05),
        target.Spec(calibration=10),
        target.Spec(inconclusive="warn"),
        target.Spec(quantize="int8", tolerance=0.1),
        target.Spec(quantize="dynamic", min_agreement=0.9),
    ],
)
def test_a_bar_that_would_hold_nothing_is_refused(spec: target.Spec) -> None:
    with pytest.raises(ManifestError) as error:
        target.needs(spec, {})
    assert error.value.code == "MLO1432"


def test_trees_have_nothing_to_quantise(made: Made, tmp_path: Path) -> None:
    write_tree(tmp_path / "model.onnx", features=64)
    for kind in ("int8", "dynamic"):
        with pytest.raises(ProviderError) as error:
            made.bench.make(target, tmp_path, ONNX, f"tree-{kind}", quantize=kind)
        assert error.value.code == "MLO1431"


def test_a_model_that_can_not_be_quantised_is_refused_with_its_node(made: Made, tmp_path: Path) -> None:
    model = onnx.load(made.folder / "model.onnx")
    model.graph.initializer[0].raw_data = np.full(64 * 32, np.inf, np.float32).tobytes()
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ProviderError) as error:
        made.bench.make(target, tmp_path, ONNX, "infinite", quantize="int8")
    assert error.value.code == "MLO1430"
    assert "node 'dense0' (Gemm) has infinite weights" in error.value.message


def test_an_old_opset_is_refused_with_its_node(made: Made, tmp_path: Path) -> None:
    model = onnx.load(made.folder / "model.onnx")
    model.opset_import[0].version = 12
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ProviderError) as error:
        made.bench.make(target, tmp_path, ONNX, "old", quantize="dynamic")
    assert error.value.code == "MLO1430"
    assert "node 'dense0' (Gemm) is of opset 12 of ai.onnx; taken are 13 to " in error.value.message


def test_weights_in_another_file_are_refused_with_their_node(made: Made, tmp_path: Path) -> None:
    model = onnx.load(made.folder / "model.onnx")
    onnx.save(model, str(tmp_path / "model.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(ProviderError) as error:
        made.bench.make(target, tmp_path, ONNX, "outside", quantize="int8")
    assert error.value.code == "MLO1430"
    assert "node 'dense0' (Gemm) keeps the weights 'w0' in another file" in error.value.message


def test_other_targets_get_symmetric_8_bits_without_zero_points(made: Made, tmp_path: Path) -> None:
    ctx = made.bench.context("symmetric")
    inputs = made.bench.inputs(made.folder, ONNX)
    assert [item.role for item in inputs] == ["model", "data", CALIBRATION]
    found = {}
    for per_channel in (True, False):
        out = tmp_path / f"{per_channel}.onnx"
        scheme = Scheme(symmetric=True, per_channel=per_channel, weight_bits=8, keep_relu=True)
        answer = quantise(made.folder / "model.onnx", out, scheme, "use: fpga", ctx, inputs=inputs)
        assert answer["quantised"] == {"Gemm": 3}
        found[per_channel] = onnx.load(out)
        onnx.checker.check_model(found[per_channel], full_check=True)
    for model in found.values():
        tensors = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
        points = [value for name, value in tensors.items() if name.endswith("zero_point")]
        assert points and not any(value.any() for value in points)
        assert {value.dtype.name for value in tensors.values() if value.dtype.kind == "i"} == {"int8", "int32"}
        assert sum(node.op_type == "Relu" for node in model.graph.node) == 2
    scales = {
        key: next(
            np.size(onnx.numpy_helper.to_array(item)) for item in model.graph.initializer if item.name == "w0_scale"
        )
        for key, model in found.items()
    }
    assert scales == {True: 32, False: 1}


def test_the_verdict_reads_the_entry_alone(made: Made) -> None:
    from mlopsctl.types import Address, Observed, Resource

    seen = Observed(Digest("sha256:0"), {}, made.of["int8"].facts)
    for most, inconclusive, blocks in ((0.05, "block", False), (0.0, "block", True), (0.0, "warn", False)):
        spec = target.Spec(quantize="int8", max_accuracy_drop=most, inconclusive=cast(Any, inconclusive))
        assert target.judge(Resource(Address("targets", "cpu"), "targets/onnxruntime", spec), seen, ()).blocks is blocks
