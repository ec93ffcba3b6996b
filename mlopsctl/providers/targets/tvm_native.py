"""``use: tvm`` for other processors: a bundle of library, loader and run script, run by an emulator beside the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...adapters.artifact import evidence, unrun, write_description
from ...adapters.native import (
    PROCESSORS,
    RUNTIME,
    build_bundle,
    emulator_version,
    run_bundle,
    runner,
    target_words,
)
from ...adapters.tools import TOOLS, require
from ...provider import Context
from ...types import Json, Outcome

if TYPE_CHECKING:
    from .tvm_rows import Work

SCRIPT = """\
#!/bin/sh
# Rows from the standard input (one a line, numbers split by commas), answers to the standard output.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
exec "$here/predict" "$here/model.so" "$@"
"""


def make(work: Work, ctx: Context) -> Outcome:
    """Compiles and links the bundle, runs it on the whole view where that can be done here, and keeps the difference."""
    spec, arch = work.spec, work.spec.arch
    processor = PROCESSORS[arch]
    require((processor.compiler,), f"arch: {arch}")
    mcpu = spec.processor
    parts, artifact = ctx.scratch / "parts", ctx.scratch / "artifact"
    parts.mkdir()
    artifact.mkdir()
    ctx.tell(f"compiling with TVM for {mcpu}")
    built = work.build("tvm_native", parts, target_words(arch, mcpu))
    ctx.tell(f"linking with {processor.compiler}")
    versions = build_bundle(parts, _sources(), artifact, arch, seconds=spec.timeout, log=ctx.scratch / "build.log")
    (artifact / "model.h").write_bytes((_sources() / "model.h").read_bytes())
    (artifact / "run.sh").write_text(SCRIPT, encoding="utf-8")
    (artifact / "run.sh").chmod(0o755)
    described = _described(work, mcpu)
    write_description(artifact, **described)
    figures: dict[str, Json] = {
        **work.figures,
        "mcpu": mcpu,
        "kernels": built["kernels"],
        "buffer_bytes": built["arena"],
        "weight_bytes": (parts / "weights.bin").stat().st_size,
    }
    made_with = {"tvm": built["tvm"], "llvm": built["llvm"], **versions}
    ports = {"inputs": work.description["inputs"], "outputs": work.description["outputs"]}
    before = runner(arch)
    if before is None:
        why = f"{processor.emulator} is not here to run it: {TOOLS[processor.emulator].install}"
        facts = unrun(
            artifact,
            work.model.digest,
            proof="compiled",
            why=why,
            runtime=RUNTIME,
            device="cpu",
            arch=arch,
            figures=figures,
            **ports,
        )
        return Outcome({"artifact": artifact}, facts, made_with)
    rows = work.rows(ctx)
    after = run_bundle(artifact, described, rows.feeds, ctx.scratch, seconds=spec.timeout, memory=spec.memory)
    found = work.compare(rows, after)
    facts = evidence(
        artifact,
        work.model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        runtime=RUNTIME,
        arch=arch,
        proof="emulated" if before else "device-run",
        figures=figures,
        **ports,
    )
    return Outcome({"artifact": artifact}, facts, {**made_with, **emulator_version(arch, ctx.scratch)})


def _sources() -> Path:
    from ... import workers

    return Path(str(workers.__file__)).parent / "native"


def _described(work: Work, mcpu: str) -> dict[str, Any]:
    return {
        "runtime": RUNTIME,
        "model": "model.so",
        "name": work.model.address.name,
        "inputs": work.description["inputs"],
        "outputs": work.description["outputs"],
        "classes": work.classes,
        "arch": work.spec.arch,
        "mcpu": mcpu,
        "batch": work.spec.batch,
        "run": ["./run.sh"],
    }
