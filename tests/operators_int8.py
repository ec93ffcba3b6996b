"""A node test of ONNX in 8 bits: the node between QuantizeLinear and DequantizeLinear, as a quantised model has it, read as
a graph of whole numbers (which the targets fpga, asic and mcu compile) and executed beside ONNX Runtime on the same model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_UNITS = 2.001
"""Units of the last place: fixed point and float32 differ where a sum lies next to a half."""


def takes(case: Any) -> bool:
    """Whether some form of the node is read, and every set gives what ONNX Runtime gives, within two units."""
    from mlopsctl.integer.from_onnx import read

    forms: list[Callable[[Any, Sequence[Any]], Any]] = [_as_it_is]
    forms += [partial(_in_8_bits, tied=tied, ends=ends) for tied, ends in _FORMS]
    for form in forms:
        try:
            return all(_agrees(read(form(case, given)), form(case, given), given[0]) for given, _ in case.sets)
        except Exception:  # noqa: BLE001 — a form that is refused, or is no model at all, says nothing of the next one
            continue
    return False


_FORMS = tuple(itertools.product((False, True), (False, True)))


def _as_it_is(case: Any, given: Sequence[Any]) -> Any:
    return case.model


def _agrees(graph: Any, model: Any, rows: Any) -> bool:
    import onnxruntime

    from mlopsctl.integer import reference

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    wanted = dict(zip(names, session.run(names, {session.get_inputs()[0].name: rows}), strict=True))
    found = reference.finish(graph, reference.run(graph, reference.quantise(graph, rows)))
    unit = graph.result.scale if graph.sinks[0].tail == "none" else 0.02
    return set(found) <= set(wanted) and all(
        found[name].shape == wanted[name].shape
        and np.abs(found[name].astype(float) - wanted[name].astype(float)).max(initial=0) <= _UNITS * unit
        for name in found
    )


def _in_8_bits(case: Any, given: Sequence[Any], *, tied: bool, ends: bool) -> Any:
    """The case's node on one input of rows; its other inputs are constants, or with ``tied`` the same rows. ``ends``: the
    outputs are not quantised, as those of a Softmax at a model's end are not."""
    node, rows = case.model.graph.node[0], given[0]
    if node.domain not in ("", "ai.onnx") or rows.dtype != np.float32 or rows.ndim < 2 or len(node.output) != 1:
        raise ValueError("no node of one output on rows of float32")
    constants: list[Any] = []
    nodes = _around("x", "x_", rows, constants)
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    named = dict(zip(case.inputs, given, strict=True))
    for place, name in enumerate(node.input):
        if place == 0:
            copy.input[0] = "x_"
        elif name and tied and named[name].shape == rows.shape:
            copy.input[place] = "x_"
        elif name:
            copy.input[place] = _constant(f"c{place}", named[name], nodes, constants)
    copy.output[0] = "y" if ends else "y_"
    wanted = case.sets[0][1][0]
    nodes.append(copy)
    if not ends:
        nodes += _around("y_", "y", wanted, constants)
    kind = helper.np_dtype_to_tensor_dtype(wanted.dtype)
    graph = helper.make_graph(
        nodes,
        case.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *rows.shape[1:]])],
        [helper.make_tensor_value_info("y", kind, ["N", *wanted.shape[1:]])],
        constants,
    )
    return helper.make_model(graph, opset_imports=case.model.opset_import, ir_version=10)


def _scale(values: Any) -> np.float32:
    return np.float32(max(float(np.abs(values).max(initial=0)), 1e-3) / 127)


def _around(before: str, after: str, values: Any, constants: list[Any]) -> list[Any]:
    """QuantizeLinear and DequantizeLinear from one name to the other."""
    constants.append(numpy_helper.from_array(np.array(_scale(values)), f"{after}scale"))
    constants.append(numpy_helper.from_array(np.array(0, np.int8), f"{after}zero"))
    return [
        helper.make_node("QuantizeLinear", [before, f"{after}scale", f"{after}zero"], [f"{after}whole"]),
        helper.make_node("DequantizeLinear", [f"{after}whole", f"{after}scale", f"{after}zero"], [after]),
    ]


def _constant(name: str, values: Any, nodes: list[Any], constants: list[Any]) -> str:
    """An input that is the model's own: weights in 8 bits, and biases, shapes and axes as they are."""
    if values.dtype != np.float32 or values.ndim < 2:
        constants.append(numpy_helper.from_array(values, name))
        return name
    scale = _scale(values)
    constants.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}whole"))
    constants.append(numpy_helper.from_array(np.array(scale), f"{name}scale"))
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}whole", f"{name}scale"], [name]))
    return name
