"""Writes a model as C and judges what a microcontroller answered: ``python -I mcu.py REQUEST.json``, in an empty folder.

The request holds ``do``, ``model`` (int8 by QDQ, or trees) and ``rows`` (a ``.npy`` file of float rows), and

- for ``emit``: ``out``, the folder that gets ``model.c``, ``model.h`` and ``kernels.h``, ``prefix``, and ``feed``, the file
  that gets the rows as the firmware reads them. The answer: ``features``, ``results``, ``operations``, ``arena`` (bytes), ``exact``.
- for ``judge``: ``answers``, what the firmware wrote, and ``outputs``, the ``.npz`` file that gets the outputs of the model as
  its names say. The answer: ``rows``, ``equal`` (rows on which all bits are those of the reference), ``ticks`` (the most that a
  run took, null where that is beyond its counter).

A model that has no form in whole numbers gives ``refused`` (with the name of its node).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlopsctl.integer import reference
from mlopsctl.integer.c.program import write
from mlopsctl.integer.from_onnx import read
from mlopsctl.integer.graph import Graph, Refused, Trees
from mlopsctl.workers.doing import answer
from mlopsctl.workers.onnx_run import parse

_UNCOUNTED = 0xFFFFFFFF


def work(request: Mapping[str, Any]) -> dict[str, Any]:
    """Emits or judges."""
    try:
        graph = read(parse(request["model"]))
        rows = np.load(request["rows"], allow_pickle=False).astype(np.float32)
        return _emit(graph, rows, request) if request["do"] == "emit" else _judge(graph, rows, request)
    except Refused as refused:
        return {"refused": str(refused)}


def _emit(graph: Graph, rows: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    program = write(graph, request["prefix"])
    for name, text in program.files.items():
        (Path(request["out"]) / name).write_text(text, encoding="utf-8")
    reference.quantise(graph, rows)
    Path(request["feed"]).write_bytes(np.ascontiguousarray(rows.reshape(len(rows), -1), "<f4").tobytes())
    return {
        "features": graph.tensors[graph.source.tensor].size,
        "results": graph.result.size,
        "operations": [type(op).__name__ for op in graph.ops],
        "arena": program.arena,
        # Trees ask the very thresholds of the model; layers round.
        "exact": all(isinstance(op, Trees) for op in graph.ops),
    }


def _judge(graph: Graph, rows: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    source, result = graph.tensors[graph.source.tensor], graph.result
    whole = reference.quantise(graph, rows)
    expected = reference.run(graph, whole)[result.name].reshape(len(rows), -1)
    form = np.dtype(
        [
            ("input", np.dtype(source.dtype).newbyteorder("<"), (source.size,)),
            ("output", np.dtype(result.dtype).newbyteorder("<"), (result.size,)),
            ("answer", "u1"),
            ("ticks", "<u4"),
        ]
    )
    data = Path(request["answers"]).read_bytes()
    if len(data) != len(rows) * form.itemsize:
        return {"error": f"the firmware answered {len(data) // form.itemsize} of {len(rows)} rows"}
    found = np.frombuffer(data, form)
    equal = (found["input"] == whole.reshape(len(rows), -1)).all(axis=1)
    equal &= (found["output"] == expected).all(axis=1) & (found["answer"] == expected.argmax(axis=1).astype("u1"))
    outputs = reference.finish(graph, {result.name: found["output"].reshape(len(rows), *result.shape)})
    np.savez(request["outputs"], **outputs)  # type: ignore[arg-type]
    ticks = int(found["ticks"].max(initial=0))
    return {"rows": len(rows), "equal": int(equal.sum()), "ticks": None if ticks == _UNCOUNTED else ticks}


if __name__ == "__main__":
    sys.exit(answer(work))
