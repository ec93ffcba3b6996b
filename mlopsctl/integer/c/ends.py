"""What stands before and behind the operations: from sensor values to whole numbers, and from the result to an answer."""

from __future__ import annotations

from ..graph import Graph, Refused, Sink
from .tables import TYPES, table

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "uint16": (0, 65535)}
_STEPS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def header(graph: Graph, prefix: str) -> str:
    """``model.h``: what a firmware calls."""
    source, result = graph.tensors[graph.source.tensor], graph.result
    upper = prefix.upper()
    lines = [
        f"/* A model in whole numbers: {prefix}_quantise makes them of a row, {prefix}_run computes, {prefix}_answer decides.",
        "   One row at a time: the memory between the operations is shared by all calls. */",
        f"#ifndef {upper}_MODEL_H",
        f"#define {upper}_MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        f"enum {{ {upper}_FEATURES = {source.size}, {upper}_RESULTS = {result.size} }};",
        "",
        f"typedef {TYPES[source.dtype]} {prefix}_input;",
        f"typedef {TYPES[result.dtype]} {prefix}_output;",
        "",
        f"/* The real number of a result is (result - {result.zero_point}) * {_float(result.scale)}. */",
        f"void {prefix}_run(const {prefix}_input *input, {prefix}_output *output);",
        "",
        "/* 0, or -1 where a value is not a number: then there is no input. Compile without -ffast-math. */",
        f"int {prefix}_quantise(const float *row, {prefix}_input *input);",
        "",
        "/* The place of the largest result, the first of equals. */",
        f"int {prefix}_answer(const {prefix}_output *output);",
        *_labels(graph),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _labels(graph: Graph) -> list[str]:
    named: Sink | None = next((sink for sink in graph.sinks if sink.tail == "argmax" and sink.labels), None)
    if named is None:
        return []
    # Names of classes are text of strangers: only plain ones enter a comment.
    plain = ["".join(c if c.isascii() and (c.isalnum() or c in " ._-+") else "?" for c in str(x)) for x in named.labels]
    return [f"/* In order: {', '.join(plain)} */"]


def quantise(graph: Graph, prefix: str) -> list[str]:
    """The function from a row of floats to the first tensor, as ``reference.quantise`` does it."""
    source, tensor = graph.source, graph.tensors[graph.source.tensor]
    lines: list[str] = []
    steps = []
    for at, step in enumerate(source.steps):
        values = [float(value) for value in step.value.ravel()]
        lines += [*table("float", f"step_{at}", map(_float, values)), ""]
        steps.append(f"x = x {_STEPS[step.op]} step_{at}[{'i' if len(values) > 1 else '0'}];")
    if source.ranks:
        starts = [0]
        for known in source.ranks:
            starts.append(starts[-1] + len(known))
        numbers = [_float(float(value)) for known in source.ranks for value in known]
        lines += [*table("float", "known", numbers), "", *table("uint32_t", "known_from", starts), ""]
        body = [
            "uint32_t low = known_from[i], high = known_from[i + 1];",
            "while (low < high) {",
            "    uint32_t middle = low + (high - low) / 2;",
            "    if (known[middle] < x)",
            "        low = middle + 1;",
            "    else",
            "        high = middle;",
            "}",
            f"input[i] = ({prefix}_input)(low - known_from[i]);",
        ]
    else:
        low, high = _LIMITS[tensor.dtype]
        body = [
            f"int32_t whole = nearest(x / {_float(tensor.scale)}) + {tensor.zero_point};",
            f"input[i] = ({prefix}_input)(whole < {low} ? {low} : whole > {high} ? {high} : whole);",
        ]
    inner = ["float x = row[i];", *steps, "if (x != x)", "    return -1;", *body]
    return [
        *lines,
        f"int {prefix}_quantise(const float *row, {prefix}_input *input)",
        "{",
        f"    for (int i = 0; i < {tensor.size}; i++) {{",
        *(f"        {line}" for line in inner),
        "    }",
        "    return 0;",
        "}",
        "",
    ]


def answer(graph: Graph, prefix: str) -> list[str]:
    """The function that decides among the results."""
    return [
        f"int {prefix}_answer(const {prefix}_output *output)",
        "{",
        "    int best = 0;",
        f"    for (int i = 1; i < {graph.result.size}; i++)",
        "        best = output[i] > output[best] ? i : best;",
        "    return best;",
        "}",
        "",
    ]


def _float(value: float) -> str:
    """A float32 exactly, as C99 writes it: hexadecimal."""
    import numpy as np

    if not np.isfinite(value):
        raise Refused(f"a constant of its input is {value}, which C has no number for")
    return float(np.float32(value)).hex() + "f"
