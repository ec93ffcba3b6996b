"""Turns one ONNX model into GPU kernels and the list of their launches: ``python -I tvm_gpu.py REQUEST.json``.

The request holds ``model``, ``out`` (a folder), ``batch`` (rows a call), ``target`` (TVM's words), ``memory`` (bytes of address space)
and ``seconds`` (of processor time). Written are the kernels' source, ``weights.bin`` and ``launches.json``, from which
``native/gpu_run.py`` runs the model without TVM. The answer is written to ``answer.json``: versions and sizes, or ``error``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopsctl.workers.doing import answer
from mlopsctl.workers.tvm_lower import Program, findings, load, lower

FILES = {"cuda": "kernels.cu", "opencl": "kernels.cl", "webgpu": "kernels.wgsl"}
_LARGE = 4096
"""Numbers from which on a matrix product is worth tiles of shared memory: smaller ones leave most of a tile empty."""
_AXES = ("x", "y", "z")


def build(model: str, out: Path, batch: int, words: dict[str, Any]) -> dict[str, Any]:
    """Writes the files; kernels are arranged by DLight's rules, so equal models give equal text."""
    import tvm
    from tvm.tirx.build import codegen_build, split_host_device_mods

    target = tvm.target.Target(words, host={"kind": "llvm", "mtriple": "x86_64-linux-gnu"})
    module, outputs = load(model, batch)
    program = lower(module, outputs, target, lambda module: _arrange(module, target))
    bound = tvm.tirx.transform.BindTarget(target)(tvm.IRModule(program.kernels))
    pipeline, _, finish = tvm.tirx.get_default_tir_pipeline(target)
    host, devices = split_host_device_mods(pipeline(bound))
    launches = _launches(program, host)
    sources = [codegen_build(finish()(device), kind).inspect_source() for kind, device in devices.items()]
    (out / FILES[words["kind"]]).write_text("".join(sources), encoding="utf-8")
    (out / "weights.bin").write_bytes(program.weights)
    described = _described(program, launches, batch, words)
    (out / "launches.json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return {
        "tvm": tvm.__version__,
        "source": FILES[words["kind"]],
        "kernels": len({launch["kernel"] for launch in launches}),
        "launches": len(launches),
        "arena": program.arena,
        "weights": len(program.weights),
    }


def _arrange(module: Any, target: Any) -> Any:
    """Binds every kernel's loops to blocks and threads."""
    import tvm
    from tvm.s_tir import dlight

    class Matmul(dlight.gpu.Matmul):  # type: ignore[misc, unused-ignore]
        """Tiles of shared memory, for products that fill them."""

        def apply(self, function: Any, target: Any, tunable: bool) -> Any:
            sizes = [int(size) for size in function.params[-1].ty.shape]
            return super().apply(function, target, tunable) if _product(sizes) >= _LARGE else None

    rules = (
        Matmul(),
        dlight.gpu.GEMV(),
        dlight.gpu.Reduction(),
        dlight.gpu.GeneralReduction(),
        dlight.gpu.Fallback(),
    )
    with target:
        return tvm.transform.Sequential([dlight.ApplyDefaultSchedule(*rules)])(module)


def _product(sizes: list[int]) -> int:
    found = 1
    for size in sizes:
        found *= size
    return found


def _launches(program: Program, host: Any) -> list[dict[str, Any]]:
    """Each kernel launch in order: name, grid, block and arguments, which are places in the arena or among the weights."""
    import tvm_ffi
    from tvm.ir import Call

    calls: dict[str, list[Any]] = {}
    for name, function in ((var.name_hint, function) for var, function in host.functions.items()):
        found: list[Any] = []
        tvm_ffi.structural_walk(function.body, (Call, found.append), order="post")
        calls[name] = [call for call in found if getattr(call.op, "name", "") == "tirx.call_ffi_kernel"]
    launches = []
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        names = [f"{param.name}.data" for param in kernel.params]
        if len(set(names)) != len(names):
            raise ValueError(f"the kernel {step.kernel} has two arguments of one name")
        places = dict(zip(names, step.arguments, strict=True))
        if not calls[step.kernel]:
            raise ValueError(f"the kernel {step.kernel} was not arranged for a GPU")
        launches += [_launch(call, places, program) for call in calls[step.kernel]]
    return launches


def _launch(call: Any, places: Mapping[str, int], program: Program) -> dict[str, Any]:
    tags = [str(tag) for tag in call.attrs.launch_params]
    name, *rest = call.args
    arguments, sizes = rest[: len(rest) - len(tags)], rest[len(rest) - len(tags) :]
    extents = dict(zip(tags, map(int, sizes), strict=True))
    strange = sorted(set(tags) - {f"{kind}.{axis}" for kind in ("blockIdx", "threadIdx") for axis in _AXES})
    unknown = [str(item) for item in arguments if str(item) not in places]
    if strange or unknown:
        raise ValueError(f"the kernel {name} needs {', '.join(strange + unknown)}, which this launcher does not give")
    tensors = [program.tensors[places[str(item)]] for item in arguments]
    return {
        "kernel": str(name).strip('"'),
        "grid": [extents.get(f"blockIdx.{axis}", 1) for axis in _AXES],
        "block": [extents.get(f"threadIdx.{axis}", 1) for axis in _AXES],
        "arguments": [[tensor.kind, tensor.offset, tensor.bytes] for tensor in tensors],
    }


def _described(
    program: Program, launches: list[dict[str, Any]], batch: int, words: Mapping[str, Any]
) -> dict[str, Any]:
    def ports(named: list[tuple[str, int]]) -> list[dict[str, Any]]:
        tensors = [(name, program.tensors[number]) for name, number in named]
        return [{"name": n, "dtype": t.dtype, "shape": list(t.shape), "offset": t.offset} for n, t in tensors]

    return {
        "format": 1,
        "api": words["kind"],
        "arch": words.get("arch", ""),
        "source": FILES[words["kind"]],
        "batch": batch,
        "arena": program.arena,
        "inputs": ports(program.inputs),
        "outputs": ports(program.outputs),
        "launches": launches,
    }


def _do(request: Mapping[str, Any]) -> dict[str, Any]:
    if found := findings(request["model"]):
        return {"findings": found}
    return build(request["model"], Path(request["out"]), request["batch"], request["target"])


if __name__ == "__main__":
    sys.exit(answer(_do))
