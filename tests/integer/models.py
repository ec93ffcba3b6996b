"""Small ONNX models and their quantised forms, as ONNX Runtime makes them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.integer.graph import Array


class Net:
    """Writes a float model node by node; weights are random and fixed by ``seed``."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape, self.rng = shape, np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [name], f"n{len(self.nodes)}", domain=domain, **attributes)
        )
        return name

    def constant(self, array: Array) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def random(self, *shape: int) -> str:
        scale = np.prod(shape[1:], dtype=float) ** -0.5 if len(shape) > 1 else 0.3
        return self.constant(self.rng.normal(0, scale, shape).astype(np.float32))

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        return self.node("Gemm", x, self.random(outputs, inputs), self.random(outputs), transB=1)

    def conv(self, x: str, inputs: int, outputs: int, size: int, **attributes: Any) -> str:
        groups = attributes.get("group", 1)
        weight, bias = self.random(outputs, inputs // groups, size, size), self.random(outputs)
        return self.node("Conv", x, weight, bias, kernel_shape=[size, size], **attributes)

    def model(self, *outputs: tuple[str, tuple[int, ...]], rows: str | int = "N", opset: int = 17) -> Any:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, *shape]) for name, shape in outputs]
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, *self.shape])
        self_nodes = [*self.nodes]
        self_nodes[0].input[0] = "x"
        graph = helper.make_graph(self_nodes, "net", [source], ends, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def mlp(sizes: tuple[int, ...] = (6, 8, 5, 3), seed: int = 0) -> Any:
    net = Net((sizes[0],), seed)
    x = "x"
    for before, after in itertools.pairwise(sizes[:-1]):
        x = net.node("Relu", net.gemm(x, before, after))
    return net.model((net.node("Softmax", net.gemm(x, sizes[-2], sizes[-1]), axis=1), (sizes[-1],)))


def cnn(seed: int = 0) -> Any:
    """Convolutions with padding, stride and groups, a residual sum, both pools and a dense end."""
    net = Net((2, 8, 8), seed)
    first = net.node("Relu", net.conv("x", 2, 4, 3, pads=[1, 1, 1, 1]))
    deep = net.node("Relu", net.conv(first, 4, 4, 3, pads=[1, 1, 1, 1], group=4))
    both = net.node("Relu", net.node("Add", first, deep))
    small = net.node("MaxPool", both, kernel_shape=[2, 2], strides=[2, 2])
    last = net.node(
        "Clip",
        net.conv(small, 4, 6, 3, strides=[2, 2], pads=[1, 1, 1, 1]),
        *(net.constant(np.array(limit, np.float32)) for limit in (0, 6)),
    )
    mean = net.node("AveragePool", last, kernel_shape=[2, 2])
    flat = net.node("Flatten", mean)
    return net.model((net.gemm(flat, 6, 3), (3,)))


def quantised(model: Any, rows: Array, folder: Path, *, symmetric: bool = True, per_channel: bool = False) -> Any:
    """The model in int8 by QDQ, calibrated on the rows."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts = iter(np.array_split(rows, max(len(rows) // 32, 1)))

        def get_next(self) -> dict[str, Array] | None:
            part = next(self.parts, None)
            return None if part is None else {model.graph.input[0].name: part}

    onnx.save(model, str(folder / "float.onnx"))
    quantize_static(
        str(folder / "float.onnx"),
        str(folder / "int8.onnx"),
        Rows(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
    )
    return onnx.load(str(folder / "int8.onnx"))


def answers(model: Any, rows: Array) -> dict[str, Array]:
    """What ONNX Runtime answers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: rows})
    return {item.name: np.asarray(value) for item, value in zip(session.get_outputs(), found, strict=True)}
