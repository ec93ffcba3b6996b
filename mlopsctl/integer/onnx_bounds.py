"""Closes an open value with its scale, and what Relu, Clip and another scale alone make of a tensor."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from .graph import Op, Refused, Rescale, Reshape, Shape, Trees, sum_bounds
from .onnx_values import Const, End, Open, Reader, Value, Whole

INT32 = (-(1 << 31), (1 << 31) - 1)


def close(reader: Reader, value: Open, name: str, scale: float, zero: int) -> Whole:
    """Writes the operation of an open value, now that its scale is known."""
    low, high = _clamped(value.low, scale, zero), _clamped(value.high, scale, zero)
    folded = _folded(reader, value, name, scale, zero, low, high)
    if folded is not None:
        return folded

    output = name if value.made == value.shape else f"{name}:made"
    op = value.make(output, End(Fraction(scale), zero, low, high))
    least, most = sum_bounds(op)
    if least < INT32[0] or most > INT32[1]:
        raise Refused(f"its sums reach from {least} to {most}, which is more than 32 bits")
    reader.ops.append(op)
    found = reader.tensor(output, value.made, scale, zero)
    return found if output == name else reshaped(reader, found, name, value.shape)


def _clamped(real: float, scale: float, zero: int) -> int:
    if math.isinf(real):
        return -128 if real < 0 else 127
    return min(max(round(Fraction(real) / Fraction(scale)) + zero, -128), 127)


def _folded(reader: Reader, value: Open, name: str, scale: float, zero: int, low: int, high: int) -> Whole | None:
    """A clamp alone, on a tensor of the same scale that nothing else reads: it goes into the operation that makes that."""
    if not value.folds:
        return None
    before = reader.tensors[value.folds]
    if (before.scale, before.zero_point) != (scale, zero):
        return None
    if (low, high) == (-128, 127):
        return Whole(value.folds)
    at = next((place for place, op in enumerate(reader.ops) if op.output == value.folds), None)
    op = None if at is None else reader.ops[at]
    if at is None or op is None or isinstance(op, Reshape | Trees) or reader.uses[value.folds] != 1:
        return None
    by = op.requant
    limits = min(max(by.low, low), high), max(min(by.high, high), low)
    reader.ops[at] = op._replace(output=name, requant=by._replace(low=limits[0], high=limits[1]))
    del reader.tensors[value.folds]
    return reader.tensor(name, before.shape, scale, zero)


def rescaled(reader: Reader, first: Whole) -> Open:
    """A tensor as an open value: it may get another scale, or bounds."""
    tensor = reader.tensors[first.tensor]
    title = reader.node

    def make(output: str, end: End) -> Op:
        return Rescale(title, tensor.name, output, -tensor.zero_point, end.requant([Fraction(tensor.scale)]))

    return Open(make, tensor.shape, tensor.shape, folds=tensor.name)


def _bounded(value: Value, reader: Reader, low: float, high: float) -> Value:
    if isinstance(value, Whole):
        value = rescaled(reader, value)
    if not isinstance(value, Open):
        reader.known(value, "its input")
        raise Refused("bounds what is no tensor")
    return value._replace(low=min(max(value.low, low), high), high=max(min(value.high, high), low))


def relu(reader: Reader, node: Any, given: list[Value]) -> Value:
    return _lonely(reader, node, _bounded(given[0], reader, 0.0, math.inf))


def clip(reader: Reader, node: Any, given: list[Value]) -> Value:
    bounds = [-math.inf, math.inf]
    known = dict(zip([name for name in node.input if name], given, strict=True))
    for place, name in enumerate(node.input[1:3]):
        limit = known.get(name)
        if name:
            if not isinstance(limit, Const) or limit.array.size != 1:
                raise Refused("its bounds are no constants")
            bounds[place] = float(limit.real().ravel()[0])
    return _lonely(reader, node, _bounded(given[0], reader, *bounds))


def _lonely(reader: Reader, node: Any, value: Value) -> Value:
    """Bounds may go into the operation before only where nothing else reads what stands before them."""
    if isinstance(value, Open) and reader.uses[node.input[0]] != 1:
        return value._replace(folds="")
    return value


def reshaped(reader: Reader, value: Whole, name: str, shape: Shape) -> Whole:
    """The same tensor under another shape."""
    tensor = reader.tensors[value.tensor]
    reader.ops.append(Reshape(reader.node, tensor.name, name))
    return reader.tensor(name, shape, tensor.scale, tensor.zero_point)
