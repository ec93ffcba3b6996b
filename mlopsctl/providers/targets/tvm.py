"""``use: tvm``: the model compiled to machine code by Apache TVM, run here on every test row beside the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...adapters.artifact import (
    evidence,
    judge_agreement,
    known,
    require_host,
    write_description,
)
from ...adapters.lineage import model_address, model_and_view
from ...adapters.tools import require
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import ManifestError, ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    diff_by_fingerprint,
    no_sources,
    nothing_to_remove,
    nothing_to_verify,
    read_from_trail,
    result,
    run,
)
from ...types import Need, Observed, Outcome, Resource, Verdict
from .fields import agreement_field, tolerance_field, view_field

if TYPE_CHECKING:
    from .tvm_rows import Work

RESULT_VERSION = 1
LATER_KEYS = ("quantize", "max_accuracy_drop", "tune")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model compiled to a shared library by Apache TVM (needs the extra ``tvm``)."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    device: Literal["cpu", "gpu"] = result("cpu", doc="What the artifact runs on.")
    arch: Literal[
        "x86-64",
        "arm64",
        "armv7",
        "riscv64",
        "sm_75",
        "sm_80",
        "sm_86",
        "sm_87",
        "sm_89",
        "sm_90",
        "sm_100",
        "sm_103",
        "sm_110",
        "sm_120",
        "sm_121",
        "opencl",
        "webgpu",
    ] = result("x86-64", doc="The processor's architecture; of a GPU its sm_ number, or the interface: opencl, webgpu.")
    mcpu: str = result(
        "x86-64-v3",
        doc="The processor, in LLVM's words (x86-64-v3, cortex-a72); other architectures default to what all of them run.",
        pattern="^[a-z0-9_.-]+$",
    )
    batch: int = result(1, doc="How many rows one call of the library takes.", minimum=1, maximum=4096)
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long the compiler may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that the compiler may use.", quantity="size")

    fallback: tuple[str, ...] = run(
        (), doc="Targets that deployments take in its place, the first of them that this machine can make and run."
    )

    @property
    def lacks(self) -> str:
        """What this machine lacks to make the artifact and run it, found by looking for files; empty where nothing."""
        from ...adapters.gpu import lacking
        from ...adapters.tools import missing

        without = [f"{tool.name} is not here: {tool.install}" for tool in missing(("tvm",))]
        return without[0] if without else lacking(self.arch) if self.device == "gpu" else ""

    @property
    def made_for(self) -> str:
        """The other device that the artifact is for, in words; empty where a server of ours loads it."""
        return "" if self.arch == "x86-64" else f"{'a GPU, ' if self.device == 'gpu' else ''}arch: {self.arch}"

    @property
    def processor(self) -> str:
        """What is compiled for: ``mcpu``, whose default is meant for x86-64 alone."""
        if self.arch == "x86-64" or self.mcpu != "x86-64-v3":
            return self.mcpu
        from ...adapters.native import PROCESSORS

        return PROCESSORS[self.arch].mcpu


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, and the view of its data on which the artifact is compared with it. Raises ManifestError."""
    on_gpu = spec.arch.startswith("sm_") or spec.arch in ("opencl", "webgpu")
    if on_gpu != (spec.device == "gpu"):
        raise ManifestError(
            f"arch: {spec.arch} is {'one of GPUs' if on_gpu else 'none of a GPU'}, and device: is {spec.device}",
            hint="write device: gpu with arch: sm_90 (the GPU's compute capability), opencl or webgpu, or leave both out",
            code="MLO1440",
        )
    unknown = [name for name in spec.fallback if name not in specs.get("targets", {})]
    if unknown or len(set(spec.fallback)) != len(spec.fallback):
        raise ManifestError(
            f"fallback: names {', '.join(unknown)}, which are no targets" if unknown else "fallback: names one twice",
            hint="name other targets of the same model, the preferred one first",
            code="MLO1442",
        )
    for name in spec.fallback:
        other = specs["targets"][name]
        if other is spec or model_address(other.model, specs) != model_address(spec.model, specs):
            raise ManifestError(
                f"fallback: {name} is {'the target itself' if other is spec else 'made of another model'}",
                hint="name other targets of the same model, the preferred one first",
                code="MLO1442",
            )
    return model_and_view(spec.model, spec.view, specs)


def notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """Why deployments take another target, where they do."""
    if want.spec.fallback and (lacks := want.spec.lacks):
        return (f"{lacks}; deployments take {', else '.join(want.spec.fallback)}",)
    return ()


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest."""
    return judge_agreement(seen.facts, tolerance=want.spec.tolerance, min_agreement=want.spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Compiles the model in a limited process, runs both on the whole view and keeps how far they differ."""
    from ...adapters.inference import inspect_model
    from .tvm_rows import Work

    spec: Spec = want.spec
    if spec.arch == "x86-64":
        require_host(spec.arch)
    require(("tvm",), "use: tvm")
    model, data = known(inputs, "model"), known(inputs, "data")
    if model.facts.get("kind") == "opaque":
        raise ProviderError(
            f"{model.address} is no ONNX model, so TVM can not compile it",
            hint=f"write use: program at {want.address}",
            code="MLO1409",
        )
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    work = Work(spec, model, data, original, inspect_model(original))
    if spec.arch == "x86-64":
        return _make_here(work, ctx)
    from . import tvm_gpu, tvm_native

    return tvm_gpu.make(work, ctx) if spec.device == "gpu" else tvm_native.make(work, ctx)


def _make_here(work: Work, ctx: Context) -> Outcome:
    from ...adapters.library import run_library

    spec = work.spec
    artifact = ctx.scratch / "artifact"
    artifact.mkdir()
    ctx.tell(f"compiling with TVM for {spec.mcpu}")
    versions = work.build("tvm_build", artifact / "model.so", {"mcpu": spec.mcpu})
    ports = {"inputs": work.description["inputs"], "outputs": work.description["outputs"]}
    write_description(
        artifact,
        runtime="tvm",
        model="model.so",
        name=work.model.address.name,
        classes=work.classes,
        batch=spec.batch,
        **ports,
    )
    rows = work.rows(ctx)
    after = run_library(
        artifact, rows.feeds, ctx.scratch, seconds=spec.timeout, memory=spec.memory, processor=spec.mcpu
    )
    found = work.compare(rows, after)
    facts = evidence(
        artifact,
        work.model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        runtime="tvm",
        arch=spec.arch,
        figures={**work.figures, "mcpu": spec.mcpu},
        **ports,
    )
    return Outcome({"artifact": artifact}, facts, {key: str(value) for key, value in versions.items()})
