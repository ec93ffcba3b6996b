"""Reads, loads and runs one ONNX model: ``python -I onnx_run.py REQUEST.json``, run in an empty folder.

The request holds ``command`` (``inspect``, ``check`` or ``run``), ``model``, ``memory`` (bytes of address space) and
``seconds`` (of processor time); ``run`` also takes ``feeds`` (input name -> .npy file), ``out`` (a folder for .npy files),
``threads`` and ``batch``; ``check`` takes the bounds of ``look_for_trouble``. The answer is written to ``answer.json``; a failure is
``{"error": text, "kind": parse | outside | load | run | memory}``.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

_NO_MEMORY = ("bad_alloc", "Failed to allocate memory", "std::length_error", "BFCArena", "SafeInt", "overflow")


class Refused(Exception):
    """What is wrong with the model, and the kind of failure it is."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def parse(path: str) -> Any:
    """The model as protobuf, without the tensors it keeps in other files."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # noqa: BLE001 — protobuf and onnx raise kinds of their own
        raise Refused("parse", f"{Path(path).name} is no ONNX model: {_first_line(error)}") from None
    if not model.graph.output:
        raise Refused("parse", f"{Path(path).name} is no ONNX model: it holds no graph with outputs")
    return model


def describe(model: Any, path: str) -> dict[str, Any]:
    """Opset, signature, operators and size of a parsed model."""
    weights = {tensor.name for tensor in model.graph.initializer}
    opsets = {item.domain: item.version for item in model.opset_import}
    operators = Counter(f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in nodes_of(model))
    external = sorted({name for tensor in tensors_of(model) for name in [location(tensor)] if name is not None})
    folder = Path(path).parent
    files = [Path(path), *(folder / name for name in external if is_inside(folder, name) and (folder / name).is_file())]
    return {
        "opset": opsets.get("", opsets.get("ai.onnx", 0)),
        "opsets": opsets,
        "ir": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "inputs": [_port(item) for item in model.graph.input if item.name not in weights],
        "outputs": [_port(item) for item in model.graph.output],
        "metadata": {item.key: item.value for item in model.metadata_props},
        "labels": _class_labels(model),
        "ops": dict(sorted(operators.items())),
        "nodes": sum(operators.values()),
        "external": external,
        "size": sum(file.stat().st_size for file in files),
    }


def graphs_of(model: Any) -> Iterator[Any]:
    """The main graph and every graph inside a node's attributes."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def nodes_of(model: Any) -> Iterator[Any]:
    for graph in graphs_of(model):
        yield from graph.node


def tensors_of(model: Any) -> Iterator[Any]:
    """Every tensor stored in the model: weights and constants, in subgraphs too."""
    for graph in graphs_of(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
    for training in model.training_info:
        yield from training.initialization.initializer
        yield from training.algorithm.initializer


def location(tensor: Any) -> str | None:
    """The file outside the model that holds a tensor's data; None where the model holds it."""
    if not tensor.external_data and tensor.data_location == 0:
        return None
    return next((item.value for item in tensor.external_data if item.key == "location"), "")


def is_inside(folder: Path, name: str) -> bool:
    """Whether ``name`` is a relative path to a plain file in the folder, not reached through a link."""
    if not name or Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name or "\0" in name:
        return False
    steps = [folder.joinpath(*Path(name).parts[: depth + 1]) for depth in range(len(Path(name).parts))]
    return not any(step.is_symlink() for step in steps)


def refuse_outside(model: Any, path: str) -> None:
    """Refuses a model that reads files outside its folder, before anything follows the path."""
    for tensor in tensors_of(model):
        name = location(tensor)
        if name is not None and not is_inside(Path(path).parent, name):
            raise Refused("outside", f"tensor '{tensor.name}' lies in '{name}', outside the model's folder")


def look_for_trouble(
    model: Any, path: str, *, domains: list[str], max_nodes: int, max_elements: int, max_rank: int
) -> list[str]:
    """What forbids a model before it is loaded, one sentence each; empty where nothing does."""
    found = []
    for tensor in tensors_of(model):
        name = location(tensor)
        if name is not None and not is_inside(Path(path).parent, name):
            found.append(f"tensor '{tensor.name}' lies in '{name}', outside the model's folder")
        found += _too_large(f"tensor '{tensor.name}'", tensor.dims, max_elements, max_rank)
    constants = dict(_constant_shapes(model))
    own = {(function.domain, function.name) for function in model.functions}
    count = 0
    for node in nodes_of(model):
        count += 1
        if node.domain not in domains and (node.domain, node.op_type) not in own:
            found.append(f"operator {node.domain}::{node.op_type} is not of the standard: it would run foreign code")
        if node.op_type in ("ConstantOfShape", "Expand", "Reshape", "Tile"):
            for given in node.input:
                if given in constants:
                    found += _too_large(f"{node.op_type} '{node.name}'", constants[given], max_elements, max_rank)
    for graph in graphs_of(model):
        for value in [*graph.input, *graph.output, *graph.value_info] if hasattr(graph, "initializer") else ():
            dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim] if hasattr(value, "type") else []
            found += _too_large(f"value '{value.name}'", [dim or 1 for dim in dims], max_elements, max_rank)
    if count > max_nodes:
        found.append(f"the graph has {count} operators; at most {max_nodes} are allowed")
    return list(dict.fromkeys(found))


def _too_large(what: str, dims: Any, max_elements: int, max_rank: int) -> list[str]:
    if len(dims) > max_rank:
        return [f"{what} has {len(dims)} dimensions; at most {max_rank} are allowed"]
    size = prod(max(int(dim), 1) for dim in dims)
    return [f"{what} claims {size} elements; at most {max_elements} are allowed"] if size > max_elements else []


def _constant_shapes(model: Any) -> Iterator[tuple[str, list[int]]]:
    """Small whole-number constants that a graph may use as a shape."""
    from onnx import TensorProto, numpy_helper

    def small(tensor: Any) -> bool:
        return tensor.data_type == TensorProto.INT64 and location(tensor) is None and len(tensor.dims) == 1

    for graph in graphs_of(model):
        named = [(tensor.name, tensor) for tensor in getattr(graph, "initializer", ())]
        for node in graph.node:
            if node.op_type == "Constant":
                named += [(node.output[0], item.t) for item in node.attribute if item.name == "value"]
        for name, tensor in named:
            if small(tensor) and tensor.dims[0] <= 64:
                yield name, [int(value) for value in numpy_helper.to_array(tensor)]


def _class_labels(model: Any) -> list[Any] | None:
    """The class labels that the last classifier of ai.onnx.ml gives its scores to, in order."""
    found: list[Any] | None = None
    for node in model.graph.node:
        if node.domain == "ai.onnx.ml":
            for attribute in node.attribute:
                if attribute.name in ("classlabels_ints", "classlabels_int64s", "classlabels_strings"):
                    values = list(attribute.ints) or [value.decode("utf-8", "replace") for value in attribute.strings]
                    found = values or found
    return found


def _port(value: Any) -> dict[str, Any]:
    import onnx

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return {"name": value.name, "dtype": (kind or "unknown").removesuffix("_type"), "shape": [None]}
    tensor = value.type.tensor_type
    name = "string"
    if tensor.elem_type not in (0, onnx.TensorProto.STRING):
        name = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape = [dim.dim_value if dim.WhichOneof("value") == "dim_value" else None for dim in tensor.shape.dim]
    return {"name": value.name, "dtype": name, "shape": shape}


def session(path: str, threads: int) -> Any:
    """The model loaded by ONNX Runtime on the processor, with as many threads as given."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 — the runtime raises kinds of its own
        raise Refused(_kind(error, "load"), f"ONNX Runtime does not load it: {_first_line(error)}") from None


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the model over all rows in batches and writes one .npy file an output."""
    import numpy as np
    import onnxruntime

    refuse_outside(parse(request["model"]), request["model"])
    loaded = session(request["model"], request["threads"])
    feeds = {name: np.load(file, allow_pickle=False) for name, file in request["feeds"].items()}
    rows = min((len(array) for array in feeds.values()), default=0)
    fixed = {item.shape[0] for item in loaded.get_inputs() if item.shape and isinstance(item.shape[0], int)}
    batch = fixed.pop() if len(fixed) == 1 else request["batch"]
    names = [item.name for item in loaded.get_outputs()]
    parts: dict[str, list[Any]] = {name: [] for name in names}
    keys: dict[str, list[Any]] = {}
    for start in range(0, rows, batch):
        count = min(batch, rows - start)
        # A model of one fixed batch size gets its last batch filled up with copies of the last row.
        size = batch if isinstance(loaded.get_inputs()[0].shape[0], int) else count
        chosen = np.minimum(np.arange(start, start + size), rows - 1)
        given = {name: _native(array[chosen]) for name, array in feeds.items()}
        try:
            answers = loaded.run(names, given)
        except Exception as error:  # noqa: BLE001 — the runtime raises kinds of its own
            raise Refused(_kind(error, "run"), _first_line(error)) from None
        for name, answer in zip(names, answers, strict=True):
            parts[name].append(_rows(name, answer, size, keys)[:count])
    for number, name in enumerate(names):
        array = np.concatenate(parts[name]) if parts[name] else np.zeros(0, np.float32)
        np.save(Path(request["out"]) / f"{number}.npy", array, allow_pickle=False)
    return {"names": names, "keys": keys, "onnxruntime": onnxruntime.__version__}


def _native(array: Any) -> Any:
    return array.astype(object) if array.dtype.kind == "U" else array


def _rows(name: str, answer: Any, count: int, keys: dict[str, list[Any]]) -> Any:
    """One output as an array with a row for each row put in; a list of maps becomes columns in order of the keys."""
    import numpy as np

    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        order = keys.setdefault(name, sorted(answer[0]))
        answer = np.array([[row[key] for key in order] for row in answer])
    if not isinstance(answer, np.ndarray) or answer.ndim == 0 or len(answer) != count:
        shape = list(answer.shape) if isinstance(answer, np.ndarray) else type(answer).__name__
        raise Refused("run", f"output '{name}' is {shape} for {count} rows: it must have one row for each")
    return answer.astype(str) if answer.dtype.kind == "O" else answer


def smoke(path: str) -> str:
    """Runs one row of zeros: what a model does with its memory shows only then."""
    import numpy as np

    kinds = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(string)": "U1"}
    loaded = session(path, 1)
    feeds = {}
    for item in loaded.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in item.shape]
        dtype = kinds.get(item.type, item.type.removeprefix("tensor(").removesuffix(")"))
        feeds[item.name] = _native(np.zeros(shape, {"float16": "f2"}.get(dtype, dtype)))
    try:
        loaded.run(None, feeds)
    except Exception as error:  # noqa: BLE001 — the runtime raises kinds of its own
        if _kind(error, "run") == "memory":
            raise Refused("memory", _first_line(error)) from None
        return "refused a row of zeros"  # that is the model's right: zeros may be no valid row
    return "ran"


def inspect(request: dict[str, Any]) -> dict[str, Any]:
    """What the model is, once ONNX Runtime has loaded it."""
    import onnxruntime

    model = parse(request["model"])
    refuse_outside(model, request["model"])
    found = describe(model, request["model"])
    session(request["model"], 1)
    return {**found, "onnxruntime": onnxruntime.__version__}


def check(request: dict[str, Any]) -> dict[str, Any]:
    """What is suspicious about the model; it is loaded and run once only where nothing is."""
    import onnxruntime

    model = parse(request["model"])
    bounds = {key: request[key] for key in ("domains", "max_nodes", "max_elements", "max_rank")}
    found = look_for_trouble(model, request["model"], **bounds)
    description = describe(model, request["model"])
    ran = "" if found else smoke(request["model"])
    return {**description, "findings": found, "smoke": ran, "onnxruntime": onnxruntime.__version__}


def _kind(error: Exception, otherwise: str) -> str:
    text = str(error)
    return "memory" if isinstance(error, MemoryError) or any(word in text for word in _NO_MEMORY) else otherwise


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # A worker must not outlive an mlopsctl that was killed: prctl(2), PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        answer = {"inspect": inspect, "check": check, "run": run}[request["command"]](request)
    except Refused as refused:
        answer = {"error": str(refused), "kind": refused.kind}
    except MemoryError:
        answer = {"error": "it needs more memory than it may use", "kind": "memory"}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
