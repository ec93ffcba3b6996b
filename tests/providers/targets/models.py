"""Small real models: built once a test, run by the real runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_mlp(path: Path, *, features: int = 4, classes: int = 3, seed: int = 0, opset: int = 17) -> Path:
    """A perceptron of Gemm, Relu and Softmax with fixed random weights; input ``x`` [N, features]."""
    rng = np.random.default_rng(seed)
    hidden = 8
    weights = {
        "w1": rng.normal(size=(features, hidden)),
        "b1": rng.normal(size=hidden),
        "w2": rng.normal(size=(hidden, classes)),
        "b2": rng.normal(size=classes),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["z"]),
        helper.make_node("Softmax", ["z"], ["p"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", features])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, str(path))
    return path


def write_tree(path: Path, *, features: int = 4) -> Path:
    """A decision tree of scikit-learn as ONNX: operators of ai.onnx.ml, outputs ``label`` and ``probabilities``."""
    from skl2onnx import to_onnx
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, features)).astype(np.float32)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0))
    onnx.save(to_onnx(tree, x[:1], options={"zipmap": False}, target_opset=17), str(path))
    return path
