"""ONNX's own tests of single operators, through TVM's kernels as they come and as they are arranged."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

tvm = pytest.importorskip("tvm", reason="the extra tvm is not installed")

from tvm.relax.frontend.onnx import from_onnx

from mlopsctl.workers.tvm_schedule import arrange
from tests.workers.test_tvm_schedule import call_kernels

OPERATORS = [
    "Add",
    "ArgMax",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Div",
    "Erf",
    "Exp",
    "Flatten",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "InstanceNormalization",
    "LeakyRelu",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
]


@cache
def cases() -> dict[str, list[Any]]:
    """Cases of one node whose inputs are numbers, by operator."""
    from onnx.backend.test.case.node import collect_testcases

    found: dict[str, list[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            given: Any = (case.data_sets or [((), ())])[0][0]
            model: Any = case.model
            plain = all(isinstance(array, np.ndarray) and array.dtype.kind in "fiu" for array in given)
            whole = plain and given and all(array.dtype.itemsize >= 4 and array.size for array in given)
            if whole and len(model.graph.node) == 1 and len(given) == len(model.graph.input):
                found.setdefault(model.graph.node[0].op_type, []).append(case)
    return found


def taken(case: Any) -> tuple[Any, dict[str, Any]]:
    """The model with whole numbers behind the first input as constants, as exporters write shapes and axes; its inputs."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    feeds = {}
    for at, (port, given) in enumerate(zip(list(model.graph.input), case.data_sets[0][0], strict=True)):
        array = np.asarray(given)
        if at and array.dtype == np.int64:
            model.graph.initializer.append(numpy_helper.from_array(array, port.name))
            model.graph.input.remove(port)
        else:
            feeds[port.name] = array
    return model, feeds


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_answers_as_onnx_says(operator: str) -> None:
    """A case that TVM cannot take is refused, and every other one is right; at least one is taken."""
    right = 0
    for case in cases()[operator]:
        model, feeds = taken(case)
        outputs = [port.name for port in model.graph.output]
        try:
            module = from_onnx(model, shape_dict={name: list(array.shape) for name, array in feeds.items()})
            found = call_kernels(module, outputs, feeds, arrange)
        except Exception:  # noqa: BLE001 — whatever is raised becomes a refusal in the worker
            continue
        for mine, expected in zip(found, case.data_sets[0][1], strict=True):
            assert mine.shape == np.asarray(expected).shape, case.name
            np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-4, err_msg=case.name)
        right += 1
    assert right
