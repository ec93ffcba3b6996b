"""The arrangement of loops: it changes how fast a kernel is and how its code looks, and no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.providers.targets.models import write_conv, write_mlp

tvm = pytest.importorskip("tvm", reason="the extra tvm is not installed")

from mlopsctl.workers.tvm_lower import fuse, load, lower
from mlopsctl.workers.tvm_schedule import arrange

TARGET = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v3"}


def write_image_net(path: Path) -> Path:
    """Convolutions with strides, groups and sizes that no vector divides, a residual and a pooled end."""
    rng = np.random.default_rng(4)
    sizes = {"k1": (6, 3, 3, 3), "k2": (12, 3, 3, 3), "k3": (12, 6, 1, 1), "w": (12, 5)}
    given = [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in sizes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "k1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "k2"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], group=2),
        helper.make_node("Conv", ["b", "k3"], ["d"], strides=[2, 2]),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "w"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 19, 13])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 5])],
        given,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return path


def answers(model: Path, schedule: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    module, outputs = load(str(model), len(x))
    found: np.ndarray[Any, Any] = call_kernels(module, outputs, {"x": x}, schedule)[0]
    return found


def call_kernels(module: Any, outputs: list[str], feeds: dict[str, Any], schedule: Any) -> list[Any]:
    """What the kernels answer on this processor, called in order by hand."""
    target = tvm.target.Target(TARGET)
    program = lower(module, outputs, target, schedule)
    library = tvm.tirx.build(tvm.IRModule(program.kernels), target=target)
    arena, weights = aligned(program.arena), aligned(len(program.weights))
    weights[: len(program.weights)] = np.frombuffer(bytes(program.weights), np.uint8)

    def place(number: int) -> np.ndarray[Any, Any]:
        tensor = program.tensors[number]
        base = weights if tensor.kind == "weight" else arena
        part = base[tensor.offset : tensor.offset + tensor.bytes]
        return part.view(tensor.dtype).reshape(tensor.shape)

    for name, number in program.inputs:
        place(number)[...] = feeds[name]
    for step in program.steps:
        library[step.kernel](*(tvm.runtime.from_dlpack(place(number)) for number in step.arguments))
    return [place(number).copy() for _, number in program.outputs]


def aligned(size: int) -> np.ndarray[Any, Any]:
    """Bytes that begin where TVM's kernels expect it."""
    room = np.zeros(size + 512, np.uint8)
    return room[-room.ctypes.data % 256 :]


@pytest.mark.parametrize(
    ("write", "shape"),
    [(write_mlp, (4,)), (write_conv, (4,)), (write_image_net, (3, 19, 13))],
    ids=["perceptron", "row", "image"],
)
@pytest.mark.parametrize("batch", [1, 6])
def test_it_changes_no_answer(tmp_path: Path, write: Any, shape: tuple[int, ...], batch: int) -> None:
    model = write(tmp_path / "model.onnx")
    x = np.random.default_rng(3).normal(size=(batch, *shape)).astype(np.float32)
    found = answers(model, arrange, x)
    np.testing.assert_allclose(found, answers(model, lambda module: module, x), rtol=1e-5, atol=1e-6)
    expected = onnxruntime.InferenceSession(str(model)).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_sums_run_beside_each_other_in_vectors(tmp_path: Path) -> None:
    module, _ = load(str(write_image_net(tmp_path / "model.onnx")), 1)
    target = tvm.target.Target(TARGET)
    plain, arranged = (fuse(module, target, schedule).script() for schedule in (lambda given: given, arrange))
    assert "T.vectorized" not in plain
    assert arranged.count("T.vectorized") >= 3
    assert arranged.count("T.unroll") >= 2
