"""The nouns of a model in whole numbers: what is computed from which tensor, to the last bit.

Shapes leave the row out: an image is (channels, height, width), what is fed to a dense layer is (features,). A tensor lies in
memory with its last axis fastest, so that Reshape moves nothing. A real number is ``scale * (whole - zero_point)``.

Every zero point of an input is folded into the ``bias`` of the operation that reads it, so that operations multiply and add
plain int8 numbers; where a window reaches over the edge it reads ``pad``, which is the input's zero point.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Shape: TypeAlias = tuple[int, ...]
Dtype: TypeAlias = Literal["int8", "uint8", "uint16", "int32"]


class Refused(ValueError):
    """What a model asks for that has no form in whole numbers here; ``node`` is the place in the ONNX graph."""

    def __init__(self, text: str, node: str = "") -> None:
        super().__init__(f"{node}: {text}" if node else text)
        self.node = node


class Tensor(NamedTuple):
    """Numbers between two operations. int8 between layers, uint8 or uint16 for ranks, int32 for the votes of trees."""

    name: str
    shape: Shape
    dtype: Dtype
    scale: float
    zero_point: int

    @property
    def size(self) -> int:
        """How many numbers a row has here."""
        return int(np.prod(self.shape, dtype=np.int64))


class Requant(NamedTuple):
    """From a sum to the next tensor: ``clamp(half_even(sum * multiplier / 2**shift) + zero_point, low, high)``.

    One multiplier and shift for all channels, or one each. 0 <= multiplier < 2**16 and 1 <= shift <= 62. Relu and Clip
    are ``low`` and ``high``, which lie within int8.
    """

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    zero_point: int
    low: int
    high: int


class Linear(NamedTuple):
    """``sum[o] = bias[o] + weight[o, :] . input``; weight int8 [outputs, inputs], bias int32 [outputs]."""

    name: str
    input: str
    output: str
    weight: Array
    bias: Array
    requant: Requant


class Conv2D(NamedTuple):
    """``sum[o, y, x] = bias[o] + sum of weight[o, c, ky, kx] * input[g + c, y * sy + ky - top, x * sx + kx - left]``.

    weight int8 [outputs, channels / groups, height, width], bias int32 [outputs]; ``padding`` is (top, left, bottom,
    right), filled with ``pad``; output channel o reads the channels of its group o // (outputs / groups).
    """

    name: str
    input: str
    output: str
    weight: Array
    bias: Array
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    pad: int
    requant: Requant


class MaxPool(NamedTuple):
    """The largest number of each window; what lies over the edge does not count. ``bias`` is minus the zero point:
    the sum to be scaled is ``largest + bias``."""

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    bias: int
    requant: Requant


class AveragePool(NamedTuple):
    """``sum = bias + sum of the window``; the multiplier divides by its size. Over the edge lies ``pad``, which counts."""

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    bias: int
    pad: int
    requant: Requant


class Rescale(NamedTuple):
    """Each number for itself: ``sum = input + bias``. A Relu or Clip that stands alone, or another scale."""

    name: str
    input: str
    output: str
    bias: int
    requant: Requant


class Add(NamedTuple):
    """``sum = input[0] * multipliers[0] + input[1] * multipliers[1] + bias``, then ``half_even(sum / 2**shift)``, the zero
    point and the clamp of ``requant``, whose multiplier is 1. Both multipliers are below 2**16."""

    name: str
    inputs: tuple[str, str]
    output: str
    multipliers: tuple[int, int]
    bias: int
    requant: Requant


class Reshape(NamedTuple):
    """The same numbers in the same order under another shape."""

    name: str
    input: str
    output: str


class Trees(NamedTuple):
    """Trees over ranks. Node i asks ``input[feature[i]] <= threshold[i]`` and goes to node ``left[i]``, else to ``right[i]``.

    At a leaf ``feature`` is -1, and ``votes[left:right]`` of the leaf count: each adds ``vote_value`` to ``vote_class``.
    The output is int32 ``base`` plus all votes, a number for each class; no order of adding overflows. All arrays int32.
    """

    name: str
    input: str
    output: str
    feature: Array
    threshold: Array
    left: Array
    right: Array
    roots: Array
    vote_class: Array
    vote_value: Array
    base: Array


Op: TypeAlias = Linear | Conv2D | MaxPool | AveragePool | Rescale | Add | Reshape | Trees


class Step(NamedTuple):
    """Float arithmetic on a row before it becomes whole numbers, in float32: the host's part."""

    op: Literal["add", "sub", "mul", "div"]
    value: Array


class Source(NamedTuple):
    """How a float row becomes the first tensor.

    Without ``ranks``: ``clamp(half_even(x / scale) + zero_point)`` of that tensor, x after the ``steps``. With ``ranks``, one
    ascending float32 array a feature: how many of them are smaller than x.
    """

    name: str
    tensor: str
    steps: tuple[Step, ...]
    ranks: tuple[Array, ...]


Tail: TypeAlias = Literal["none", "softmax", "sigmoid", "argmax", "complement", "sigmoid-pair", "sign-pair"]


class Sink(NamedTuple):
    """How an output of the ONNX model follows from the last tensor: the host's part, except for ``argmax``.

    ``argmax`` is the place of the largest number, the first of equals; ``labels`` are what it stands for. The pairs are of
    trees that vote for one of two classes: the tensor is (cut, score), and the probabilities are (1 - score, score),
    (sigmoid(-score), sigmoid(score)) or (-score, score). ``shape`` is the output's, without the row.
    """

    name: str
    tensor: str
    tail: Tail
    labels: tuple[int | str, ...]
    shape: Shape


class Graph(NamedTuple):
    """A model: its tensors by name, its operations in an order in which each can be computed, its ends."""

    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    source: Source
    sinks: tuple[Sink, ...]

    @property
    def result(self) -> Tensor:
        """The tensor that a device answers with."""
        return self.tensors[self.sinks[0].tensor]


def inputs_of(op: Op) -> tuple[str, ...]:
    """The tensors that an operation reads."""
    return op.inputs if isinstance(op, Add) else (op.input,)


def sum_bounds(op: Op) -> tuple[int, int]:
    """The least and the largest sum (with its bias) that an operation can come to, whatever int8 numbers it reads."""
    if isinstance(op, Linear | Conv2D):
        # int8 has one more number below zero than above it, so both ends are computed.
        weight = op.weight.reshape(len(op.weight), -1).astype(np.int64)
        up, down = np.maximum(weight, 0).sum(1), np.maximum(-weight, 0).sum(1)
        bias = op.bias.astype(np.int64)
        return int((bias - 128 * up - 127 * down).min()), int((bias + 127 * up + 128 * down).max())
    if isinstance(op, AveragePool):
        count = op.kernel[0] * op.kernel[1]
        return op.bias - 128 * count, op.bias + 127 * count
    if isinstance(op, MaxPool | Rescale):
        return op.bias - 128, op.bias + 127
    if isinstance(op, Add):
        most = sum(op.multipliers)
        return op.bias - 128 * most, op.bias + 127 * most
    return 0, 0
