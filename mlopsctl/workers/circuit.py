"""Writes the circuit of one quantised ONNX model, and what it must answer: ``python -I circuit.py REQUEST.json``.

The request holds ``model``, ``lanes``, ``rows`` (a ``.npy`` of float rows), ``out`` (a folder for the circuit's files) and
``facts`` (a folder for the rest). There it leaves ``rows.bin`` and ``answers.bin``: the bytes of every row, and those of every answer
with the two of its label, as the integer model computes them; and ``N.npy`` for each output of the model, made from these answers.
The answer names ``outputs`` in that order, the ``bytes_in`` and ``bytes_out`` of a row, and ``host``: what turns a row into bytes;
or ``refused``, why there is no circuit, with the ``node``; or ``error``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlopsctl.integer import reference
from mlopsctl.integer.from_onnx import read
from mlopsctl.integer.graph import Graph, Refused
from mlopsctl.integer.verilog.files import circuit
from mlopsctl.workers.doing import answer


def write(request: Mapping[str, Any]) -> dict[str, Any]:
    """Reads, writes and executes."""
    import onnx

    try:
        graph = read(onnx.load(request["model"], load_external_data=False))
        files = circuit(graph, request["lanes"])
        whole = reference.quantise(graph, np.load(request["rows"], allow_pickle=False))
    except Refused as refused:
        return {"refused": str(refused), "node": refused.node}
    for name, text in files.items():
        (Path(request["out"]) / name).write_text(text, encoding="utf-8")
    result = graph.result
    found = reference.run(graph, whole)[result.name]
    facts = Path(request["facts"])
    (facts / "rows.bin").write_bytes(_bytes(whole))
    (facts / "answers.bin").write_bytes(_with_labels(found))
    outputs = reference.finish(graph, {result.name: found})
    for number, array in enumerate(outputs.values()):
        np.save(facts / f"{number}.npy", array, allow_pickle=False)
    return {
        "outputs": list(outputs),
        "bytes_in": whole[:1].nbytes,
        "bytes_out": found[:1].nbytes,
        "operations": len(graph.ops),
        "host": _host(graph),
        "onnx": onnx.__version__,
    }


def _bytes(array: Any) -> bytes:
    return bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())


def _with_labels(found: Any) -> bytes:
    flat = found.reshape(len(found), -1)
    labels = flat.argmax(axis=1).astype("<u2").view(np.uint8).reshape(-1, 2)
    given = np.frombuffer(_bytes(flat), np.uint8).reshape(len(flat), -1)
    return bytes(np.concatenate([given, labels], axis=1).tobytes())


def _host(graph: Graph) -> dict[str, Any]:
    """What a program has to do on both ends of the circuit."""
    source, tensor, result = graph.source, graph.tensors[graph.source.tensor], graph.result
    return {
        "input": {
            "type": tensor.dtype,
            "scale": repr(tensor.scale),
            "zero_point": tensor.zero_point,
            "steps": [{"op": step.op, "value": [repr(float(v)) for v in step.value.ravel()]} for step in source.steps],
            "ranks": [[repr(float(v)) for v in column] for column in source.ranks],
        },
        "result": {
            "type": result.dtype,
            "scale": repr(result.scale),
            "zero_point": result.zero_point,
            "size": result.size,
        },
        "outputs": [{"name": sink.name, "tail": sink.tail, "labels": list(sink.labels)} for sink in graph.sinks],
    }


if __name__ == "__main__":
    sys.exit(answer(write))
