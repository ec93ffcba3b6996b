"""``use: onnxruntime``: the model as ONNX Runtime optimises it, run here on every test row beside the original."""

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
from ...budgets import Budget, budget, priority_field
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
    policy,
    read_from_trail,
    result,
    run,
)
from ...types import Need, Observed, Outcome, Resource, Verdict

RESULT_VERSION = 1
LATER_KEYS = ("device", "quantize", "fallback", "max_accuracy_drop", "resources", "batch", "part", "lanes")

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
    view: Literal["train", "val", "test", "all"] = result(
        "test", doc="The rows on which artifact and model are compared."
    )
    tolerance: float = policy(
        1e-4,
        doc="The largest difference of any output number, as a share of max(1, |original|).",
        minimum=0,
        looser="higher",
    )
    min_agreement: float = policy(
        1.0, doc="The least share of rows that get the same answer.", minimum=0, maximum=1, looser="lower"
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    timeout: float = run(600.0, doc="How long the compiler may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that the compiler may use.", quantity="size")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, and the view of its data on which the artifact is compared with it."""
    return model_and_view(spec.model, spec.view, specs)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest."""
    return judge_agreement(seen.facts, tolerance=want.spec.tolerance, min_agreement=want.spec.min_agreement)


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
    ctx.tell("optimising with ONNX Runtime")
    version = _optimise(original, artifact / "model.onnx", spec)
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
        figures={"opset": description["opset"], "ir": description["ir"], "level": "extended"},
    )
    return Outcome({"artifact": artifact}, facts, {"onnxruntime": version})


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
