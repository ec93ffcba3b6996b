"""Where the tensors between two operations lie in one block of memory, so that what is no longer needed makes room."""

from __future__ import annotations

from typing import NamedTuple

from ..graph import Graph, Reshape, inputs_of

INPUT, OUTPUT = "input", "output"


class Arena(NamedTuple):
    """``offset`` of each int8 tensor that has a place of its own; ``size`` of the block in bytes.

    ``root`` says for every tensor whose memory it shares: its own name, that of the tensor it reshapes, or ``INPUT`` and
    ``OUTPUT``, which the caller owns.
    """

    offset: dict[str, int]
    size: int
    root: dict[str, str]


def lay_out(graph: Graph) -> Arena:
    """The largest tensor first, each at the lowest place where no tensor lies that is needed at the same time."""
    root = _roots(graph)
    lives = _lives(graph, root)
    offset: dict[str, int] = {}
    for name in sorted(lives, key=lambda name: (-graph.tensors[name].size, name)):
        size = graph.tensors[name].size
        at = 0
        for other in sorted((o for o in offset if _meet(lives[o], lives[name])), key=offset.__getitem__):
            if at + size <= offset[other]:
                break
            at = max(at, offset[other] + graph.tensors[other].size)
        offset[name] = at
    size = max((at + graph.tensors[name].size for name, at in offset.items()), default=0)
    return Arena(offset, size, root)


def _roots(graph: Graph) -> dict[str, str]:
    root = {graph.source.tensor: INPUT}
    for op in graph.ops:
        root[op.output] = root[op.input] if isinstance(op, Reshape) else op.output
    last = root[graph.result.name]
    if last != INPUT:
        root = {name: OUTPUT if known == last else known for name, known in root.items()}
    return root


def _lives(graph: Graph, root: dict[str, str]) -> dict[str, tuple[int, int]]:
    """From which operation to which each tensor with a place in the block is needed."""
    lives: dict[str, tuple[int, int]] = {}
    for at, op in enumerate(graph.ops):
        for name in (*inputs_of(op), op.output):
            kept = root[name]
            if kept not in (INPUT, OUTPUT):
                lives[kept] = (lives.get(kept, (at, at))[0], at)
    return lives


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
