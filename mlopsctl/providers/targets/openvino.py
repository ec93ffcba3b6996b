"""``use: openvino``: the model in OpenVINO's own form, run here on every row of the view beside the original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...adapters.artifact import evidence, judge_agreement, known, require_host, write_description
from ...adapters.lineage import model_and_view
from ...adapters.tools import require
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    diff_by_fingerprint,
    no_notes,
    no_sources,
    nothing_to_remove,
    nothing_to_verify,
    read_from_trail,
    result,
    run,
)
from ...types import Need, Observed, Outcome, Resource, Verdict
from .fields import agreement_field, tolerance_field, view_field

RESULT_VERSION = 1
LATER_KEYS = ("device", "quantize", "fallback", "max_accuracy_drop", "batch", "part", "lanes")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model converted to OpenVINO, which computes it in 32 bits on x86-64 (needs the extra ``openvino``)."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    arch: Literal["x86-64"] = result("x86-64", doc="The processor architecture.")
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long the converter may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that the converter may use.", quantity="size")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, and the view of its data on which the artifact is compared with it."""
    return model_and_view(spec.model, spec.view, specs)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest."""
    return judge_agreement(seen.facts, tolerance=want.spec.tolerance, min_agreement=want.spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Converts the model in a limited process, runs both on the whole view and keeps how far they differ."""
    from ...adapters.comparison import compare_on
    from ...adapters.features import feed
    from ...adapters.inference import inspect_model, run_fully
    from ...adapters.library import run_library
    from ...adapters.table import read_table

    spec: Spec = want.spec
    require_host(spec.arch)
    require(("openvino",), "use: openvino")
    model, data = known(inputs, "model"), known(inputs, "data")
    if model.facts.get("kind") == "opaque":
        raise ProviderError(
            f"{model.address} is no ONNX model, so OpenVINO can not compile it",
            hint=f"write use: program at {want.address}",
            code="MLO1409",
        )
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    description = inspect_model(original)
    artifact = ctx.scratch / "artifact"
    artifact.mkdir()
    ctx.tell("converting with OpenVINO")
    version = convert(original, artifact / "model.xml", seconds=spec.timeout, memory=spec.memory)
    ports = {"inputs": description["inputs"], "outputs": description["outputs"]}
    write_description(
        artifact,
        runtime="openvino",
        model="model.xml",
        name=model.address.name,
        classes=data.facts.get("classes"),
        **ports,
    )
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    ctx.tell(f"comparing artifact and model on {table.rows} rows")
    feeds = feed(table, data.facts, description["inputs"])
    before = run_fully(original, feeds)
    after = run_library(artifact, feeds, ctx.scratch, seconds=spec.timeout, memory=spec.memory)
    found = compare_on(table, data.facts, before.outputs, after, description=description, keys=before.keys)
    facts = evidence(
        artifact,
        model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        runtime="openvino",
        arch=spec.arch,
        figures={"opset": description["opset"], "ir": description["ir"]},
        **ports,
    )
    return Outcome({"artifact": artifact}, facts, {"openvino": version})


def convert(model: Path, out: Path, *, seconds: float, memory: int) -> str:
    """Writes ``out`` and its weights beside it; returns OpenVINO's version. Raises ProviderError where it refuses the model."""
    from ...adapters.model_fit import Limits, refuse
    from ...adapters.worker import run_worker
    from ...workers import openvino_build

    answer = run_worker(
        Path(openvino_build.__file__),
        {"model": str(model), "out": str(out), "limits": Limits(external=True, max_elements=2**32)._asdict()},
        seconds=seconds,
        memory=memory,
        task="converting with OpenVINO",
    )
    hint = "OpenVINO takes ai.onnx operators, not the trees and scalers of ai.onnx.ml; use: onnxruntime takes those"
    if "error" in answer:
        raise ProviderError(f"OpenVINO does not take the model: {answer['error']}", hint=hint, code="MLO1433")
    refuse("OpenVINO", [str(item["what"]) for item in answer.get("findings", ())], hint)
    return str(answer["openvino"])
