"""What a name in an ONNX graph stands for while it is read, and what is known of the model as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .fixed import requant
from .graph import Array, Op, Refused, Requant, Shape, Source, Step, Tail, Tensor

_FIRST_OPSET, _LAST_OPSET = 11, 24
_MOST = 1 << 26
"""Numbers in one constant or tensor: beyond it no device that this is for has a place for it."""


class Const(NamedTuple):
    """A constant; with ``scale`` whole numbers that stand for ``array * scale``, one scale or one along ``axis``."""

    array: Array
    scale: Array | None = None
    axis: int = 0

    def real(self) -> Array:
        """The constant in float64."""
        array = self.array.astype(np.float64)
        if self.scale is None:
            return array
        form = [1] * array.ndim
        if self.scale.size > 1:
            form[self.axis] = -1
        found: Array = array * self.scale.astype(np.float64).reshape(form)
        return found


class Raw(NamedTuple):
    """The float input, after steps that the host does; ``shape`` where it was reshaped."""

    steps: tuple[Step, ...]
    shape: Shape = ()


class Whole(NamedTuple):
    """A tensor of whole numbers."""

    tensor: str


class End(NamedTuple):
    """What a QuantizeLinear says of a result: its scale and zero point, and the bounds on the way there as whole numbers."""

    scale: Fraction
    zero_point: int
    low: int
    high: int

    def requant(self, worth: Sequence[Fraction]) -> Requant:
        """From sums to the result, where ``worth`` is the real value of one unit, for all channels or each."""
        return requant([item / self.scale for item in worth], self.zero_point, self.low, self.high)


Make: TypeAlias = Callable[[str, End], Op]


class Open(NamedTuple):
    """A result that has no scale yet. ``make(output, end)`` is the operation. ``low`` and ``high`` are the real bounds that Relu and Clip set. ``made`` is the
    shape that the operation gives, ``shape`` the one after a Reshape. ``plus`` adds real constants to a sum's channels."""

    make: Make
    made: Shape
    shape: Shape
    plus: Callable[[Array], Open] | None = None
    low: float = -np.inf
    high: float = np.inf
    folds: str = ""  # the tensor into whose operation a mere clamp may go


class Ended(NamedTuple):
    """Behind the last tensor: what the host makes of it."""

    tensor: str
    tail: Tail
    labels: tuple[int | str, ...] = ()


Value: TypeAlias = Const | Raw | Whole | Open | Ended


class Reader:
    """The graph as far as it was read."""

    def __init__(self, model: Any) -> None:
        self.constants = {item.name: _array(item) for item in model.graph.initializer}
        if model.graph.sparse_initializer:
            raise Refused("it holds sparse constants")
        inputs = [item for item in model.graph.input if item.name not in self.constants]
        if len(inputs) != 1:
            raise Refused(f"it has {len(inputs)} inputs; a device takes one row of one input")
        opsets = {item.domain: item.version for item in model.opset_import}
        opset = opsets.get("", opsets.get("ai.onnx", _LAST_OPSET))
        if not _FIRST_OPSET <= opset <= _LAST_OPSET:
            raise Refused(f"opset {opset} is not known; {_FIRST_OPSET} to {_LAST_OPSET} are")
        self.input: str = inputs[0].name
        self.input_shape = _fixed(inputs[0])
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.source: Source | None = None
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses.update(item.name for item in model.graph.output)
        self.node = ""

    def place(self, node: Any) -> str:
        """How a node is named to people, remembered for what is made of it."""
        name = node.name or (node.output[0] if node.output else "")
        self.node = f"{node.op_type} '{name}'"
        return self.node

    def constant(self, node: Any) -> Array:
        """The value of a Constant node."""
        for item in node.attribute:
            if item.name == "value":
                return _array(item.t)
            if item.name in ("value_int", "value_ints"):
                return np.array(item.i if item.name == "value_int" else list(item.ints), np.int64)
            if item.name in ("value_float", "value_floats"):
                return np.array(item.f if item.name == "value_float" else list(item.floats), np.float32)
        raise Refused("a Constant of text or of a sparse tensor")

    def tensor(self, name: str, shape: Shape, scale: float, zero_point: int) -> Whole:
        """A new tensor of int8."""
        if int(np.prod(shape, dtype=np.float64)) > _MOST:
            raise Refused(f"its result has the shape {shape}, which is too large")
        self.tensors[name] = Tensor(name, shape, "int8", scale, zero_point)
        return Whole(name)

    def known(self, value: Value, what: str) -> Tensor:
        """The tensor behind a value. Raises Refused where it is none."""
        if isinstance(value, Whole):
            return self.tensors[value.tensor]
        kinds = {
            Const: "a constant",
            Raw: "the float input",
            Open: "a float result that nothing quantised",
            Ended: "an end",
        }
        raise Refused(f"{what} is {kinds[type(value)]}, where a quantised tensor is needed")


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as plain values."""
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _array(tensor: Any) -> Array:
    from onnx import numpy_helper

    if tensor.data_location == 1:  # TensorProto.EXTERNAL
        raise Refused(f"its constant '{tensor.name}' lies in another file; save the model with its weights inside")
    if int(np.prod(list(tensor.dims), dtype=np.float64)) > _MOST:
        raise Refused(f"its constant '{tensor.name}' is too large")
    found: Array = numpy_helper.to_array(tensor)
    # A single infinity is a Clip without a bound.
    if found.dtype.kind == "f" and (np.isnan(found).any() or (found.size > 1 and np.isinf(found).any())):
        raise Refused(f"its constant '{tensor.name}' holds NaN or infinity")
    return found


def _fixed(item: Any) -> Shape:
    """An input's shape without the rows. Raises Refused where another axis is free."""
    from onnx import TensorProto

    if item.type.tensor_type.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
        raise Refused(f"input '{item.name}' is no tensor of floats")
    dims = list(item.type.tensor_type.shape.dim)[1:]
    if not dims or any(dim.WhichOneof("value") != "dim_value" or dim.dim_value < 1 for dim in dims):
        raise Refused(f"input '{item.name}' has a free axis beside the rows; export it with fixed sizes")
    return tuple(int(dim.dim_value) for dim in dims)
