"""Reads an ONNX model, int8 by QuantizeLinear and DequantizeLinear or trees, as a graph in whole numbers.

A float value between two such nodes has no whole number yet: it is *open* until the QuantizeLinear behind it says scale and
zero point. Whatever has no exact form is refused with the name of its node.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import onnx_bounds, onnx_ends, onnx_layers, onnx_trees
from .graph import Graph, Refused, Sink, Source, Step, inputs_of
from .onnx_shapes import new_shape
from .onnx_values import Const, Ended, Open, Raw, Reader, Value, Whole

_PASS = ("Identity", "Dropout", "Cast")
_STEPS = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}
_MOST_STEPS = 16


def read(model: Any) -> Graph:
    """The graph of a parsed ONNX model (``onnx.ModelProto``) whose weights it holds itself.

    Raises Refused, naming the node, for operators, shapes and numbers that have no form in whole numbers here.
    """
    reader = Reader(model)
    values: dict[str, Value] = {name: Const(array) for name, array in reader.constants.items()}
    values[reader.input] = Raw(())
    for node in model.graph.node:
        place = reader.place(node)
        try:
            for name, value in zip(node.output, _read(reader, node, values), strict=False):
                values[name] = value
        except Refused as refused:
            raise refused if refused.node else Refused(str(refused), place) from None
        except KeyError as missing:
            raise Refused(f"reads {missing}, which nothing before it makes", place) from None
    sinks = tuple(onnx_ends.sink(reader, item, values[item.name]) for item in model.graph.output)
    if len({sink.tensor for sink in sinks}) != 1:
        raise Refused("its outputs come from different tensors; a device answers with one")
    if reader.source is None:
        raise Refused("its input is never quantised: quantise the model first (QuantizeLinear behind the input)")
    return _needed(Graph(reader.tensors, tuple(reader.ops), reader.source, sinks), sinks)


def _read(reader: Reader, node: Any, values: dict[str, Value]) -> list[Value]:
    """What a node's outputs are."""
    given = [values[name] for name in node.input if name]
    kind = node.op_type
    if kind == "Constant":
        return [Const(reader.constant(node))]
    if node.domain == "ai.onnx.ml":
        return onnx_trees.read(reader, node, given)
    if node.domain not in ("", "ai.onnx"):
        raise Refused(f"operator {node.domain}::{kind} is not of the standard")
    first = given[0] if given else None
    if all(isinstance(value, Const) for value in given):
        return [_constant(node, [v for v in given if isinstance(v, Const)])]
    if kind in _PASS:
        return [first] if first is not None else []
    if kind == "QuantizeLinear":
        return [_quantise(reader, node, given)]
    if kind == "DequantizeLinear":
        return [_dequantise(given)]
    if isinstance(first, Ended) or kind in onnx_ends.KINDS:
        return [onnx_ends.read(reader, node, given)]
    if isinstance(first, Raw) and kind in (*_STEPS, "Reshape", "Flatten"):
        return [_step(reader, node, first, given)]
    if kind in onnx_layers.KINDS:
        return [onnx_layers.read(reader, node, given)]
    raise Refused(f"operator {kind} has no form in whole numbers here")


def _constant(node: Any, given: list[Const]) -> Value:
    """A node of constants alone: the weights behind a DequantizeLinear."""
    if node.op_type in _PASS:
        return given[0]
    if node.op_type != "DequantizeLinear":
        raise Refused(f"{node.op_type} of constants alone; fold constants first (onnxruntime does at its basic level)")
    array, scale = given[0].array, given[1].array
    point = given[2].array if len(given) > 2 else np.zeros((), array.dtype)
    axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
    if np.any(point != 0):
        raise Refused("weights with a zero point; quantise weights symmetrically")
    return Const(array, np.atleast_1d(scale).astype(np.float32), axis % max(array.ndim, 1))


def _dequantise(given: list[Value]) -> Value:
    first = given[0]
    if not isinstance(first, Whole | Ended):
        raise Refused("dequantises what no QuantizeLinear made")
    return first


def _quantise(reader: Reader, node: Any, given: list[Value]) -> Value:
    """Gives an open value its scale, or the input its first tensor."""
    first = given[0]
    scale, point = given[1], given[2] if len(given) > 2 else Const(np.zeros((), np.uint8))
    if not isinstance(scale, Const) or not isinstance(point, Const) or scale.array.size != 1:
        raise Refused("activations need one constant scale and zero point")
    real, zero = float(scale.array.ravel()[0]), int(point.array.ravel()[0])
    if not np.isfinite(real) or real <= 0:
        raise Refused(f"its scale is {real:g}")
    if point.array.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
        raise Refused(f"quantises to {point.array.dtype}; int8 and uint8 are known")
    # uint8 is int8 with another zero point: everything here is int8.
    zero -= 128 if point.array.dtype == np.uint8 else 0
    name = node.output[0]
    if isinstance(first, Raw):
        shape = first.shape or reader.input_shape
        if reader.source is not None:
            raise Refused("quantises the input a second time")
        reader.source = Source(reader.input, name, first.steps, ())
        return reader.tensor(name, shape, real, zero)
    if isinstance(first, Whole):
        first = onnx_bounds.rescaled(reader, first)
    if isinstance(first, Open):
        return onnx_bounds.close(reader, first, name, real, zero)
    if isinstance(first, Ended):
        return first
    raise Refused("quantises what is no tensor between layers")


def _step(reader: Reader, node: Any, first: Raw, given: list[Value]) -> Value:
    """Arithmetic with constants on the float input: it stays on the host."""
    if node.op_type in ("Reshape", "Flatten"):
        shape = new_shape(node, first.shape or reader.input_shape, given)
        return Raw(first.steps, shape)
    other = given[1]
    if not isinstance(other, Const) or len(first.steps) >= _MOST_STEPS:
        raise Refused(f"{node.op_type} of the input with something that is no constant")
    value = other.real().astype(np.float32)
    size = int(np.prod(first.shape or reader.input_shape))
    if value.size not in (1, size):
        raise Refused(
            f"{node.op_type} of the input with {value.size} numbers; one, or one for each of {size}, is known"
        )
    kind = _STEPS[node.op_type]
    return Raw((*first.steps, Step(kind, value.reshape(-1))), first.shape)  # type: ignore[arg-type]


def _needed(graph: Graph, sinks: tuple[Sink, ...]) -> Graph:
    """Without operations and tensors that no output comes from."""
    wanted = {sinks[0].tensor}
    ops = []
    for op in reversed(graph.ops):
        if op.output in wanted:
            wanted.update(inputs_of(op))
            ops.append(op)
    return graph._replace(tensors={n: t for n, t in graph.tensors.items() if n in wanted}, ops=tuple(reversed(ops)))
