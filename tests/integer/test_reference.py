from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.integer import reference
from mlopsctl.integer.graph import Conv2D, Graph, Linear, Refused, Trees, sum_bounds
from tests.integer import slow
from tests.integer.graphs import random_graph, random_rows, random_trees


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([random_graph, random_trees]))
def test_numpy_and_plain_python_compute_the_same_numbers(seed: int, kind: Callable[[int], Graph]) -> None:
    graph = kind(seed)
    rows = random_rows(graph, 4, seed) if kind is random_graph else np.random.default_rng(seed).integers(0, 21, (4, 4))
    rows = rows[:, : graph.tensors[graph.source.tensor].size] if kind is random_trees else rows
    rows = rows.astype(graph.tensors[graph.source.tensor].dtype)
    fast = reference.run(graph, rows)
    for number, row in enumerate(rows):
        for name, value in slow.run(graph, row.ravel().tolist()).items():
            assert fast[name][number].ravel().tolist() == value, name


def test_random_graphs_hold_every_operation() -> None:
    seen = {type(op).__name__ for seed in range(80) for op in random_graph(seed).ops}
    assert seen == {"Linear", "Conv2D", "MaxPool", "AveragePool", "Rescale", "Add", "Reshape"}


def test_more_rows_than_are_executed_at_once_come_back_in_order() -> None:
    graph = random_graph(3)
    rows = random_rows(graph, 2 * reference.ROWS + 5)
    last = graph.result.name
    assert (reference.run(graph, rows)[last][-7:] == reference.run(graph, rows[-7:])[last]).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_no_sum_leaves_its_bounds_and_extreme_rows_reach_them(seed: int) -> None:
    for op in random_graph(seed).ops:
        least, most = sum_bounds(op)
        if isinstance(op, Linear | Conv2D):
            weight = op.weight.reshape(len(op.weight), -1).astype(int)
            highest = max(
                int(bias) + int(np.where(line > 0, 127 * line, -128 * line).sum())
                for line, bias in zip(weight, op.bias, strict=True)
            )
            lowest = min(
                int(bias) + int(np.where(line > 0, -128 * line, 127 * line).sum())
                for line, bias in zip(weight, op.bias, strict=True)
            )
            assert (least, most) == (lowest, highest)
        elif not isinstance(op, Trees):
            assert least <= most


def test_rows_with_nan_or_of_another_width_are_refused() -> None:
    graph = random_trees(1)
    width = graph.tensors["x"].size
    with pytest.raises(Refused, match="NaN"):
        reference.quantise(graph, np.full((1, width), np.nan))
    with pytest.raises(Refused, match=f"has {width + 1} numbers"):
        reference.quantise(graph, np.zeros((1, width + 1)))
    assert reference.quantise(graph, np.full((1, width), np.inf)).tolist() == [[20] * width]
