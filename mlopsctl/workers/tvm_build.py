"""Compiles one ONNX model with Apache TVM: ``python -I tvm_build.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out``, ``batch`` (rows a call), ``mcpu``, ``memory`` (bytes of address space) and ``seconds``
(of processor time). The answer is written to ``answer.json``: versions, or ``error``.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

LINK = ["-Wl,--build-id=none", "-s"]
"""Without these the linker writes an identifier and symbols that differ from run to run."""


def build(model: str, out: str, batch: int, mcpu: str) -> dict[str, Any]:
    """Writes a shared library with one function ``main`` for exactly ``batch`` rows.

    The batch is fixed because TVM orders the code that computes free shapes by memory address, which makes the bytes
    differ from run to run. Raises ValueError for a processor that LLVM does not know: it would be passed over silently.
    """
    import onnx
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx
    from tvm.support import cc

    known = {str(name) for name in tvm.get_global_func("target.llvm_get_cpu_archlist")(_target(tvm, ""))}
    if mcpu not in known:
        raise ValueError(f"LLVM knows no processor '{mcpu}'; it knows {', '.join(sorted(known))}")
    loaded = onnx.load(model)
    weights = {item.name for item in loaded.graph.initializer}
    shapes = {item.name: _shape(item, batch) for item in loaded.graph.input if item.name not in weights}
    module = from_onnx(loaded, shape_dict=shapes)
    relax.build(module, target=_target(tvm, mcpu)).export_library(out, fcompile=cc.create_shared, options=LINK)
    return {"tvm": tvm.__version__, "llvm": str(tvm.get_global_func("target.llvm_version_major")())}


def _target(tvm: Any, mcpu: str) -> Any:
    return tvm.target.Target({"kind": "llvm", "mtriple": "x86_64-linux-gnu", **({"mcpu": mcpu} if mcpu else {})})


def _shape(item: Any, batch: int) -> list[int]:
    sizes = [size.dim_value for size in item.type.tensor_type.shape.dim]
    if not sizes or sizes[0] not in (0, batch) or not all(sizes[1:]):
        raise ValueError(f"input '{item.name}' has the shape {sizes}; needed is [rows, fixed sizes…] with free rows")
    return [batch, *sizes[1:]]


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # A worker must not outlive an mlopsctl that was killed: prctl(2), PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        answer = build(request["model"], request["out"], request["batch"], request["mcpu"])
    except Exception as error:  # noqa: BLE001 — every failure of the compiler becomes an answer, never a traceback
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
