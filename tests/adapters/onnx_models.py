"""Small real ONNX models, written by hand so that every test says what its model does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(
    folder: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    *,
    metadata: dict[str, str] | None = None,
    domains: Sequence[tuple[str, int]] = (("", 17),),
) -> Path:
    """Writes ``folder/model.onnx``."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*item) for item in domains], ir_version=10)
    helper.set_model_props(model, metadata or {})
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))
    return folder / "model.onnx"


def port(name: str, shape: Sequence[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def linear(
    folder: Path,
    weights: Any,
    bias: Any = 0.0,
    *,
    softmax: bool = False,
    batch: Any = "N",
    output: str = "y",
    metadata: dict[str, str] | None = None,
) -> Path:
    """``x @ weights + bias``, with softmax where asked: input ``x`` [batch, F], output [batch, K]."""
    matrix = np.asarray(weights, np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["z" if softmax else output])]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["z"], [output], axis=1))
    return save(
        folder,
        nodes,
        [port("x", [batch, matrix.shape[0]])],
        [port(output, [batch, matrix.shape[1]])],
        {"w": matrix, "b": np.broadcast_to(np.asarray(bias, np.float32), (matrix.shape[1],)).copy()},
        metadata=metadata,
    )
