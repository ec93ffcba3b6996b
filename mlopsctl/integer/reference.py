"""Executes a graph in numpy, all rows at once: what every circuit and every C program must answer, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .fixed import half_even, scaled
from .graph import (
    Add,
    Array,
    AveragePool,
    Conv2D,
    Graph,
    Linear,
    MaxPool,
    Op,
    Refused,
    Rescale,
    Reshape,
    Sink,
    Source,
    Tensor,
    Trees,
)

ROWS = 256
"""Rows executed at once: windows of a convolution take their area times the memory of the rows."""
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "uint16": (0, 65535)}


def quantise(graph: Graph, rows: Array) -> Array:
    """Float rows as the whole numbers that the first tensor holds: the host's part.

    Raises Refused for rows of another width or with NaN, which has no place among whole numbers.
    """
    source, tensor = graph.source, graph.tensors[graph.source.tensor]
    x = np.asarray(rows, np.float32).reshape(len(rows), -1)
    if x.shape[1] != tensor.size:
        raise Refused(f"input '{source.name}' has {x.shape[1]} numbers a row where the model takes {tensor.size}")
    if np.isnan(x).any():
        raise Refused(f"input '{source.name}' holds NaN, which whole numbers can not express")
    x = _steps(source, x)
    if source.ranks:
        columns = [np.searchsorted(known, x[:, at], side="left") for at, known in enumerate(source.ranks)]
        found = np.stack(columns, axis=1)
    else:
        low, high = _LIMITS[tensor.dtype]
        found = np.clip(np.rint(x / np.float32(tensor.scale)) + tensor.zero_point, low, high)
    return found.astype(tensor.dtype).reshape(len(x), *tensor.shape)


def _steps(source: Source, x: Array) -> Array:
    for step in source.steps:
        apply = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[step.op]
        x = apply(x, step.value.astype(np.float32)).astype(np.float32)
    return x


def run(graph: Graph, rows: Array) -> dict[str, Array]:
    """All tensors for rows of whole numbers, by name: arrays [rows, …] of each tensor's type."""
    parts = [_run(graph, rows[start : start + ROWS]) for start in range(0, max(len(rows), 1), ROWS)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _run(graph: Graph, rows: Array) -> dict[str, Array]:
    values: dict[str, Array] = {graph.source.tensor: rows}
    for op in graph.ops:
        tensor = graph.tensors[op.output]
        found = _compute(op, values, tensor)
        values[op.output] = found.reshape(len(rows), *tensor.shape).astype(tensor.dtype)
    return values


def _compute(op: Op, values: Mapping[str, Array], tensor: Tensor) -> Array:
    if isinstance(op, Add):
        first, second = (values[name].astype(np.int64) for name in op.inputs)
        sums = first * op.multipliers[0] + second * op.multipliers[1] + op.bias
        by = op.requant
        found: Array = np.clip(half_even(sums, by.shift[0]) + by.zero_point, by.low, by.high)
        return found
    x = values[op.input]
    if isinstance(op, Linear):
        # No sum reaches 2**53, so the fast product of float64 is exact.
        sums = (x.reshape(len(x), -1).astype(np.float64) @ op.weight.T.astype(np.float64)).astype(np.int64)
        return scaled(sums + op.bias.astype(np.int64), op.requant, 1)
    if isinstance(op, Conv2D):
        return scaled(_convolved(op, x, tensor), op.requant, 1)
    if isinstance(op, MaxPool):
        windows = _windows(x, op.kernel, op.stride, op.padding, -128)
        return scaled(windows.max(axis=(4, 5)).astype(np.int64) + op.bias, op.requant, 1)
    if isinstance(op, AveragePool):
        windows = _windows(x, op.kernel, op.stride, op.padding, op.pad)
        return scaled(windows.astype(np.int64).sum(axis=(4, 5)) + op.bias, op.requant, 1)
    if isinstance(op, Rescale):
        return scaled(x.reshape(len(x), -1).astype(np.int64) + op.bias, op.requant, 1)
    if isinstance(op, Trees):
        return _votes(op, x.reshape(len(x), -1))
    assert isinstance(op, Reshape)  # noqa: S101 - the last of the kinds
    return x


def _windows(
    x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int], pad: int
) -> Array:
    """Windows [rows, channels, out height, out width, kernel height, kernel width]."""
    top, left, bottom, right = padding
    filled = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad)
    found = np.lib.stride_tricks.sliding_window_view(filled, kernel, axis=(2, 3))
    return found[:, :, :: stride[0], :: stride[1]]


def _convolved(op: Conv2D, x: Array, tensor: Tensor) -> Array:
    outputs, channels, height, width = op.weight.shape
    windows = _windows(x, (height, width), op.stride, op.padding, op.pad)
    each = outputs // op.groups
    sums = np.empty((len(x), *tensor.shape), np.int64)
    for group in range(op.groups):
        seen = windows[:, group * channels : (group + 1) * channels].astype(np.float64)
        weight = op.weight[group * each : (group + 1) * each].astype(np.float64)
        found = np.tensordot(seen, weight, axes=((1, 4, 5), (1, 2, 3)))
        sums[:, group * each : (group + 1) * each] = found.transpose(0, 3, 1, 2).astype(np.int64)
    return sums + op.bias.astype(np.int64).reshape(-1, 1, 1)


def _votes(op: Trees, x: Array) -> Array:
    found = np.tile(op.base.astype(np.int64), (len(x), 1))
    for root in op.roots:
        at = np.full(len(x), root)
        while (inner := op.feature[at] >= 0).any():
            asked = np.where(inner, op.feature[at], 0)
            small = x[np.arange(len(x)), asked] <= op.threshold[at]
            at = np.where(inner, np.where(small, op.left[at], op.right[at]), at)
        for row, leaf in enumerate(at):
            for vote in range(op.left[leaf], op.right[leaf]):
                found[row, op.vote_class[vote]] += op.vote_value[vote]
    return found


def finish(graph: Graph, results: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the ONNX model from the last tensors (by name): the host's part. Floats are float32."""
    return {sink.name: _finished(sink, graph.tensors[sink.tensor], results[sink.tensor]) for sink in graph.sinks}


def _finished(sink: Sink, tensor: Tensor, whole: Array) -> Array:
    flat = whole.reshape(len(whole), -1)
    if sink.tail == "argmax":
        places = flat.argmax(axis=1)
        found: Array = np.array(sink.labels)[places] if sink.labels else places.astype(np.int64)
        return found.reshape(len(whole), *sink.shape)
    real = (flat.astype(np.float64) - tensor.zero_point) * tensor.scale
    return _ended(sink, real).astype(np.float32).reshape(len(whole), *sink.shape)


def _ended(sink: Sink, real: Array) -> Array:
    if sink.tail == "softmax":
        grown = np.exp(real - real.max(axis=1, keepdims=True))
        found: Array = grown / grown.sum(axis=1, keepdims=True)
        return found
    if sink.tail == "sigmoid":
        return _sigmoid(real)
    score = real[:, -1:]
    if sink.tail == "complement":
        return np.concatenate([1 - score, score], axis=1)
    if sink.tail == "sigmoid-pair":
        return np.concatenate([_sigmoid(-score), _sigmoid(score)], axis=1)
    if sink.tail == "sign-pair":
        return np.concatenate([-score, score], axis=1)
    return real


def _sigmoid(real: Any) -> Array:
    found: Array = 0.5 * (1 + np.tanh(real / 2))  # no overflow at either end
    return found
