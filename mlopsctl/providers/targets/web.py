"""``use: web``: a page that runs the model in a browser, opened here in Chromium and asked about every test row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from ...adapters.artifact import evidence, judge_agreement, known, unrun, write_description
from ...adapters.lineage import model_and_view
from ...adapters.tools import TOOLS, find, require
from ...budgets import Budget, budget, priority_field
from ...canonical import decimal
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
    run,
)
from ...types import Json, Need, Observed, Outcome, Resource, Verdict
from .fields import agreement_field, tolerance_field, view_field

if TYPE_CHECKING:
    from ...adapters.artifact import Known
    from ...adapters.browser import Browsed
    from ...adapters.comparison import Comparison
    from ...adapters.table import Table

RESULT_VERSION = 1
LATER_KEYS = ("device", "arch", "quantize", "fallback", "max_accuracy_drop", "resources", "batch", "part", "lanes")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A web page that runs the model in the reader's browser, without a server and without a network."""

    model: str = run("", doc="The model to put into the page; may be left out where only one exists.", ref="train")
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    timeout: float = run(600.0, doc="How long optimising may take, and the browser.", quantity="duration")
    memory: int = run(8 * 2**30, doc="What the optimiser may use, and each process of the browser.", quantity="size")

    @property
    def made_for(self) -> str:
        """What no server of ours loads."""
        return "browsers"


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, and the view of its data on which the page is compared with it."""
    return model_and_view(spec.model, spec.view, specs)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest."""
    return judge_agreement(seen.facts, tolerance=want.spec.tolerance, min_agreement=want.spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes the page around the optimised model, opens it in Chromium and keeps how far it differs on the whole view."""
    from ...adapters.inference import inspect_model
    from ...adapters.table import read_table
    from ...adapters.web_bundle import VERSION, refuse_unaskable

    spec: Spec = want.spec
    model, data = known(inputs, "model"), known(inputs, "data")
    if model.facts.get("kind") == "opaque":
        raise ProviderError(
            f"{model.address} is no ONNX model, so no page can run it",
            hint=f"write use: program at {want.address}",
            code="MLO1409",
        )
    require(("onnxruntime-web",), "use: web")
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    description = inspect_model(original)
    refuse_unaskable(description)
    artifact = ctx.scratch / "artifact"
    artifact.mkdir()
    ctx.tell("optimising with ONNX Runtime")
    versions = {"onnxruntime": _optimise(original, artifact / "model.onnx", spec), "onnxruntime-web": VERSION}
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    _write(artifact, model, data, table, description)
    about: dict[str, Any] = {"runtime": "web", "device": "browser", "arch": "wasm32"}
    about |= {"inputs": description["inputs"], "outputs": description["outputs"]}
    figures: dict[str, Json] = {"opset": description["opset"], "ir": description["ir"]}
    if find("chromium") is None:
        why = f"Chromium is not here: {TOOLS['chromium'].install}, then mlopsctl apply --replace {want.address}"
        facts = unrun(artifact, model.digest, proof="emitted", why=why, figures=figures, **about)
        return Outcome({"artifact": artifact}, facts, versions)
    ctx.tell(f"asking page and model about {table.rows} rows")
    ran, found = _compared(artifact, original, data, table, description, spec)
    figures |= {"latency_ms": decimal(median(ran.latency_ms), 4), "load_ms": decimal(ran.load_ms, 0)}
    facts = evidence(
        artifact, model.digest, found.agreement, metrics=found.metrics, view=spec.view, figures=figures, **about
    )
    return Outcome({"artifact": artifact}, facts, {**versions, "chromium": ran.browser})


def _write(artifact: Path, model: Known, data: Known, table: Table, description: Mapping[str, Any]) -> None:
    from ...adapters.table import feature_names
    from ...adapters.web_bundle import fixed_batch, write_bundle
    from ...measures.predictions import class_order

    classes = data.facts.get("classes") or ()
    write_bundle(
        artifact,
        name=model.address.name,
        description=description,
        classes=class_order(description, (), classes) if classes else (),
        features=feature_names(table, data.facts),
        label=str(data.facts.get("label") or ""),
    )
    write_description(
        artifact,
        runtime="web",
        model="model.onnx",
        name=model.address.name,
        inputs=description["inputs"],
        outputs=description["outputs"],
        classes=data.facts.get("classes"),
        page="index.html",
        batch=fixed_batch(description),
    )


def _compared(
    artifact: Path, original: Path, data: Known, table: Table, description: Mapping[str, Any], spec: Spec
) -> tuple[Browsed, Comparison]:
    from ...adapters.browser import browse
    from ...adapters.comparison import compare_on
    from ...adapters.features import feed
    from ...adapters.inference import run_fully

    feeds = feed(table, data.facts, description["inputs"])
    before = run_fully(original, feeds)
    ran = browse(artifact, feeds, seconds=spec.timeout, memory=spec.memory)
    found = compare_on(table, data.facts, before.outputs, ran.outputs, description=description, keys=before.keys)
    return ran, found


def _optimise(model: Path, out: Path, spec: Spec) -> str:
    from ...adapters.model_fit import Limits, refuse
    from ...adapters.worker import run_worker
    from ...workers import ort_optimise

    limits = Limits(external=True)._asdict()
    answer = run_worker(
        Path(ort_optimise.__file__),
        {"model": str(model), "out": str(out), "whole": True, "limits": limits},
        seconds=spec.timeout,
        memory=spec.memory,
        task="optimising with ONNX Runtime",
    )
    if "error" in answer:
        raise ProviderError(
            f"ONNX Runtime does not take the model: {answer['error']}",
            hint="check the model with onnx.checker, and export it with a lower opset or IR version",
            code="MLO1410",
        )
    refuse("use: web", [str(item["what"]) for item in answer.get("findings", ())], "train or export the model anew")
    return str(answer["onnxruntime"])
