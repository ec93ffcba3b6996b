from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.adapters.model_fit import Limits, require_fit
from mlopsctl.errors import ProviderError
from mlopsctl.workers.model_check import findings
from tests.providers.targets.models import write_mlp, write_tree

FIXED = Limits(fixed=True, finite=True)


def build(
    nodes: list[Any], shape: list[Any], weights: dict[str, np.ndarray[Any, Any]], opset: int = 17, out: Any = None
) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def gemm(weight: np.ndarray[Any, Any], opset: int = 17) -> Any:
    return build([helper.make_node("Gemm", ["x", "w"], ["y"], "dense")], ["N", 2], {"w": weight}, opset)


def constant_of_shape(size: int) -> Any:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], "fill"),
        helper.make_node("ReduceSum", ["c"], ["r"], "sum", keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"], "add"),
    ]
    return build(nodes, ["N", 2], {"s": np.array([size], np.int64)})


def says(model: Any, limits: Limits = FIXED) -> list[tuple[str, str]]:
    return [(item["kind"], item["node"]) for item in findings(model, "/nowhere/model.onnx", limits._asdict())]


ONES = np.ones((2, 2), np.float32)


@pytest.mark.parametrize("write", [write_mlp, write_tree])
def test_nothing_is_found_in_a_sound_model(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    limits = FIXED if write is write_mlp else Limits()
    assert says(onnx.load(write(tmp_path / "model.onnx")), limits) == []


@pytest.mark.parametrize(
    ("model", "limits", "found"),
    [
        (gemm(ONES), FIXED._replace(ops=("Relu",)), ("op", "dense")),
        (build([helper.make_node("Gelu", ["x"], ["y"], "g")], ["N", 2], {}, 17), FIXED, ("op", "g")),
        (build([helper.make_node("Nonsense", ["x"], ["y"], "n")], ["N", 2], {}), FIXED, ("op", "n")),
        (build([helper.make_node("Relu", ["x"], ["y"])], ["N", 2], {}), FIXED._replace(ops=()), ("op", "y")),
        (gemm(ONES, 99), FIXED, ("opset", "dense")),
        (gemm(ONES, 13), FIXED._replace(opset=(14, 20)), ("opset", "dense")),
        (gemm(np.full((2, 2), np.nan, np.float32)), Limits(), ("weights", "dense")),
        (gemm(np.full((2, 2), np.inf, np.float32)), FIXED, ("weights", "dense")),
        (gemm(ONES), FIXED._replace(max_elements=3), ("huge", "dense")),
        (constant_of_shape(2**40), Limits(), ("huge", "fill")),
        (build([helper.make_node("Relu", ["x"], ["y"], "r")], ["N", "width"], {}), FIXED, ("shape", "r")),
        (build([helper.make_node("NonZero", ["x"], ["i"], "nz"),
                helper.make_node("Cast", ["i"], ["y"], "c", to=1)], ["N", 2], {}), FIXED, ("shape", "nz")),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_named_by_its_node(model: Any, limits: Limits, found: tuple[str, str]) -> None:
    assert found in says(model, limits)


def test_infinite_weights_are_a_mask_in_floating_point_and_nothing_in_whole_numbers() -> None:
    model = gemm(np.full((2, 2), -np.inf, np.float32))
    assert says(model, Limits()) == []
    assert says(model, Limits(finite=True)) == [("weights", "dense")]


def test_weights_in_a_constant_node_count_too() -> None:
    constant = helper.make_node("Constant", [], ["w"], "k", value=numpy_helper.from_array(ONES * np.nan))
    model = build([constant, helper.make_node("Gemm", ["x", "w"], ["y"], "dense")], ["N", 2], {})
    assert says(model) == [("weights", "k")]


def test_free_rows_are_no_open_size(tmp_path: Path) -> None:
    path = write_mlp(tmp_path / "model.onnx")
    require_fit(path, "use: fpga", FIXED)


def test_the_refusal_names_who_and_which_node_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build([helper.make_node("LSTM", ["x"], ["y"], "cell")], ["N", 2], {}), str(path))
    with pytest.raises(ProviderError) as error:
        require_fit(path, "use: fpga", FIXED._replace(ops=("Gemm",)), hint="leave the LSTM out")
    assert error.value.code == "MLO1430"
    assert "use: fpga can not take the model: node 'cell' (LSTM)" in error.value.message
    assert error.value.hint == "leave the LSTM out"


def test_weights_in_another_file_are_allowed_by_name_only(tmp_path: Path) -> None:
    model = onnx.load(write_mlp(tmp_path / "whole.onnx"))
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    require_fit(path, "use: onnxruntime", Limits(external=True))
    with pytest.raises(ProviderError) as error:
        require_fit(path, "use: fpga", FIXED)
    assert "'weights.bin'" in error.value.message


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ProviderError) as error:
        require_fit(tmp_path / "model.onnx", "use: fpga", FIXED)
    assert error.value.code == "MLO1430"
