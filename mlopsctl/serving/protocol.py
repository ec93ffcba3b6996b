"""The Open Inference Protocol V2 over JSON: request bytes to arrays, arrays to answer bytes.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from math import prod
from typing import Annotated, Any

import msgspec
import numpy as np

from .artifact import Port

MAX_EMPTY = 2**20
"""Rows (or whatever else) that a tensor without a value may claim to have: they cost the sender nothing."""
Arrays = Mapping[str, "np.ndarray[Any, Any]"]


class ModelFailed(Exception):
    """The runtime failed on this request."""


class Rejected(Exception):
    """The request cannot be answered; ``status`` is the HTTP status that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Tensor(msgspec.Struct):
    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0, le=2**40)]]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] = {}


class _Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """One request as it came; the tensors' data are still text."""

    inputs: list[_Tensor]
    id: str = ""
    outputs: list[_Wanted] = []
    parameters: dict[str, Any] = {}


class _Answer(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[dict[str, Any]]
    id: str = ""
    parameters: dict[str, Any] = {}


NUMPY: Mapping[str, tuple[np.dtype[Any], type]] = {
    "BOOL": (np.dtype(np.bool_), bool),
    "UINT8": (np.dtype(np.uint8), int),
    "UINT16": (np.dtype(np.uint16), int),
    "UINT32": (np.dtype(np.uint32), int),
    "UINT64": (np.dtype(np.uint64), int),
    "INT8": (np.dtype(np.int8), int),
    "INT16": (np.dtype(np.int16), int),
    "INT32": (np.dtype(np.int32), int),
    "INT64": (np.dtype(np.int64), int),
    "FP16": (np.dtype(np.float16), float),
    "FP32": (np.dtype(np.float32), float),
    "FP64": (np.dtype(np.float64), float),
    "BYTES": (np.dtype(object), str),
}
"""datatype -> element type of the array, and the JSON type that its elements must have."""

_OF_NUMPY = {dtype: name for name, (dtype, _) in NUMPY.items()}

_request = msgspec.json.Decoder(InferRequest)
_encode = msgspec.json.Encoder().encode


@cache
def _data_decoder(element: type, depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = element
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def decode_request(body: bytes | bytearray) -> InferRequest:
    """Reads the JSON of a request. Raises Rejected (400)."""
    try:
        return _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(400, f"this is no inference request: {error}") from None


def feeds(request: InferRequest, ports: tuple[Port, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """The request's tensors as arrays, checked against the model's inputs. Raises Rejected (400)."""
    if len(request.inputs) == 1 and len(ports) == 1 and request.inputs[0].name == ports[0].name:
        return {ports[0].name: _array(request.inputs[0], ports[0])}
    given = {tensor.name: tensor for tensor in request.inputs}
    known = {port.name: port for port in ports}
    if len(given) != len(request.inputs):
        raise Rejected(400, "two inputs have the same name")
    if missing := [name for name in known if name not in given]:
        raise Rejected(400, f"missing input: {', '.join(missing)}")
    if unknown := [name for name in given if name not in known]:
        raise Rejected(400, f"unknown input: {', '.join(unknown)}; this model takes {', '.join(known)}")
    return {name: _array(given[name], port) for name, port in known.items()}


def columns(request: InferRequest) -> dict[str, np.ndarray[Any, Any]]:
    """The request's tensors as arrays, for a model that declares no inputs. Raises Rejected (400)."""
    if not request.inputs:
        raise Rejected(400, "the request has no inputs")
    return {
        tensor.name: _array(tensor, Port(tensor.name, tensor.datatype, (None,) * len(tensor.shape)))
        for tensor in request.inputs
    }


def _array(tensor: _Tensor, port: Port) -> np.ndarray[Any, Any]:
    if tensor.datatype != port.datatype:
        raise Rejected(400, f"input {port.name} is {tensor.datatype}, this model takes {port.datatype}")
    if tensor.datatype not in NUMPY:
        raise Rejected(400, f"input {port.name}: datatype {tensor.datatype} is not known")
    shape = tensor.shape
    if len(shape) != len(port.shape) or any(
        want is not None and want != got for want, got in zip(port.shape, shape, strict=True)
    ):
        takes = [-1 if size is None else size for size in port.shape]
        raise Rejected(400, f"input {port.name} has the shape {shape}, this model takes {takes}")
    if 0 in shape and prod(filter(None, shape)) > MAX_EMPTY:
        raise Rejected(400, f"input {port.name}: the shape {shape} is too large for a tensor without values")
    dtype, element = NUMPY[tensor.datatype]
    try:
        values = _data_decoder(element, _depth(tensor.data)).decode(tensor.data)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            array = np.array(values, dtype=dtype)
    except msgspec.DecodeError as error:
        raise Rejected(400, f"input {port.name}: {error} (data)") from None
    except (ValueError, OverflowError, TypeError) as error:
        raise Rejected(400, f"input {port.name}: {error}") from None
    if array.ndim > 1 and list(array.shape) != shape:
        raise Rejected(400, f"input {port.name}: data has the shape {list(array.shape)}, the request says {shape}")
    try:
        array = array.reshape(shape)
    except ValueError:
        raise Rejected(
            400, f"input {port.name}: data has {array.size} values, the shape {shape} needs {int(np.prod(shape))}"
        ) from None
    if element is float and not np.isfinite(array).all():
        raise Rejected(400, f"input {port.name}: a value does not fit {tensor.datatype}")
    return array


def _depth(data: msgspec.Raw) -> int:
    """How many lists the first element stands in (1 to 8)."""
    depth = 0
    for byte in memoryview(data)[:64]:
        if byte == 0x5B:
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return min(max(depth, 1), 8)


def encode_answer(
    name: str,
    version: str,
    request: InferRequest,
    outputs: Mapping[str, np.ndarray[Any, Any]],
    parameters: dict[str, Any],
) -> bytes:
    """The answer as JSON bytes, tensors flat in row-major order.

    Raises Rejected (422) where an output holds NaN or infinity: JSON has no such number, and null would hide it.
    """
    tensors = []
    for key, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Rejected(422, f"for this input the model's output {key} holds NaN or infinity")
        datatype = _OF_NUMPY.get(array.dtype, "BYTES")
        tensors.append({"name": key, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()})
    return _encode(_Answer(name, version, tensors, request.id, parameters))


def wanted_outputs(request: InferRequest, ports: Iterable[Port]) -> list[str]:
    """The names of the outputs to answer with. Raises Rejected (400) for one that the model has not."""
    known = [port.name for port in ports]
    if not request.outputs:
        return known
    names = [output.name for output in request.outputs]
    if unknown := [name for name in names if known and name not in known]:
        raise Rejected(400, f"unknown output: {', '.join(unknown)}; this model gives {', '.join(known)}")
    return names


def encode(value: Any) -> bytes:
    """``value`` as JSON bytes."""
    return _encode(value)
