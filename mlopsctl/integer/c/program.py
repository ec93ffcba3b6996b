"""Writes ``model.c`` and ``model.h`` of a graph: its tables, and the calls of ``kernels.h`` in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..graph import (
    Add,
    AveragePool,
    Conv2D,
    Graph,
    Linear,
    MaxPool,
    Op,
    Refused,
    Requant,
    Rescale,
    Reshape,
    Tensor,
    Trees,
)
from . import ends, votes
from .arena import INPUT, OUTPUT, Arena, lay_out
from .tables import TYPES, table


class Program(NamedTuple):
    """The files by name, and the bytes of memory that lie between the operations."""

    files: dict[str, str]
    arena: int


def write(graph: Graph, prefix: str) -> Program:
    """The C program of a graph. ``prefix`` begins the name of everything that a linker sees.

    Raises Refused for a graph without operations or of more numbers than a microcontroller addresses.
    """
    if not any(not isinstance(op, Reshape) for op in graph.ops):
        raise Refused("it computes nothing between its input and its output")
    arena = lay_out(graph)
    body = _Tables()
    calls: list[str] = []
    for at, op in enumerate(graph.ops):
        calls += _call(graph, arena, op, at, body)
    source = graph.tensors[graph.source.tensor]
    lines = ['#include "model.h"', '#include "kernels.h"', ""]
    lines += body.lines
    if arena.size:
        lines += [f"static int8_t arena[{arena.size}];", ""]
    lines += [f"void {prefix}_run(const {TYPES[source.dtype]} *input, {TYPES[graph.result.dtype]} *output)", "{"]
    lines += [*(f"    {call}" for call in calls), "}", ""]
    lines += [*ends.quantise(graph, prefix), *ends.answer(graph, prefix)]
    kernels = (Path(__file__).parent / "kernels.h").read_text(encoding="utf-8")
    files = {"model.c": "\n".join(lines), "model.h": ends.header(graph, prefix), "kernels.h": kernels}
    return Program(files, arena.size)


class _Tables:
    """The constants of the program so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, kind: str, name: str, numbers: Iterable[int]) -> str:
        self.lines += [*table(kind, name, numbers), ""]
        return name

    def note(self, text: str) -> None:
        # A model's own names stand in a comment, which they must not end or continue.
        plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
        self.lines.append(f"/* {plain.replace('*/', '* /').replace('/*', '/ *')} */")

    def requant(self, at: int, by: Requant) -> str:
        multiplier = self.add("uint16_t", f"multiplier_{at}", by.multiplier)
        shift = self.add("uint8_t", f"shift_{at}", by.shift)
        each = int(len(by.multiplier) > 1)
        fields = f"{multiplier}, {shift}, {each}, {by.zero_point}, {by.low}, {by.high}"
        self.lines += [f"static const Requant requant_{at} = {{{fields}}};", ""]
        return f"&requant_{at}"

    def window(self, at: int, op: Conv2D | MaxPool | AveragePool, source: Tensor, made: Tensor) -> str:
        kernel = op.weight.shape[2:] if isinstance(op, Conv2D) else op.kernel
        numbers = (*source.shape, *made.shape[1:], *kernel, *op.stride, *op.padding[:2])
        self.lines += [f"static const Window window_{at} = {{{', '.join(map(str, numbers))}}};", ""]
        return f"&window_{at}"


def _call(graph: Graph, arena: Arena, op: Op, at: int, body: _Tables) -> Iterator[str]:
    if isinstance(op, Reshape):
        return
    if isinstance(op, Trees):
        body.note(op.name)
        body.lines += votes.tables(op, TYPES[graph.tensors[op.input].dtype])
        yield f"votes({_place(arena, op.input)}, {_place(arena, op.output)});"
        return
    y = _place(arena, op.output)
    made = graph.tensors[op.output]
    body.note(op.name)
    by = body.requant(at, op.requant)
    if isinstance(op, Add):
        a, b = (_place(arena, name) for name in op.inputs)
        yield f"add({a}, {b}, {y}, {made.size}, {op.multipliers[0]}, {op.multipliers[1]}, {op.bias}, {by});"
        return
    x, source = _place(arena, op.input), graph.tensors[op.input]
    if isinstance(op, Rescale):
        yield f"rescale({x}, {y}, {made.size}, {op.bias}, {by});"
        return
    if isinstance(op, Linear):
        weight, bias = _weights(body, at, op)
        yield f"linear({x}, {y}, {weight}, {bias}, {source.size}, {made.size}, {by});"
        return
    window = body.window(at, op, source, made)
    if isinstance(op, Conv2D):
        weight, bias = _weights(body, at, op)
        yield f"conv2d({x}, {y}, {weight}, {bias}, {window}, {made.shape[0]}, {op.groups}, {op.pad}, {by});"
    elif isinstance(op, MaxPool):
        yield f"max_pool({x}, {y}, {window}, {op.bias}, {by});"
    else:
        yield f"average_pool({x}, {y}, {window}, {op.bias}, {op.pad}, {by});"


def _weights(body: _Tables, at: int, op: Linear | Conv2D) -> tuple[str, str]:
    weight = body.add("int8_t", f"weight_{at}", op.weight.ravel().tolist())
    return weight, body.add("int32_t", f"bias_{at}", op.bias.tolist())


def _place(arena: Arena, name: str) -> str:
    root = arena.root[name]
    return root if root in (INPUT, OUTPUT) else f"arena + {arena.offset[root]}"
