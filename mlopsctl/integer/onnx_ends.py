"""What stands behind the last tensor of a model and is the host's: Softmax, Sigmoid, ArgMax and the names of classes."""

from __future__ import annotations

from typing import Any

from .graph import Refused, Shape, Sink
from .onnx_values import Const, Ended, Reader, Value, Whole, attributes

_PASS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
KINDS = ("Softmax", "Sigmoid", "ArgMax")


def read(reader: Reader, node: Any, given: list[Value]) -> Value:
    """An end, or what a further node makes of one."""
    first = given[0]
    before = first if isinstance(first, Ended) else Ended(reader.known(first, "its input").name, "none")
    kind = node.op_type
    if kind in _PASS and before.tail != "none":
        return before
    if kind == "ArgMax" and before.tail in ("none", "softmax") and not attributes(node).get("select_last_index", 0):
        # Softmax keeps the order.
        return Ended(before.tensor, "argmax")
    if kind in ("Softmax", "Sigmoid") and before.tail == "none":
        tensor = reader.tensors[before.tensor]
        if kind == "Softmax" and (len(tensor.shape) != 1 or attributes(node).get("axis", -1) not in (-1, 1)):
            raise Refused(f"is over a part of {tensor.shape}; over all numbers of a row is known")
        return Ended(before.tensor, "softmax" if kind == "Softmax" else "sigmoid")
    raise Refused(f"operator {kind} behind the end of the model ({before.tail}) has no form here")


def labelled(given: list[Value]) -> Value:
    """ArrayFeatureExtractor of constant class names by an ArgMax."""
    names, place = given[0], given[1] if len(given) > 1 else None
    if not isinstance(names, Const) or not isinstance(place, Ended) or place.tail != "argmax":
        raise Refused("picks something else than class names by ArgMax")
    return place._replace(labels=tuple(_plain(item) for item in names.array.ravel().tolist()))


def _plain(item: Any) -> int | str:
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    return item if isinstance(item, str) else int(item)


def sink(reader: Reader, item: Any, value: Value) -> Sink:
    """How the model's output follows from its last tensor."""
    if isinstance(value, Whole):
        value = Ended(value.tensor, "none")
    if not isinstance(value, Ended):
        tensor = reader.known(value, f"output '{item.name}'")
        raise Refused(f"output '{item.name}' is {tensor.name}")
    size = 1 if value.tail == "argmax" else reader.tensors[value.tensor].size
    return Sink(item.name, value.tensor, value.tail, value.labels, _shape(item, size))


def _shape(item: Any, size: int) -> Shape:
    """The shape that the model declares, where it does and it fits."""
    dims = list(item.type.tensor_type.shape.dim) if item.type.HasField("tensor_type") else []
    found = tuple(int(dim.dim_value) for dim in dims[1:])
    total = 1
    for number in found:
        total *= number
    if dims and total == size:
        return found
    return () if size == 1 and len(dims) <= 1 else (size,)
