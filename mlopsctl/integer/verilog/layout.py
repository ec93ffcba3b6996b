"""Where the numbers of a graph lie in a circuit: addresses, loops of each operation, contents and widths of memories.

A circuit has one memory of bytes for all tensors, one of weights with a byte for each lane, and one of a bias and a multiplier
for each channel. All multipliers are brought to one shift, which changes no result: m / 2**s is (m * 2**(S - s)) / 2**S.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..graph import (
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
    Shape,
    Tensor,
    Trees,
    inputs_of,
    sum_bounds,
)

_MOST_BYTES = 1 << 24
_MOST_MULTIPLIER = 48


class Pass(NamedTuple):
    """One operation as the engine runs it. For each position, group and block of lanes it sums up the taps of a window.

    ``source``, ``target``, ``weights`` and ``params`` are where its numbers begin; ``step_*`` and ``move_*`` are added to the
    address of the tensor that is read; ``last`` is how many lanes the last block of a group uses.
    """

    title: str
    kind: Literal["sum", "unit", "max", "add"]
    source: int
    target: int
    weights: int
    params: int
    taps: tuple[int, int, int]  # channels, rows, columns of a window
    step_row: int
    step_channel: int
    blocks: int
    groups: int
    step_group: int
    last: int
    out_step: int
    size: tuple[int, int]  # rows and columns of positions
    move_column: int
    move_row: int
    stride: tuple[int, int]
    corner: tuple[int, int]  # padding above and on the left
    image: tuple[int, int]
    pad: int
    zero_point: int
    low: int
    high: int
    extra: int  # what Add adds to its sum


class Layout(NamedTuple):
    """A circuit in numbers. ``weights`` are rows of ``lanes`` bytes, ``params`` pairs of bias and multiplier."""

    passes: tuple[Pass, ...]
    lanes: int
    bytes: int
    weights: Array
    params: tuple[tuple[int, int], ...]
    shift: int
    multiplier_bits: int
    acc_bits: int
    sum_bits: int
    product_bits: int
    result: int
    inputs: int
    outputs: int


def lay_out(graph: Graph, lanes: int) -> Layout:
    """The layout of a network. Raises Refused where there is nothing to compute or a number does not fit."""
    ops = [op for op in graph.ops if not isinstance(op, Reshape)]
    if not ops:
        raise Refused("it computes nothing")
    place, size = _places(graph)
    if size > _MOST_BYTES:
        raise Refused(f"its tensors need {size} bytes at once")
    shift = max(max(op.requant.shift) for op in ops if not isinstance(op, Trees))
    passes: list[Pass] = []
    rows: list[Array] = []
    params: list[tuple[int, int]] = []
    for op in ops:
        words, pairs = _weights(op, lanes), _params(op, graph, shift)
        at = sum(map(len, rows)), len(params)
        passes.append(_pass(op, graph, place, at, lanes, shift))
        rows.append(words)
        params += pairs
    if max(multiplier for _, multiplier in params).bit_length() > _MOST_MULTIPLIER:
        raise Refused("the factors of its layers lie too far apart for one shift")
    weights = np.concatenate(rows) if sum(map(len, rows)) else np.zeros((1, lanes), np.int8)
    acc, total, product = _widths(ops, params, passes)
    product = max(product, shift + 2)
    source, result = graph.tensors[graph.source.tensor], graph.result
    return Layout(
        tuple(passes),
        lanes,
        size,
        weights,
        tuple(params),
        shift,
        max(max(multiplier for _, multiplier in params).bit_length(), 1),
        acc,
        total,
        product,
        place[result.name],
        source.size,
        result.size,
    )


def _places(graph: Graph) -> tuple[dict[str, int], int]:
    """Where each tensor begins, and how many bytes all need: a place is used again once nothing reads what was there."""
    root: dict[str, str] = {}
    for op in graph.ops:
        if isinstance(op, Reshape):
            root[op.output] = root.get(op.input, op.input)
    of = {name: root.get(name, name) for name in graph.tensors}
    until = {of[name]: at for at, op in enumerate(graph.ops) for name in inputs_of(op)}
    until[of[graph.result.name]] = len(graph.ops)
    found: dict[str, int] = {}
    living: list[tuple[int, int, int]] = []  # begin, end, last operation that reads it
    size = 0
    for at, name in [(-1, graph.source.tensor), *((at, op.output) for at, op in enumerate(graph.ops))]:
        if of[name] != name:
            continue
        living = [item for item in living if item[2] >= at]
        begin, length = 0, graph.tensors[name].size
        for first, end, _ in sorted(living):
            if first - begin >= length:
                break
            begin = max(begin, end)
        living.append((begin, begin + length, until.get(name, at)))
        found[name] = begin
        size = max(size, begin + length)
    return {name: found[of[name]] for name in graph.tensors}, size


def _weights(op: Op, lanes: int) -> Array:
    """Rows of the weight memory in the order in which the engine asks: group, block, then the taps of a window."""
    if not isinstance(op, Linear | Conv2D):
        return np.zeros((0, lanes), np.int8)
    groups = op.groups if isinstance(op, Conv2D) else 1
    flat = op.weight.reshape(groups, len(op.weight) // groups, -1)
    blocks = -(-flat.shape[1] // lanes)
    padded = np.zeros((groups, blocks * lanes, flat.shape[2]), np.int8)
    padded[:, : flat.shape[1]] = flat
    ordered = padded.reshape(groups, blocks, lanes, -1).transpose(0, 1, 3, 2)
    found: Array = ordered.reshape(-1, lanes)
    return found


def _params(op: Op, graph: Graph, shift: int) -> list[tuple[int, int]]:
    """Bias and multiplier of each channel, in the order in which sums come out."""
    if isinstance(op, Add):
        return [(0, factor << (shift - op.requant.shift[0])) for factor in op.multipliers]
    assert not isinstance(op, Reshape | Trees)  # noqa: S101
    count = 1 if isinstance(op, Rescale) else graph.tensors[op.output].shape[0]
    bias = [int(item) for item in op.bias] if isinstance(op, Linear | Conv2D) else [op.bias] * count
    most = max(abs(bound) for bound in sum_bounds(op))
    found = []
    for channel in range(count):
        at = channel if len(op.requant.multiplier) > 1 else 0
        multiplier, own = op.requant.multiplier[at], op.requant.shift[at]
        # Where no sum comes to half a unit the result is zero, and so may be the multiplier.
        idle = most * multiplier < 1 << (own - 1)
        found.append((bias[channel], 0 if idle else multiplier << (shift - own)))
    return found


def shape_text(shape: Shape) -> str:
    """A shape for people."""
    return "x".join(map(str, shape)) or "1"


def _image(tensor: Tensor) -> tuple[int, int, int]:
    return (tensor.shape[0], tensor.shape[1], tensor.shape[2]) if len(tensor.shape) == 3 else (tensor.size, 1, 1)


def _pass(op: Op, graph: Graph, place: dict[str, int], at: tuple[int, int], lanes: int, shift: int) -> Pass:
    first = inputs_of(op)[0]
    source, target = graph.tensors[first], graph.tensors[op.output]
    title = f"{type(op).__name__} {shape_text(source.shape)} -> {shape_text(target.shape)}, {op.name}"
    common = {"title": title, "source": place[first], "target": place[op.output], "weights": at[0], "params": at[1]}
    assert not isinstance(op, Reshape | Trees)  # noqa: S101
    ends = {"zero_point": op.requant.zero_point, "low": op.requant.low, "high": op.requant.high}
    if isinstance(op, Rescale | Add):
        two = isinstance(op, Add)
        alone = _Loop(
            taps=(2 if two else 1, 1, 1),
            step_channel=place[op.inputs[1]] - place[first] if isinstance(op, Add) else 0,
            out_step=1,
            size=(1, target.size),
            image=(1, target.size),
            extra=op.bias << (shift - op.requant.shift[0]) if isinstance(op, Add) else 0,
        )
        return Pass(kind="add" if two else "unit", **common, **ends, **alone._asdict())  # type: ignore[arg-type]
    channels, height, width = _image(source)
    kernel, stride, corner, pad = (1, 1), (1, 1), (0, 0), 0
    taken, groups, each = channels, 1, target.shape[0]
    if isinstance(op, Conv2D):
        kernel, stride, corner, pad = (op.weight.shape[2], op.weight.shape[3]), op.stride, op.padding[:2], op.pad
        taken, groups, each = op.weight.shape[1], op.groups, len(op.weight) // op.groups
    elif isinstance(op, MaxPool | AveragePool):
        kernel, stride, corner = op.kernel, op.stride, op.padding[:2]
        pad = -128 if isinstance(op, MaxPool) else op.pad
        taken, groups, each = 1, channels, 1
    _, rows, columns = _image(target)
    own = lanes if isinstance(op, Linear | Conv2D) else 1
    loop = _Loop(
        taps=(taken, *kernel),
        step_row=width - kernel[1] + 1,
        step_channel=height * width - (kernel[0] - 1) * width - kernel[1] + 1,
        blocks=-(-each // own),
        groups=groups,
        step_group=taken * height * width,
        last=(each - 1) % own + 1,
        out_step=rows * columns,
        size=(rows, columns),
        move_column=stride[1],
        move_row=stride[0] * width - (columns - 1) * stride[1],
        stride=stride,
        corner=corner,
        image=(height, width),
        pad=pad,
    )
    kind = "sum" if isinstance(op, Linear | Conv2D) else "max" if isinstance(op, MaxPool) else "unit"
    return Pass(kind=kind, **common, **ends, **loop._asdict())  # type: ignore[arg-type]


class _Loop(NamedTuple):
    """The loops of a Pass; by themselves those of an operation on each number."""

    taps: tuple[int, int, int]
    step_channel: int
    out_step: int
    size: tuple[int, int]
    image: tuple[int, int]
    step_row: int = 0
    blocks: int = 1
    groups: int = 1
    step_group: int = 0
    last: int = 1
    move_column: int = 1
    move_row: int = 1
    stride: tuple[int, int] = (1, 1)
    corner: tuple[int, int] = (0, 0)
    pad: int = 0
    extra: int = 0


def bits(most: int) -> int:
    """Bits that count up to ``most``; at least one."""
    return max(most.bit_length(), 1)


def signed_bits(*values: int) -> int:
    """Bits of a signed number that holds all of these."""
    return max((value if value >= 0 else ~value).bit_length() for value in values) + 1


def _widths(ops: Sequence[Op], params: list[tuple[int, int]], passes: list[Pass]) -> tuple[int, int, int]:
    """Bits of the sums without and with their bias, and of the products."""
    acc, total = 8, 9
    product = 2
    multiplier = max(item for _, item in params).bit_length()
    for op, item in zip(ops, passes, strict=True):
        if isinstance(op, Add):
            reach = [128 * sum(params[item.params + at][1] for at in range(2)), item.extra]
            product = max(product, signed_bits(sum(map(abs, reach))) + 1)
            continue
        least, most = sum_bounds(op)
        bias = [int(number) for number in op.bias] if isinstance(op, Linear | Conv2D) else [op.bias]  # type: ignore[union-attr]
        total = max(total, signed_bits(least, most))
        acc = max(acc, signed_bits(least - max(bias), most - min(bias)))
    return acc, total, max(product, total + multiplier) + 1
