"""``use: onnxruntime``: the model as ONNX Runtime optimises it, in 8 bits where asked, run here on every row of the view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...adapters.artifact import (
    evidence,
    judge_agreement,
    known,
    require_host,
    write_description,
)
from ...adapters.lineage import model_and_view
from ...adapters.quantisation import (
    Scheme,
    calibration_need,
    check_bounds,
    judge_accuracy_drop,
    quantise,
)
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
from ...types import Json, Need, Observed, Outcome, Resource, Verdict
from .fields import (
    agreement_field,
    calibration_field,
    drop_field,
    inconclusive_field,
    tolerance_field,
    view_field,
)

RESULT_VERSION = 1
LATER_KEYS = ("device", "fallback", "batch")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model optimised by ONNX Runtime for the processor it is served on."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    arch: Literal["x86-64"] = result("x86-64", doc="The processor architecture.")
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    quantize: Literal["none", "int8", "dynamic"] = result(
        "none",
        doc="int8: weights and values in 8 bits, scales calibrated on training rows; dynamic: scales found at each call.",
        looser=("none", "dynamic", "int8"),
    )
    calibration: int = calibration_field()
    max_accuracy_drop: float = drop_field()
    inconclusive: Literal["block", "warn"] = inconclusive_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long the compiler may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that the compiler may use.", quantity="size")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, the view of its data on which the artifact is compared with it, and for int8 the training rows."""
    check_bounds(spec, usual=Spec())
    rows = calibration_need(spec.model, specs) if spec.quantize == "int8" else ()
    return (*model_and_view(spec.model, spec.view, specs), *rows)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest."""
    spec: Spec = want.spec
    if spec.quantize != "none":
        return judge_accuracy_drop(seen.facts, spec.max_accuracy_drop, warn=spec.inconclusive == "warn")
    return judge_agreement(seen.facts, tolerance=spec.tolerance, min_agreement=spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Optimises the model in a limited process, runs both on the whole view and keeps how far they differ."""
    from ...adapters.comparison import compare_on
    from ...adapters.features import feed
    from ...adapters.inference import inspect_model, run_fully, run_model
    from ...adapters.table import read_table

    spec: Spec = want.spec
    require_host(spec.arch)
    model, data = known(inputs, "model"), known(inputs, "data")
    if model.facts.get("kind") == "opaque":
        raise ProviderError(
            f"{model.address} is no ONNX model, so ONNX Runtime can not optimise it",
            hint=f"write use: program at {want.address}",
            code="MLO1409",
        )
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    artifact = ctx.scratch / "artifact"
    artifact.mkdir()
    form, figures, versions = _quantised(original, spec, inputs, ctx)
    ctx.tell("optimising with ONNX Runtime")
    versions |= {"onnxruntime": _optimise(form, artifact / "model.onnx", spec)}
    description = inspect_model(original)
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    ctx.tell(f"comparing artifact and model on {table.rows} rows")
    feeds = feed(table, data.facts, description["inputs"])
    before = run_fully(original, feeds)
    after = run_model(artifact / "model.onnx", feeds)
    found = compare_on(table, data.facts, before.outputs, after, description=description, keys=before.keys)
    write_description(
        artifact,
        runtime="onnxruntime",
        model="model.onnx",
        name=model.address.name,
        inputs=description["inputs"],
        outputs=description["outputs"],
        classes=data.facts.get("classes"),
    )
    facts = evidence(
        artifact,
        model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        runtime="onnxruntime",
        arch=spec.arch,
        inputs=description["inputs"],
        outputs=description["outputs"],
        figures={"opset": description["opset"], "ir": description["ir"], "level": "extended", **figures},
    )
    return Outcome({"artifact": artifact}, facts, versions)


def _quantised(model: Path, spec: Spec, inputs: Inputs, ctx: Context) -> tuple[Path, dict[str, Json], dict[str, str]]:
    """The model in 8 bits where that is asked for, its figures, and the versions of what made it."""
    if spec.quantize == "none":
        return model, {}, {}
    ctx.tell(f"quantising: {spec.quantize}")
    # A folder of its own: a file beside a model is taken for its weights.
    (ctx.scratch / "quantised").mkdir()
    out = ctx.scratch / "quantised" / "model.onnx"
    made = quantise(
        model,
        out,
        Scheme(spec.quantize),
        "quantize:",
        ctx,
        inputs=inputs,
        rows=spec.calibration,
        seconds=spec.timeout,
        memory=spec.memory,
    )
    figures: dict[str, Json] = {"quantize": spec.quantize, "quantised": made["quantised"]}
    if spec.quantize == "int8":
        figures["calibration_rows"] = made["rows"]
    return out, figures, {"onnx": str(made["onnx"])}


def _optimise(model: Path, out: Path, spec: Spec) -> str:
    from ...adapters.model_fit import Limits, refuse
    from ...adapters.worker import run_worker
    from ...workers import ort_optimise

    answer = run_worker(
        Path(ort_optimise.__file__),
        {"model": str(model), "out": str(out), "limits": Limits(external=True, max_elements=2**32)._asdict()},
        seconds=spec.timeout,
        memory=spec.memory,
        task="optimising with ONNX Runtime",
    )
    if "error" in answer:
        raise ProviderError(
            f"ONNX Runtime does not take the model: {answer['error']}",
            hint="check the model with onnx.checker; ONNX Runtime reads IR versions up to 13 and its own list of"
            " operators, so export with a lower opset or IR version",
            code="MLO1410",
        )
    refuse("ONNX Runtime", [str(item["what"]) for item in answer.get("findings", ())], "train or export the model anew")
    return str(answer["onnxruntime"])
