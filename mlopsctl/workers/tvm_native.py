"""Compiles one ONNX model for a processor of any kind: ``python -I tvm_native.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out`` (a folder), ``batch`` (rows a call), ``target`` (TVM's words for the processor, with
``mcpu``), ``memory`` (bytes of address space) and ``seconds`` (of processor time). Written are ``kernels.o``, ``weights.bin`` and
``model.inc``, which a compiler for that processor makes ``model.so`` of, with ``native/runtime.cpp``. The answer is written to
``answer.json``: versions and sizes, or ``error``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlopsctl.workers.doing import answer
from mlopsctl.workers.tvm_lower import Program, findings, load, lower
from mlopsctl.workers.tvm_schedule import arrange

_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "bool": 6}


def build(model: str, out: Path, batch: int, words: dict[str, Any]) -> dict[str, Any]:
    """Writes the three files. Raises ValueError for a processor that LLVM does not know: it would be passed over silently."""
    import tvm

    plain = tvm.target.Target({key: value for key, value in words.items() if key != "mcpu"})
    known = {str(name) for name in tvm.get_global_func("target.llvm_get_cpu_archlist")(plain)}
    if words["mcpu"] not in known:
        raise ValueError(f"LLVM knows no processor '{words['mcpu']}' of this kind; it knows {', '.join(sorted(known))}")
    target = tvm.target.Target(words)
    module, outputs = load(model, batch)
    program = lower(module, outputs, target, arrange)
    kernels = tvm.IRModule(program.kernels)
    tvm.tirx.build(kernels, target=target).write_to_file(str(out / "kernels.o"), "o")
    (out / "weights.bin").write_bytes(program.weights)
    (out / "model.inc").write_text(tables(program, batch), encoding="utf-8")
    return {
        "tvm": tvm.__version__,
        "llvm": str(tvm.get_global_func("target.llvm_version_major")()),
        "kernels": len(program.kernels),
        "arena": program.arena,
    }


def tables(program: Program, batch: int) -> str:
    """``model.inc``: the program as tables that ``runtime.cpp`` goes through."""
    shapes = {tensor.shape: f"SHAPE_{at}" for at, tensor in enumerate(program.tensors)}
    lines = [f'extern "C" int __tvm_ffi_{name}(void *, const Any *, int32_t, Any *);' for name in program.kernels]
    lines += [f"static const int64_t {name}[] = {_row(shape or (1,))};" for shape, name in shapes.items()]
    lines += ["static const Tensor TENSORS[] = {"]
    for tensor in program.tensors:
        code, bits = _dtype(tensor.dtype)
        place = f"{tensor.kind.upper()}, {tensor.offset}, {len(tensor.shape)}"
        lines.append(f"    {{{place}, {shapes[tensor.shape]}, {code}, {bits}}},")
    arguments = [number for step in program.steps for number in step.arguments]
    lines += ["};", f"static const int ARGUMENTS[] = {_row(arguments or [0])};", "static const Step STEPS[] = {"]
    first = 0
    for step in program.steps:
        lines.append(f"    {{__tvm_ffi_{step.kernel}, {first}, {len(step.arguments)}}},")
        first += len(step.arguments)
    lines.append("};")
    for name, ports in (("INPUT_PORTS", program.inputs), ("OUTPUT_PORTS", program.outputs)):
        lines.append(f"static const Port {name}[] = {{")
        for port, number in ports:
            tensor = program.tensors[number]
            lines.append(f"    {{{json.dumps(port)}, {json.dumps(tensor.dtype)}, {number}, {tensor.bytes}}},")
        lines.append("};")
    most = max((len(step.arguments) for step in program.steps), default=1)
    lines.append(f"enum {{ BATCH = {batch}, INPUTS = {len(program.inputs)}, OUTPUTS = {len(program.outputs)} }};")
    lines.append(f"enum {{ MOST_ARGUMENTS = {most} }};")
    lines.append(f"static const uint64_t ARENA_BYTES = {max(program.arena, 1)};")
    return "\n".join(lines) + "\n"


def _row(numbers: Iterable[int]) -> str:
    return "{" + ", ".join(str(number) for number in numbers) + "}"


def _dtype(name: str) -> tuple[int, int]:
    """DLPack's code and bits of a type."""
    if name == "bool":
        return _CODES["bool"], 8
    kind = name.rstrip("0123456789")
    if kind not in _CODES or kind == name:
        raise ValueError(f"the model holds numbers of the type {name}, which this target does not take")
    return _CODES[kind], int(name.removeprefix(kind))


def _do(request: Mapping[str, Any]) -> dict[str, Any]:
    if found := findings(request["model"]):
        return {"findings": found}
    return build(request["model"], Path(request["out"]), request["batch"], request["target"])


if __name__ == "__main__":
    sys.exit(answer(_do))
