"""The nets of ``bench/targets.py``: built with numpy, and with heads that were fitted on the handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
TEST_ROWS = 450


def digits() -> tuple[Array, Array]:
    """Pixels [1797, 64] from 0 to 16 and digits [1797]; the last ``TEST_ROWS`` rows are the test view."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return pixels[order].astype(np.float32), labels[order]


@dataclass
class Net:
    """A graph that grows layer by layer; values are named after what they come from."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def constant(self, name: str, value: Array) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        out = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], out, **attributes))
        return out

    def conv(self, given: str, channels: tuple[int, int], size: int, stride: int = 1, *, relu: bool = True) -> str:
        """Convolution with He's random weights and no bias; residual sums stay of one size by the second half's damping."""
        before, after = channels
        deviation = np.sqrt(2 / (before * size * size))
        weight = self.rng.normal(0, deviation, (after, before, size, size)).astype(np.float32)
        name = self.constant(f"w{len(self.nodes)}", weight)
        pad = size // 2
        out = self.add("Conv", [given, name], strides=[stride, stride], pads=[pad] * 4, kernel_shape=[size, size])
        return self.add("Relu", [out]) if relu else out

    def model(self, last: str, width: int) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", width])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def image(net: Net, scale: int = 1) -> str:
    """The pixels from 0 to 1 as [N, 1, 8 scale, 8 scale]."""
    scaled = net.add("Mul", ["x", net.constant("sixteenth", np.array(1 / 16, np.float32))])
    found = net.add("Reshape", [scaled, net.constant("shape", np.array([-1, 1, 8, 8], np.int64))])
    if scale > 1:
        sizes = net.constant("scales", np.array([1, 1, scale, scale], np.float32))
        found = net.add("Resize", [found, "", sizes], mode="nearest")
    return found


def fit_head(net: Net, features: str, width: int, path: Path) -> Path:
    """Fits a linear layer on the features of the training rows, and writes the whole."""
    import onnxruntime
    from sklearn.linear_model import LogisticRegression

    pixels, labels = digits()
    body = net.model(features, width).SerializeToString()
    session = onnxruntime.InferenceSession(body, providers=["CPUExecutionProvider"])
    rows = pixels[:-TEST_ROWS]
    found = np.concatenate([session.run(None, {"x": part})[0] for part in np.array_split(rows, 20)])
    # One scale for all features: one each would leave weights that no 8 bits can hold.
    middle, spread = found.mean(), found.std()
    head = LogisticRegression(max_iter=1000, C=1.0).fit((found - middle) / spread, labels[:-TEST_ROWS])
    weight = head.coef_.T / spread
    bias = head.intercept_ - middle * weight.sum(axis=0)
    names = [net.constant("head", weight.astype(np.float32)), net.constant("bias", bias.astype(np.float32))]
    last = net.add("Softmax", [net.add("Gemm", [features, *names])], axis=1)
    onnx.save(net.model(last, 10), str(path))
    return path


def mlp(path: Path) -> Path:
    """A perceptron 64-256-128-10 that scikit-learn trained."""
    from sklearn.neural_network import MLPClassifier

    pixels, labels = digits()
    found = MLPClassifier((256, 128), max_iter=25, random_state=0, early_stopping=False)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.fit(pixels[:-TEST_ROWS] / 16, labels[:-TEST_ROWS])
    net, given = Net(), "x"
    for place, (weight, bias) in enumerate(zip(found.coefs_, found.intercepts_, strict=True)):
        scaled = weight / 16 if place == 0 else weight
        names = [
            net.constant(f"w{place}", scaled.astype(np.float32)),
            net.constant(f"b{place}", bias.astype(np.float32)),
        ]
        given = net.add("Gemm", [given, *names])
        given = net.add("Relu", [given]) if place < 2 else net.add("Softmax", [given], axis=1)
    onnx.save(net.model(given, 10), str(path))
    return path


def cnn(path: Path) -> Path:
    """Two convolutions of 16 and 32 channels with random weights, pooled, and a head fitted on digits."""
    net = Net()
    found = net.conv(image(net), (1, 16), 3)
    found = net.add("MaxPool", [found], kernel_shape=[2, 2], strides=[2, 2])
    found = net.conv(found, (16, 32), 3)
    found = net.add("Flatten", [found], axis=1)
    return fit_head(net, found, 32 * 16, path)


def resnet(path: Path) -> Path:
    """The layers of ResNet18 (He et al. 2016) on the digits at 64 x 64, random weights, and a head fitted on digits."""
    net = Net()
    found = net.conv(image(net, 8), (1, 64), 7, 2)
    found = net.add("MaxPool", [found], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for wide in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if wide != channels and block == 0 else 1
            inner = net.conv(found, (channels, wide), 3, stride)
            inner = net.conv(inner, (wide, wide), 3, relu=False)
            beside = found if channels == wide else net.conv(found, (channels, wide), 1, stride, relu=False)
            half = net.constant(f"half{len(net.nodes)}", np.array(np.sqrt(0.5), np.float32))
            found = net.add("Relu", [net.add("Mul", [net.add("Add", [inner, beside]), half])])
            channels = wide
    found = net.add("Flatten", [net.add("GlobalAveragePool", [found])], axis=1)
    return fit_head(net, found, 512, path)


def trees(path: Path) -> Path:
    """30 gradient-boosted trees of depth 3 for each digit, as scikit-learn's exporter writes them."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier

    pixels, labels = digits()
    found = GradientBoostingClassifier(n_estimators=30, random_state=0).fit(pixels[:-TEST_ROWS], labels[:-TEST_ROWS])
    written = to_onnx(found, pixels[:1], options={"zipmap": False}, target_opset=17)
    onnx.save(written, str(path))
    return path


NETS = {"digits MLP": mlp, "digits CNN": cnn, "ResNet18-like": resnet, "gradient-boosted trees": trees}
