"""Random small graphs of whole numbers: every operation, odd sizes, the ends of every range."""

from __future__ import annotations

import numpy as np

from mlopsctl.integer.graph import (
    Add,
    Array,
    AveragePool,
    Conv2D,
    Graph,
    Linear,
    MaxPool,
    Op,
    Requant,
    Rescale,
    Reshape,
    Shape,
    Sink,
    Source,
    Tensor,
    Trees,
)


class Maker:
    """Adds one random operation after the other to what is there."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def tensor(self, shape: Shape) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, shape, "int8", 0.0625, int(self.rng.integers(-128, 128)))
        return name

    def number(self, low: int, high: int) -> int:
        """One of ``low`` to ``high``."""
        return int(self.rng.integers(low, high + 1))

    def requant(self, channels: int, reach: float) -> Requant:
        """So that sums up to ``reach`` come out between a few and too many."""
        count = channels if self.number(0, 1) else 1
        multiplier = tuple(self.number(1 << 15, (1 << 16) - 1) for _ in range(count))
        middle = int(np.clip(16 + np.ceil(np.log2(max(reach, 2) / 128)), 9, 60))
        shift = tuple(int(np.clip(middle + self.number(-2, 1), 1, 62)) for _ in range(count))
        low, high = sorted((self.number(-128, 127), self.number(-128, 127)))
        wide = self.number(0, 2) > 0
        return Requant(multiplier, shift, self.number(-128, 127), -128 if wide else low, 127 if wide else high)

    def weight(self, *shape: int) -> Array:
        return self.rng.integers(-128, 128, shape).astype(np.int8)

    def bias(self, count: int) -> Array:
        return self.rng.integers(-5000, 5000, count).astype(np.int32)

    def window(
        self, shape: Shape
    ) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int], tuple[int, int]]:
        """A kernel, a stride, a padding and the size of what comes out."""
        kernel = self.number(1, min(3, shape[1])), self.number(1, min(3, shape[2]))
        stride = self.number(1, 2), self.number(1, 2)
        top, left, bottom, right = (self.number(0, kernel[axis % 2] - 1) for axis in range(4))
        height = (shape[1] + top + bottom - kernel[0]) // stride[0] + 1
        width = (shape[2] + left + right - kernel[1]) // stride[1] + 1
        return kernel, stride, (top, left, bottom, right), (height, width)

    def linear(self, source: str) -> str:
        inputs, outputs = self.tensors[source].size, self.number(1, 6)
        if len(self.tensors[source].shape) > 1:
            flat = self.tensor((inputs,))
            self.ops.append(Reshape("flat", source, flat))
            source = flat
        name = self.tensor((outputs,))
        by = self.requant(outputs, 2000.0 * inputs**0.5)
        self.ops.append(Linear("linear", source, name, self.weight(outputs, inputs), self.bias(outputs), by))
        return name

    def conv(self, source: str) -> str:
        shape = self.tensors[source].shape
        groups = self.number(1, 2) if shape[0] % 2 == 0 else 1
        groups = shape[0] if self.number(0, 3) == 0 else groups
        outputs = groups * self.number(1, 3)
        kernel, stride, padding, size = self.window(shape)
        name = self.tensor((outputs, *size))
        weight = self.weight(outputs, shape[0] // groups, *kernel)
        by = self.requant(outputs, 2000.0 * weight[0].size ** 0.5)
        pad = self.tensors[source].zero_point
        self.ops.append(Conv2D("conv", source, name, weight, self.bias(outputs), stride, padding, groups, pad, by))
        return name

    def pool(self, source: str) -> str:
        shape = self.tensors[source].shape
        kernel, stride, padding, size = self.window(shape)
        zero = self.tensors[source].zero_point
        name = self.tensor((shape[0], *size))
        if self.number(0, 1):
            self.ops.append(MaxPool("max", source, name, kernel, stride, padding, -zero, self.requant(1, 128)))
        else:
            count = kernel[0] * kernel[1]
            by = self.requant(1, 128.0 * count)
            self.ops.append(AveragePool("mean", source, name, kernel, stride, padding, -zero * count, zero, by))
        return name

    def rescale(self, source: str) -> str:
        name = self.tensor(self.tensors[source].shape)
        bias = -self.tensors[source].zero_point
        self.ops.append(Rescale("rescale", source, name, bias, self.requant(1, 128)))
        return name

    def add(self, one: str, two: str) -> str:
        name = self.tensor(self.tensors[one].shape)
        factors = self.number(1 << 13, (1 << 16) - 1), self.number(1, (1 << 16) - 1)
        by = self.requant(1, 128)._replace(multiplier=(1,), shift=(self.number(14, 18),))
        bias = self.number(-(1 << 22), 1 << 22)
        self.ops.append(Add("add", (one, two), name, factors, bias, by))
        return name

    def graph(self, source: str, last: str) -> Graph:
        steps = Source("x", source, (), ())
        return Graph(self.tensors, tuple(self.ops), steps, (Sink("y", last, "none", (), self.tensors[last].shape),))


def random_graph(seed: int) -> Graph:
    """A chain of up to five layers, on an image or on features, with one branch at times."""
    make = Maker(seed)
    image = make.number(0, 2) > 0
    first = make.tensor((make.number(1, 4), make.number(1, 5), make.number(1, 5)) if image else (make.number(1, 9),))
    last = first
    for _ in range(make.number(1, 4)):
        choice = make.number(0, 5)
        if len(make.tensors[last].shape) == 1:
            last = make.linear(last) if choice < 4 else make.rescale(last)
        elif choice == 5:
            last = make.add(last, make.rescale(last))
        else:
            last = (make.conv, make.conv, make.pool, make.pool, make.rescale)[choice](last)
    if make.number(0, 1) or not make.ops:
        last = make.linear(last)
    return make.graph(first, last)


def random_rows(graph: Graph, count: int, seed: int = 0) -> Array:
    """Rows for a graph: the least number, the largest, and random ones."""
    shape = graph.tensors[graph.source.tensor].shape
    rows = np.random.default_rng(seed).integers(-128, 128, (count, *shape)).astype(np.int8)
    rows[0], rows[-1] = -128, 127
    return rows


def random_trees(seed: int) -> Graph:
    """Random trees over ranks, of uneven depth, with several votes at a leaf."""
    rng = np.random.default_rng(seed)
    features, classes = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    nodes: list[tuple[int, int, int, int]] = []
    votes: list[tuple[int, int]] = []

    def grow(depth: int) -> int:
        at = len(nodes)
        nodes.append((-1, 0, 0, 0))
        if depth == 0 or rng.random() < 0.2:
            start = len(votes)
            votes.extend(
                (int(rng.integers(classes)), int(rng.integers(-(1 << 20), 1 << 20))) for _ in range(rng.integers(3))
            )
            nodes[at] = (-1, 0, start, len(votes))
        else:
            feature, threshold = int(rng.integers(features)), int(rng.integers(20))
            nodes[at] = (feature, threshold, grow(depth - 1), grow(depth - 1))
        return at

    roots = [grow(int(rng.integers(5))) for _ in range(int(rng.integers(1, 5)))]
    feature, threshold, left, right = (np.array(column, np.int32) for column in zip(*nodes, strict=True))
    pairs = np.array(votes, np.int32).reshape(-1, 2)
    base = rng.integers(-1000, 1000, classes).astype(np.int32)
    tensors = {
        "x": Tensor("x", (features,), "uint8", 1.0, 0),
        "y": Tensor("y", (classes,), "int32", 2.0**-20, 0),
    }
    tree = Trees("trees", "x", "y", feature, threshold, left, right, np.array(roots), pairs[:, 0], pairs[:, 1], base)
    known = tuple(np.arange(20, dtype=np.float32) for _ in range(features))
    return Graph(tensors, (tree,), Source("x", "x", (), known), (Sink("y", "y", "none", (), (classes,)),))
