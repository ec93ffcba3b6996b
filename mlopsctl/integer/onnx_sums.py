"""Layers that multiply by weights: Gemm, MatMul and Conv."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .graph import Array, Conv2D, Linear, Op, Refused, Shape, Tensor
from .onnx_bounds import INT32
from .onnx_values import Const, End, Open, Reader, Value, attributes
from .onnx_windows import convolution_window

Layer = Callable[[str, Array, End], Op]
"""The operation of this name with this bias (int32) and end."""


def gemm(reader: Reader, node: Any, given: list[Value]) -> Value:
    known = attributes(node)
    if known.get("alpha", 1.0) != 1 or known.get("beta", 1.0) != 1 or known.get("transA", 0):
        raise Refused("alpha, beta and transA other than 1, 1 and 0 are not known")
    return _linear(reader, given, bool(known.get("transB", 0)), given[2] if len(given) > 2 else None)


def matmul(reader: Reader, node: Any, given: list[Value]) -> Value:
    return _linear(reader, given, False, None)


def _linear(reader: Reader, given: list[Value], turned: bool, bias: Value | None) -> Open:
    source = reader.known(given[0], "its first input")
    array, scales, axis = _weights(given[1])
    if array.ndim != 2 or len(source.shape) != 1:
        raise Refused(f"multiplies {source.shape} a row by {array.shape}; rows of numbers by a matrix are known")
    weight, channel = (array, 0) if turned else (np.ascontiguousarray(array.T), 1)
    if weight.shape[1] != source.size:
        raise Refused(f"takes {weight.shape[1]} numbers where {source.size} come")
    if scales.size > 1 and axis != channel:
        raise Refused("its weights have a scale for each input; one for all, or for each output, is known")
    title, worth = reader.node, _worth(source, scales)

    def layer(output: str, total: Array, end: End) -> Op:
        return Linear(title, source.name, output, weight, total, end.requant(worth))

    return _open(layer, _bias(bias, len(weight), worth) - _taken(source, weight), worth, (len(weight),))


def conv(reader: Reader, node: Any, given: list[Value]) -> Value:
    source = reader.known(given[0], "its first input")
    weight, scales, axis = _weights(given[1])
    if scales.size > 1 and axis != 0:
        raise Refused("its weights have a scale for each input; one for all, or for each output, is known")
    window = convolution_window(attributes(node), source.shape, weight.shape)
    title, worth, pad = reader.node, _worth(source, scales), source.zero_point

    def layer(output: str, total: Array, end: End) -> Op:
        stride, padding, groups = window.stride, window.padding, window.groups
        return Conv2D(title, source.name, output, weight, total, stride, padding, groups, pad, end.requant(worth))

    bias = _bias(given[2] if len(given) > 2 else None, len(weight), worth)
    return _open(layer, bias - _taken(source, weight), worth, (len(weight), *window.size))


def _weights(value: Value) -> tuple[Array, Array, int]:
    """Whole numbers, their scales and the axis of these."""
    if not isinstance(value, Const) or value.scale is None:
        raise Refused("its weights are no int8 constants; quantise weights and activations (QDQ)")
    if value.array.dtype != np.int8:
        raise Refused(f"its weights are {value.array.dtype}; int8 is known")
    if not np.isfinite(value.scale).all() or (value.scale <= 0).any():
        raise Refused("its weights have a scale that is no positive number")
    return value.array, value.scale.ravel(), value.axis


def _worth(source: Tensor, scales: Array) -> list[Fraction]:
    """What one unit of the sum stands for, for all channels or each."""
    return [Fraction(source.scale) * Fraction(float(scale)) for scale in scales]


def _taken(source: Tensor, weight: Array) -> Array:
    """What the input's zero point adds to every sum."""
    found: Array = source.zero_point * weight.reshape(len(weight), -1).astype(np.int64).sum(axis=1)
    return found


def _bias(bias: Value | None, outputs: int, worth: list[Fraction]) -> Array:
    if bias is None:
        return np.zeros(outputs, np.int64)
    if not isinstance(bias, Const):
        raise Refused("its bias is no constant")
    if bias.scale is not None and bias.array.dtype == np.int32:
        expected = np.array([float(item) for item in worth])
        # As ONNX Runtime writes it: the product of both scales, rounded to float32.
        if bias.scale.size in (1, expected.size) and np.allclose(bias.scale, expected, rtol=1e-5, atol=0):
            return np.broadcast_to(bias.array.astype(np.int64).ravel(), outputs)
    return _in_units(bias.real(), outputs, worth)


def _in_units(real: Array, outputs: int, worth: list[Fraction]) -> Array:
    flat = real.astype(np.float64).ravel()
    if flat.size not in (1, outputs):
        raise Refused(f"a constant of {flat.size} numbers is added to {outputs} channels")
    found = np.broadcast_to(np.rint(flat / np.array([float(item) for item in worth])), outputs)
    if (np.abs(found) > 1 << 40).any():
        raise Refused("its bias is out of proportion to its scale")
    return found.astype(np.int64)


def _open(layer: Layer, bias: Array, worth: list[Fraction], shape: Shape) -> Open:
    def make(output: str, end: End) -> Op:
        if bias.min(initial=0) < INT32[0] or bias.max(initial=0) > INT32[1]:
            raise Refused(f"its bias reaches {int(np.abs(bias).max())}, which is more than 32 bits")
        return layer(output, bias.astype(np.int32), end)

    def plus(more: Array) -> Open:
        return _open(layer, bias + _in_units(more, len(bias), worth), worth, shape)

    return Open(make, shape, shape, plus)
