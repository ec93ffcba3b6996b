"""Handwritten digits: real rows, a perceptron 64-32-16-10 that was trained on them, and a bench that has both."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.adapters.quantisation import CALIBRATION
from mlopsctl.types import Address, Input, Need, Observed
from tests.providers.targets.bench import Bench

TEST_ROWS = 450


@cache
def rows() -> tuple[Any, Any]:
    """Pixels [1797, 64] from 0 to 16 and digits [1797]; the last ``TEST_ROWS`` are the test view."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    return pixels[order].astype(np.float32), digits[order]


@cache
def _trained() -> tuple[list[Any], list[Any]]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    pixels, digits = rows()
    net = MLPClassifier((32, 16), max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(pixels[:-TEST_ROWS] / 16, digits[:-TEST_ROWS])
    return net.coefs_, net.intercepts_


def write_digits_mlp(path: Path, *, softmax: bool = True) -> Path:
    """The perceptron as Gemm and Relu; input ``x`` [N, 64] as the data has it, output ``p`` [N, 10]."""
    weights, biases = _trained()
    tensors, nodes, given = [], [], "x"
    for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        scaled = weight / 16 if place == 0 else weight
        tensors += [numpy_helper.from_array(scaled.astype(np.float32), f"w{place}")]
        tensors += [numpy_helper.from_array(bias.astype(np.float32), f"b{place}")]
        last = place == len(weights) - 1
        out = ("z" if softmax else "p") if last else f"h{place}"
        nodes.append(helper.make_node("Gemm", [given, f"w{place}", f"b{place}"], [out], f"dense{place}"))
        given = out
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"r{place}"], f"relu{place}"))
            given = f"r{place}"
    if softmax:
        nodes.append(helper.make_node("Softmax", ["z"], ["p"], "softmax", axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 10])],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return path


class DigitsBench(Bench):
    """A bench with the digits as test view and, as calibration rows, the training view."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        pixels, digits = rows()
        names = [f"p{place}" for place in range(64)]
        self.data_facts = {
            "format": "csv",
            "label": "label",
            "columns": [*names, "label"],
            "features": names,
            "classes": list(range(10)),
        }
        self.training = root / "train.csv"
        for file, chosen in ((self.rows, slice(-TEST_ROWS, None)), (self.training, slice(0, -TEST_ROWS))):
            with file.open("w", newline="") as out:
                writer = csv.writer(out)
                writer.writerow([*names, "label"])
                for row, digit in zip(pixels[chosen], digits[chosen], strict=True):
                    writer.writerow([*(f"{value:g}" for value in row), int(digit)])

    def inputs(self, folder: Path, facts: Any) -> tuple[Input, ...]:
        train = self.store.put(self.training)
        seen = Observed(train, {"train": train}, self.data_facts)
        return (*super().inputs(folder, facts), Input(Need(CALIBRATION, Address("data", "rows"), "train"), seen))
