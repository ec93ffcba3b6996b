"""Small real models: built once a test, run by the real runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_mlp(
    path: Path, *, features: int = 4, classes: int = 3, seed: int = 0, opset: int = 17, hidden: int = 8
) -> Path:
    """A perceptron of Gemm, Relu and Softmax with fixed random weights; input ``x`` [N, features]."""
    rng = np.random.default_rng(seed)
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


def write_conv(path: Path, *, features: int = 4, classes: int = 3) -> Path:
    """A small convolution over a row of numbers, with padding, groups, pooling, batch normalisation and a residual."""
    rng = np.random.default_rng(2)
    sizes = {"k1": (4, 1, 1, 3), "k2": (4, 2, 1, 3), "g": (4,), "b": (4,), "m": (4,), "w": (4 * features // 2, classes)}
    weights = {name: rng.normal(size=size) for name, size in sizes.items()}
    weights["v"] = rng.uniform(0.5, 2, size=4)
    nodes = [
        helper.make_node("Reshape", ["x", "image"], ["i"]),
        helper.make_node("Conv", ["i", "k1"], ["c"], pads=[0, 1, 0, 1]),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "k2"], ["d"], pads=[0, 1, 0, 1], group=2),
        helper.make_node("Add", ["d", "r"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["p2"], kernel_shape=[1, 2], strides=[1, 2]),
        helper.make_node("Flatten", ["p2"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["p"], axis=1),
    ]
    given = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    given.append(numpy_helper.from_array(np.array([-1, 1, 1, features], np.int64), "image"))
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", features])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", classes])],
        given,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return path
