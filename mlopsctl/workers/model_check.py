"""Says what a compiler cannot take of an ONNX model, node by node: ``python -I model_check.py REQUEST.json``.

Every target that compiles asks it first, through ``adapters/model_fit.py``, so that a model is refused with the name of the
node and not with a compiler's stack. A worker that has the model at hand may call ``findings`` itself.

The request holds ``model`` and ``limits``:

- ``ops``: the operators that can be taken (``Gemm``, ``ai.onnx.ml::TreeEnsembleClassifier``); null for all of the standard
- ``opset``: the least and the greatest version of ai.onnx; null for all that the installed onnx knows
- ``fixed``: whether every size but the number of rows must be known
- ``external``: whether weights may lie in files beside the model
- ``finite``: whether infinite weights are refused; weights that are not a number always are
- ``max_elements``: how many elements one tensor may have, be it a weight or what a node makes

The answer is ``{"findings": [{"kind", "node", "op", "what"}]}`` (``kind``: op, opset, shape, external, weights, huge), or
``error``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from mlopsctl.workers.doing import answer
from mlopsctl.workers.onnx_run import graphs_of, is_inside, location, nodes_of, parse

Finding = dict[str, str]


def findings(model: Any, path: str, limits: Mapping[str, Any]) -> list[Finding]:
    """What of a parsed model is beyond the limits, in the order of its nodes; empty where nothing is."""
    found = [*_versions(model, limits["opset"]), *_operators(model, limits["ops"])]
    found += _weights(model, path, limits)
    if found:
        # Sizes are inferred by the rules of the operators, which a model with foreign ones does not follow.
        return found
    return list(_sizes(model, fixed=limits["fixed"], most=limits["max_elements"]))


def _opsets(model: Any) -> dict[str, int]:
    return {"" if item.domain == "ai.onnx" else item.domain: item.version for item in model.opset_import}


def _versions(model: Any, wanted: list[int] | None) -> Iterator[Finding]:
    low, high = wanted or (1, _newest(""))
    high = min(high, _newest(""))
    version = _opsets(model).get("", 0)
    node = next((node for node in nodes_of(model) if node.domain in ("", "ai.onnx")), None)
    if node is not None and not low <= version <= high:
        yield _of(node, "opset", f"is of opset {version} of ai.onnx; taken are {low} to {high}")


def _operators(model: Any, ops: list[str] | None) -> Iterator[Finding]:
    from onnx import defs

    opsets = _opsets(model)
    own = {(function.domain, function.name) for function in model.functions}
    for node in nodes_of(model):
        domain = "" if node.domain == "ai.onnx" else node.domain
        name = f"{domain}::{node.op_type}" if domain else node.op_type
        if (node.domain, node.op_type) in own:
            continue
        if ops is not None and name not in ops:
            yield _of(node, "op", f"uses the operator {name}, which is not among those that can be taken")
        elif domain in ("", "ai.onnx.ml"):
            version = opsets.get(domain, 0)
            try:
                known = not defs.get_schema(node.op_type, min(version, _newest(domain)), domain).deprecated
            except defs.SchemaError:
                known = False
            if not known:
                yield _of(node, "op", f"uses the operator {name}, which opset {version} does not have")


def _newest(domain: str) -> int:
    from onnx import defs

    return int(defs.onnx_ml_opset_version() if domain == "ai.onnx.ml" else defs.onnx_opset_version())


def _weights(model: Any, path: str, limits: Mapping[str, Any]) -> Iterator[Finding]:
    for node, tensor in _tensors(model):
        size, file = prod(tensor.dims), location(tensor)
        if size > limits["max_elements"]:
            yield _of(node, "huge", f"has a constant of {size} elements; taken are {limits['max_elements']}")
        elif file is not None and not (limits["external"] and is_inside(Path(path).parent, file)):
            yield _of(node, "external", f"keeps the weights '{tensor.name}' in another file, '{file}'")
        else:
            yield from _values(node, tensor, path, finite=limits["finite"])


def _tensors(model: Any) -> Iterator[tuple[Any, Any]]:
    """Every stored tensor with the first node that uses it, None where none does."""
    users = {name: node for node in reversed(list(nodes_of(model))) for name in node.input if name}
    for graph in graphs_of(model):
        yield from ((users.get(tensor.name), tensor) for tensor in getattr(graph, "initializer", ()))
        for node in graph.node:
            for attribute in node.attribute:
                yield from (
                    (node, tensor)
                    for tensor in [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
                )


def _values(node: Any, tensor: Any, path: str, *, finite: bool) -> Iterator[Finding]:
    import numpy as np
    from onnx import numpy_helper

    try:
        array = numpy_helper.to_array(tensor, base_dir=str(Path(path).parent))
    except Exception as error:  # noqa: BLE001 — onnx raises kinds of its own
        yield _of(node, "weights", f"has weights '{tensor.name}' that can not be read: {error}")
        return
    if array.dtype.kind not in "fc":
        return
    if np.isnan(array).any():
        yield _of(node, "weights", f"has weights '{tensor.name}' that are not a number (NaN)")
    elif finite and np.isinf(array).any():
        yield _of(node, "weights", f"has infinite weights '{tensor.name}'")


def _sizes(model: Any, *, fixed: bool, most: int) -> Iterator[Finding]:
    """What is wrong with the size of a value, said at the node that makes it; rows count as one."""
    import onnx

    try:
        copy = onnx.shape_inference.infer_shapes(_of_one_row(model), strict_mode=fixed, data_prop=True)
    except Exception as error:  # noqa: BLE001 — onnx raises kinds of its own
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        yield {"kind": "shape", "node": "", "op": "", "what": f"its sizes do not fit each other: {text}"}
        return
    makers = {name: node for node in nodes_of(copy) for name in node.output if name}
    known: dict[str, Any] = {}
    for graph in graphs_of(copy):
        values = [*graph.input, *graph.value_info, *graph.output] if hasattr(graph, "initializer") else []
        known |= {item.name: item.type.tensor_type for item in values if item.type.HasField("tensor_type")}
    for name, kind in known.items():
        sizes = [size.dim_value if size.WhichOneof("value") == "dim_value" else None for size in kind.shape.dim]
        if fixed and (None in sizes or not kind.HasField("shape")):
            shape = ", ".join("?" if size is None else str(size) for size in sizes)
            yield _of(makers.get(name), "shape", f"leaves a size of '{name}' open: [{shape}]; taken are fixed sizes")
        elif prod(size or 1 for size in sizes) > most:
            yield _of(makers.get(name), "huge", f"makes '{name}' of {sizes}, more than {most} elements")
    if fixed:
        unknown = [name for name in makers if name not in known]
        yield from (
            _of(makers[name], "shape", f"makes '{name}' of a size that is not known beforehand") for name in unknown
        )


def _of_one_row(model: Any) -> Any:
    """A copy whose inputs have one row where the number is free, and whose outputs have what follows from that."""
    copy = type(model)()
    copy.CopyFrom(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    for item in copy.graph.input:
        sizes = item.type.tensor_type.shape.dim
        if item.name not in weights and sizes and sizes[0].WhichOneof("value") != "dim_value":
            sizes[0].dim_value = 1
    for item in [*copy.graph.output, *copy.graph.value_info]:
        item.type.tensor_type.ClearField("shape")
    return copy


def _of(node: Any, kind: str, what: str) -> Finding:
    """A finding with the node's own name, or that of what it makes: exporters often leave names out."""
    if node is None:
        return {"kind": kind, "node": "", "op": "", "what": f"the model {what}"}
    name = node.name or (node.output[0] if node.output else "")
    return {"kind": kind, "node": name, "op": node.op_type, "what": f"node '{name}' ({node.op_type}) {what}"}


def _check(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"findings": findings(parse(request["model"]), request["model"], request["limits"])}


if __name__ == "__main__":
    sys.exit(answer(_check))
