"""``use: tvm`` for GPUs: kernels, their launches and a script that runs them without TVM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...adapters.artifact import evidence, unrun, write_description
from ...adapters.gpu import api_of, compile_kernels, lacking, run_kernels
from ...adapters.tools import TOOLS
from ...canonical import decimal
from ...provider import Context
from ...types import Json, Outcome

if TYPE_CHECKING:
    from .tvm_rows import Work


def make(work: Work, ctx: Context) -> Outcome:
    """Writes the kernels, compiles them where nvcc is here, and runs them on the whole view where something can."""
    from ... import workers

    spec, arch, api = work.spec, work.spec.arch, api_of(work.spec.arch)
    artifact = ctx.scratch / "artifact"
    artifact.mkdir()
    ctx.tell(f"writing kernels for {arch}")
    words = {"kind": api, **({"arch": arch} if api == "cuda" else {})}
    built = work.build("tvm_gpu", artifact, words)
    script = Path(str(workers.__file__)).parent / "native" / "gpu_run.py"
    (artifact / "run.py").write_bytes(script.read_bytes())
    versions = {"tvm": str(built["tvm"])}
    if api == "cuda":
        ctx.tell("compiling with nvcc")
        versions |= compile_kernels(
            artifact, str(built["source"]), arch, seconds=spec.timeout, log=ctx.scratch / "nvcc.log"
        )
    compiled = "nvcc" in versions
    model = "kernels.cubin" if compiled else str(built["source"])
    ports = {"inputs": work.description["inputs"], "outputs": work.description["outputs"]}
    write_description(
        artifact,
        runtime=api,
        model=model,
        name=work.model.address.name,
        classes=work.classes,
        arch=arch,
        batch=spec.batch,
        run=["python", "run.py"],
        **ports,
    )
    figures: dict[str, Json] = {
        **work.figures,
        "kernels": built["kernels"],
        "launches": built["launches"],
        "buffer_bytes": built["arena"],
        "weight_bytes": built["weights"],
    }
    if why := lacking(arch):
        proof: Literal["emitted", "compiled"] = "compiled" if compiled else "emitted"
        facts = unrun(
            artifact,
            work.model.digest,
            proof=proof,
            why=_why(api, why, compiled),
            runtime=api,
            device="gpu",
            arch=arch,
            figures=figures,
            **ports,
        )
        return Outcome({"artifact": artifact}, facts, versions)
    return _compared(work, ctx, artifact, figures, versions)


def _why(api: str, lack: str, compiled: bool) -> str:
    more = "" if compiled or api != "cuda" else f"; {TOOLS['nvcc'].install} brings nvcc, which compiles it"
    there = "" if api == "webgpu" else "; python run.py --check model.onnx in the artifact's folder compares it there"
    return lack + more + there


def _compared(
    work: Work, ctx: Context, artifact: Path, figures: Mapping[str, Json], versions: Mapping[str, str]
) -> Outcome:
    spec, api = work.spec, api_of(work.spec.arch)
    rows = work.rows(ctx)
    after, told = run_kernels(artifact, rows.feeds, ctx.scratch, seconds=spec.timeout, memory=spec.memory)
    found = work.compare(rows, after)
    on_gpu = told["kind"] == "gpu"
    ran: dict[str, Any] = {"ran_on": str(told["device"])}
    if on_gpu:
        # Only a GPU's own time is a figure of the artifact; a processor in its place says nothing of it.
        ran["latency_seconds"] = decimal(float(told["seconds_a_batch"]), 9)
    facts = evidence(
        artifact,
        work.model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        runtime=api,
        device="gpu",
        arch=spec.arch,
        proof="device-run" if on_gpu else "emulated",
        inputs=work.description["inputs"],
        outputs=work.description["outputs"],
        figures={**figures, **ran},
    )
    return Outcome({"artifact": artifact}, facts, versions)
