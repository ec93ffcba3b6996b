from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.integer.c.arena import INPUT, OUTPUT, lay_out
from mlopsctl.integer.graph import Reshape, inputs_of
from tests.integer.graphs import random_graph


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**6))
def test_no_operation_overwrites_what_is_still_to_be_read(seed: int) -> None:
    graph = random_graph(seed)
    arena = lay_out(graph)
    inside: dict[int, str] = {}
    for op in graph.ops:
        if isinstance(op, Reshape):
            continue
        for name in inputs_of(op):
            root = arena.root[name]
            if root in (INPUT, OUTPUT):
                continue
            start = arena.offset[root]
            assert all(inside[at] == root for at in range(start, start + graph.tensors[root].size))
        root = arena.root[op.output]
        if root != OUTPUT:
            assert root != INPUT
            start = arena.offset[root]
            inside |= dict.fromkeys(range(start, start + graph.tensors[root].size), root)
    assert all(arena.offset[name] + graph.tensors[name].size <= arena.size for name in arena.offset)


def test_a_chain_takes_no_more_than_its_two_largest_neighbours() -> None:
    for seed in range(40):
        graph = random_graph(seed)
        if any(len(inputs_of(op)) > 1 for op in graph.ops):
            continue
        arena = lay_out(graph)
        places = [name for name in arena.root.values() if name not in (INPUT, OUTPUT)]
        sizes = [graph.tensors[name].size for name in dict.fromkeys(places)]
        pairs = [one + two for one, two in itertools.pairwise(sizes)]
        assert arena.size <= max([*pairs, *sizes], default=0)
