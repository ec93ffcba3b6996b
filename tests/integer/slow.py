"""The arithmetic of a graph once more, number by number in plain Python: slow, and nothing in it is clever."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mlopsctl.integer.graph import (
    Add,
    AveragePool,
    Conv2D,
    Graph,
    Linear,
    MaxPool,
    Op,
    Requant,
    Rescale,
    Reshape,
    Tensor,
    Trees,
)


def run(graph: Graph, row: list[int]) -> dict[str, list[int]]:
    """All tensors for one row, flat."""
    values = {graph.source.tensor: row}
    for op in graph.ops:
        values[op.output] = _compute(op, values, graph.tensors)
    return values


def _requant(total: int, by: Requant, channel: int) -> int:
    at = channel if len(by.multiplier) > 1 else 0
    # round() of a Fraction favours the even neighbour.
    found = round(Fraction(total * by.multiplier[at], 2 ** by.shift[at])) + by.zero_point
    return max(by.low, min(by.high, found))


def _compute(op: Op, values: dict[str, list[int]], tensors: dict[str, Tensor]) -> list[int]:
    if isinstance(op, Linear):
        x = values[op.input]
        sums = [sum(int(w) * v for w, v in zip(line, x, strict=True)) for line in op.weight]
        return [_requant(total + int(op.bias[o]), op.requant, o) for o, total in enumerate(sums)]
    if isinstance(op, Conv2D):
        return _conv(op, values[op.input], tensors)
    if isinstance(op, MaxPool | AveragePool):
        return _pool(op, values[op.input], tensors)
    if isinstance(op, Rescale):
        return [_requant(v + op.bias, op.requant, 0) for v in values[op.input]]
    if isinstance(op, Add):
        one, two = op.multipliers
        pairs = zip(values[op.inputs[0]], values[op.inputs[1]], strict=True)
        return [_requant(a * one + b * two + op.bias, op.requant, 0) for a, b in pairs]
    if isinstance(op, Reshape):
        return values[op.input]
    return _trees(op, values[op.input])


def _at(x: list[int], shape: Any, channel: int, y: int, column: int) -> int | None:
    _, height, width = shape
    inside = 0 <= y < height and 0 <= column < width
    return x[(channel * height + y) * width + column] if inside else None


def _conv(op: Conv2D, x: list[int], tensors: dict[str, Tensor]) -> list[int]:
    shape, (outputs, height, width) = tensors[op.input].shape, tensors[op.output].shape
    each, (top, left, _, _) = outputs // op.groups, op.padding
    found = []
    for o in range(outputs):
        for y in range(height):
            for column in range(width):
                total = int(op.bias[o])
                for c in range(op.weight.shape[1]):
                    for ky in range(op.weight.shape[2]):
                        for kx in range(op.weight.shape[3]):
                            place = y * op.stride[0] + ky - top, column * op.stride[1] + kx - left
                            seen = _at(x, shape, (o // each) * op.weight.shape[1] + c, *place)
                            total += int(op.weight[o, c, ky, kx]) * (op.pad if seen is None else seen)
                found.append(_requant(total, op.requant, o))
    return found


def _pool(op: MaxPool | AveragePool, x: list[int], tensors: dict[str, Tensor]) -> list[int]:
    shape, (channels, height, width) = tensors[op.input].shape, tensors[op.output].shape
    top, left, _, _ = op.padding
    found = []
    for c in range(channels):
        for y in range(height):
            for column in range(width):
                seen = [
                    _at(x, shape, c, y * op.stride[0] + ky - top, column * op.stride[1] + kx - left)
                    for ky in range(op.kernel[0])
                    for kx in range(op.kernel[1])
                ]
                if isinstance(op, MaxPool):
                    total = max(value for value in seen if value is not None)
                else:
                    total = sum(op.pad if value is None else value for value in seen)
                found.append(_requant(total + op.bias, op.requant, c))
    return found


def _trees(op: Trees, x: list[int]) -> list[int]:
    votes = [int(number) for number in op.base]
    for root in op.roots:
        at = int(root)
        while op.feature[at] >= 0:
            at = int(op.left[at] if x[op.feature[at]] <= op.threshold[at] else op.right[at])
        for vote in range(op.left[at], op.right[at]):
            votes[op.vote_class[vote]] += int(op.vote_value[vote])
    return votes
