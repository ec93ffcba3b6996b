"""The layers of a quantised ONNX model: each becomes an operation once the scale of its result is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .fixed import BITS, nearest
from .graph import Add, AveragePool, MaxPool, Op, Refused, Requant, Shape, Tensor
from .onnx_bounds import clip, relu, reshaped
from .onnx_shapes import axes_of, new_shape
from .onnx_sums import conv, gemm, matmul
from .onnx_values import Const, End, Open, Reader, Value, Whole, attributes
from .onnx_windows import Window, average_window, pool_window


def read(reader: Reader, node: Any, given: list[Value]) -> Value:
    """What a layer's result is: open until it is quantised."""
    return _READERS[node.op_type](reader, node, given)


def _max_pool(reader: Reader, node: Any, given: list[Value]) -> Value:
    source = reader.known(given[0], "its input")
    if len(node.output) > 1 and node.output[1]:
        raise Refused("gives places of the largest numbers")
    window = pool_window(attributes(node), source.shape, node.op_type == "GlobalMaxPool")
    title = reader.node

    def make(output: str, end: End) -> Op:
        kernel, stride, padding = window.kernel, window.stride, window.padding
        bias = -source.zero_point
        return MaxPool(title, source.name, output, kernel, stride, padding, bias, end.requant([Fraction(source.scale)]))

    shape = (source.shape[0], *window.size)
    return Open(make, shape, shape)


def _average_pool(reader: Reader, node: Any, given: list[Value]) -> Value:
    source = reader.known(given[0], "its input")
    window, shape = average_window(node.op_type, attributes(node), source.shape, axes_of(given))
    return _averaged(reader.node, source, window, shape)


def _averaged(title: str, source: Tensor, window: Window, shape: Shape) -> Open:
    def make(output: str, end: End) -> Op:
        count = window.kernel[0] * window.kernel[1]
        return AveragePool(
            title,
            source.name,
            output,
            window.kernel,
            window.stride,
            window.padding,
            -source.zero_point * count,
            source.zero_point,
            end.requant([Fraction(source.scale) / count]),
        )

    return Open(make, (source.shape[0], *window.size), shape)


def _add(reader: Reader, node: Any, given: list[Value]) -> Value:
    constants = [value for value in given if isinstance(value, Const)]
    sums = [value for value in given if isinstance(value, Open)]
    if len(constants) == 1 and len(sums) == 1 and sums[0].plus is not None:
        if (sums[0].low, sums[0].high) != (-math.inf, math.inf) or sums[0].made != sums[0].shape:
            raise Refused("adds a constant behind Relu, Clip or Reshape")
        return sums[0].plus(constants[0].real())
    if constants:
        raise Refused("adds a constant to what is quantised already; fold it into Gemm or Conv before quantising")
    first, second = (reader.known(value, "an input") for value in given)
    if first.shape != second.shape:
        raise Refused(f"adds {first.shape} and {second.shape}; equal shapes are known")
    title = reader.node

    def make(output: str, end: End) -> Op:
        # One shift for both: the larger factor has all 16 bits.
        factors = [Fraction(item.scale) / end.scale for item in (first, second)]
        shift = nearest(max(factors)).shift
        one, two = (min(round(factor * (1 << shift)), (1 << BITS) - 1) for factor in factors)
        bias = -one * first.zero_point - two * second.zero_point
        by = Requant((1,), (shift,), end.zero_point, end.low, end.high)
        return Add(title, (first.name, second.name), output, (one, two), bias, by)

    return Open(make, first.shape, first.shape)


def _reshape(reader: Reader, node: Any, given: list[Value]) -> Value:
    first = given[0]
    if isinstance(first, Open):
        return first._replace(shape=new_shape(node, first.shape, given), plus=None, folds="")
    tensor = reader.known(first, "its input")
    return reshaped(reader, Whole(tensor.name), node.output[0], new_shape(node, tensor.shape, given))


_READERS: dict[str, Callable[[Reader, Any, list[Value]], Value]] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Conv": conv,
    "MaxPool": _max_pool,
    "GlobalMaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _average_pool,
    "ReduceMean": _average_pool,
    "Relu": relu,
    "Clip": clip,
    "Add": _add,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
}
KINDS = tuple(_READERS)
