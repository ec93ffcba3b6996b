"""An ONNX model as TVM kernels and the list of calls that makes a model of them: no virtual machine, no allocation.

Imported by the workers that build for other processors and for GPUs. TVM's own runtime exists for few architectures; a
list of calls on fixed buffers runs on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

PREFIX = "mlopsctl_"
ALIGN = 256
"""TVM's kernels expect 64 of every pointer; parts of a buffer on a GPU begin at multiples of up to 256 bytes."""


class Tensor(NamedTuple):
    """One argument of kernels; ``kind`` is ``weight`` or ``arena``, ``offset`` its first byte there."""

    kind: str
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return prod(self.shape) * int("".join(filter(str.isdigit, self.dtype)) or 8) // 8


class Step(NamedTuple):
    """One call of a kernel with these tensors (numbers into ``Program.tensors``)."""

    kernel: str
    arguments: tuple[int, ...]


@dataclass
class Program:
    """``kernels`` are TVM's functions, ``steps`` their calls in order; inputs and outputs are numbers of tensors."""

    kernels: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[tuple[str, int]] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)
    weights: bytearray = field(default_factory=bytearray)
    arena: int = 0

    def add(self, tensor: Tensor) -> int:
        """The tensor's number."""
        if tensor in self.tensors:
            return self.tensors.index(tensor)
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def findings(path: str) -> list[dict[str, str]]:
    """What of the model TVM cannot take, with the names of the nodes; empty where nothing is. Raises ValueError."""
    from tvm.relax.frontend.onnx import onnx_frontend

    from mlopsctl.workers.model_check import findings as look
    from mlopsctl.workers.onnx_run import Refused, parse

    limits = {
        "ops": sorted(onnx_frontend._get_convert_map()),
        "opset": None,
        "fixed": True,
        "external": False,
        "finite": False,
        "max_elements": 2**28,
    }
    try:
        return look(parse(path), path, limits)
    except Refused as refused:
        raise ValueError(str(refused)) from None


def load(path: str, batch: int) -> tuple[Any, list[str]]:
    """The model as a Relax module for exactly ``batch`` rows, and the names of its outputs. Raises ValueError."""
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    loaded = onnx.load(path)
    weights = {item.name for item in loaded.graph.initializer}
    shapes = {item.name: shape(item, batch) for item in loaded.graph.input if item.name not in weights}
    return from_onnx(loaded, shape_dict=shapes), [item.name for item in loaded.graph.output]


def shape(item: Any, batch: int) -> list[int]:
    """An input's shape with ``batch`` rows. Raises ValueError where more than the rows is free."""
    sizes = [size.dim_value for size in item.type.tensor_type.shape.dim]
    if not sizes or sizes[0] not in (0, batch) or not all(sizes[1:]):
        raise ValueError(f"input '{item.name}' has the shape {sizes}; needed is [rows, fixed sizes…] with free rows")
    return [batch, *sizes[1:]]


def fuse(module: Any, target: Any, schedule: Callable[[Any], Any]) -> Any:
    """The model with its operators fused into kernels, whose loops ``schedule`` has arranged."""
    import tvm
    from tvm import relax

    passes = relax.transform
    steps = [
        passes.DecomposeOpsForInference(),
        passes.CanonicalizeBindings(),
        passes.LegalizeOps(),
        passes.AnnotateTIROpPattern(),
        passes.FoldConstant(),
        passes.FuseOps(),
        passes.FuseTIR(),
        passes.DeadCodeElimination(),
    ]
    with target:
        return schedule(tvm.transform.Sequential(steps)(module))


def lower(module: Any, outputs: Sequence[str], target: Any, schedule: Callable[[Any], Any]) -> Program:
    """Fuses and arranges, plans the buffers, and lists the calls.

    Raises ValueError where something is left that only TVM's runtime could do.
    """
    import tvm
    from tvm import relax, tirx

    passes = relax.transform
    steps = [
        passes.ToNonDataflow(),
        passes.RemovePurityChecking(),
        passes.CallTIRRewrite(),
        passes.StaticPlanBlockMemory(),
    ]
    with target:
        module = tvm.transform.Sequential(steps)(fuse(module, target, schedule))
    # In order of their names: the order in the module depends on memory addresses.
    found = sorted((var.name_hint, function) for var, function in module.functions.items())
    kernels = {name: item for name, item in found if isinstance(item, tirx.PrimFunc)}
    for name, kernel in kernels.items():
        _refuse_foreign(name, kernel)
    program = Program({PREFIX + name: item.with_attr("global_symbol", PREFIX + name) for name, item in kernels.items()})
    _Walk(program).walk(module["main"], outputs)
    return program


def _refuse_foreign(name: str, kernel: Any) -> None:
    """Raises ValueError for a kernel that calls a function of TVM's runtime, such as its sorting."""
    import tvm_ffi
    from tvm.ir import Call

    calls: list[Any] = []
    tvm_ffi.structural_walk(kernel.body, (Call, calls.append), order="post")
    for call in calls:
        if "call_packed" in str(getattr(call.op, "name", "")) or "call_cpacked" in str(getattr(call.op, "name", "")):
            raise ValueError(f"the kernel {name} calls {call.args[0]}, which only TVM's own runtime has")


class _Walk:
    """Goes through the lowered main function once; ``known`` maps its variables to tensors, storages and tuples."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.known: dict[Any, Any] = {}
        self.constants: dict[bytes, int] = {}

    def walk(self, main: Any, outputs: Sequence[str]) -> None:
        for param in main.params:
            sizes = Tensor("arena", 0, _sizes(param.ty.shape), str(param.ty.dtype))
            at = self.program.add(sizes._replace(offset=self.room(sizes.bytes)))
            self.program.inputs.append((str(param.name), at))
            self.known[param] = at
        for block in main.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self.value(binding.value)
        found = self.value(main.body.body)
        several = found if isinstance(found, list) else [found]
        self.program.outputs = list(zip(outputs, several, strict=True))

    def value(self, given: Any) -> Any:
        from tvm import relax
        from tvm.ir import GenericConst, Var

        if isinstance(given, Var):
            return self.known[given]
        if isinstance(given, relax.Tuple):
            return [self.value(item) for item in given.fields]
        if isinstance(given, relax.TupleGetItem):
            return self.value(given.tuple_value)[int(given.index)]
        if isinstance(given, GenericConst):
            return self.weight(given.value.numpy())
        return self.call(given)

    def call(self, given: Any) -> Any:
        from tvm.ir import GlobalVar

        if isinstance(getattr(given, "op", None), GlobalVar):
            arguments = tuple(self.value(item) for item in given.args)
            self.program.steps.append(Step(PREFIX + given.op.name_hint, arguments))
            return None
        name = str(getattr(getattr(given, "op", None), "name", type(given).__name__))
        if name == "relax.memory.alloc_storage":
            return self.room(prod(_sizes(given.args[0])))
        if name == "relax.memory.alloc_tensor":
            storage, offset = self.value(given.args[0]), int(given.args[1])
            return self.tensor(storage + offset, given.args[2], given.args[3])
        if name == "relax.builtin.alloc_tensor":
            sizes = Tensor("arena", 0, _sizes(given.args[0]), str(given.args[1].value))
            return self.tensor(self.room(sizes.bytes), given.args[0], given.args[1])
        if name.startswith("relax.memory.kill_"):
            return None
        raise ValueError(f"the model needs {name}, which only TVM's own runtime can do")

    def room(self, size: int) -> int:
        """The next place in the arena."""
        at = self.program.arena
        self.program.arena += _aligned(size)
        return at

    def tensor(self, offset: int, sizes: Any, dtype: Any) -> int:
        return self.program.add(Tensor("arena", offset, _sizes(sizes), str(dtype.value)))

    def weight(self, array: Any) -> int:
        data = array.tobytes()
        if data not in self.constants:
            self.constants[data] = len(self.program.weights)
            self.program.weights += data.ljust(_aligned(len(data)), b"\0")
        return self.program.add(Tensor("weight", self.constants[data], tuple(array.shape), str(array.dtype)))


def _aligned(size: int) -> int:
    return -(-max(size, 1) // ALIGN) * ALIGN


def _sizes(given: Any) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in given.values)
    except (TypeError, AttributeError):
        raise ValueError(f"the shape {given} is known only when the model runs; needed are fixed sizes") from None
