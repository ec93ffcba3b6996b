"""Compiles one ONNX model with Apache TVM: ``python -I tvm_build.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out``, ``batch`` (rows a call), ``target`` with ``mcpu``, ``memory`` (bytes of address space) and ``seconds``
(of processor time). The answer is written to ``answer.json``: versions, or ``error``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlopsctl.workers.doing import answer
from mlopsctl.workers.tvm_lower import findings, fuse, load
from mlopsctl.workers.tvm_schedule import arrange

LINK = ["-Wl,--build-id=none", "-s"]
"""Without these the linker writes an identifier and symbols that differ from run to run."""


def build(model: str, out: str, batch: int, mcpu: str) -> dict[str, Any]:
    """Writes a shared library with one function ``main`` for exactly ``batch`` rows.

    The batch is fixed because TVM orders the code that computes free shapes by memory address, which makes the bytes
    differ from run to run. Raises ValueError for a processor that LLVM does not know: it would be passed over silently.
    """
    import tvm
    from tvm import relax
    from tvm.support import cc

    known = {str(name) for name in tvm.get_global_func("target.llvm_get_cpu_archlist")(_target(tvm, ""))}
    if mcpu not in known:
        raise ValueError(f"LLVM knows no processor '{mcpu}'; it knows {', '.join(sorted(known))}")
    module, _ = load(model, batch)
    target = _target(tvm, mcpu)
    module = fuse(module, target, arrange)
    with target:
        relax.build(module, target=target, relax_pipeline=_rest(tvm)).export_library(
            out, fcompile=cc.create_shared, options=LINK
        )
    return {"tvm": tvm.__version__, "llvm": str(tvm.get_global_func("target.llvm_version_major")())}


def _rest(tvm: Any) -> Any:
    """TVM's own passes for processors after fusion, which was done already: doing it again would undo the arrangement."""
    from tvm.relax.backend.cpu_generic import pipeline

    return tvm.transform.Sequential([*pipeline.dataflow_lower_passes(None), *pipeline.finalize_passes(None)])


def _target(tvm: Any, mcpu: str) -> Any:
    return tvm.target.Target({"kind": "llvm", "mtriple": "x86_64-linux-gnu", **({"mcpu": mcpu} if mcpu else {})})


def _do(request: Mapping[str, Any]) -> dict[str, Any]:
    if found := findings(request["model"]):
        return {"findings": found}
    return build(request["model"], request["out"], request["batch"], request["target"]["mcpu"])


if __name__ == "__main__":
    sys.exit(answer(_do))
