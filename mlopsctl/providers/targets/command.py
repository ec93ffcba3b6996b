"""``use: command``: a pinned program compiles the model (docs/command-protocol.md); what runs here is compared here."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...adapters.artifact import (
    MACHINES,
    Known,
    evidence,
    judge_agreement,
    known,
    size_of,
    write_description,
)
from ...adapters.lineage import model_and_view
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
from ...types import Json, Need, Observed, Outcome, Resource, Status, Verdict
from .fields import agreement_field, tolerance_field, view_field

RESULT_VERSION = 1
LATER_KEYS = ("device", "quantize", "fallback", "max_accuracy_drop")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A program that compiles the model for a runtime it names."""

    program: str = run(doc="The program: a file of this repository, or an absolute path.")
    digest: str = result(doc="The program's sha256, as sha256sum prints it.", pattern="^sha256:[0-9a-f]{64}$")
    args: tuple[str, ...] = result((), doc="Arguments of the program.")
    params: Mapping[str, Any] = result({}, doc="Settings, handed over in the request.")
    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(3600.0, doc="How long the program may take.", quantity="duration")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, and the view of its data on which the artifact is compared with it."""
    return model_and_view(spec.model, spec.view, specs)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest; none where only the program can run its artifact."""
    if seen.facts.get("proof") == "emitted":
        return Verdict(Status.NOT_ASSESSED, f"emitted: runtime {seen.facts['runtime']} was not run here")
    return judge_agreement(seen.facts, tolerance=want.spec.tolerance, min_agreement=want.spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Asks the program for ``artifact``, and compares an ONNX artifact with the model on the whole view."""
    from ...adapters.program import ask, require_output

    spec: Spec = want.spec
    model = known(inputs, "model")
    # The rows that judge the artifact are not for the program that makes it.
    own = [item for item in inputs if item.role == "model"]
    answer = ask("apply", want.address, spec, {"params": dict(spec.params)}, own, ctx)
    folder = require_output(answer, "artifact", spec.program)
    runtime, file = answer.facts.get("runtime"), answer.facts.get("model")
    named = isinstance(runtime, str) and isinstance(file, str) and folder.is_dir()
    if not named or not (folder / str(file)).is_file() or not (folder / str(file)).resolve().is_relative_to(folder):
        raise ProviderError(
            f"the program {spec.program} did not say what its artifact is",
            hint='answer with a folder, and facts {"runtime": "onnxruntime", "model": "model.onnx"} that name a file in it',
            code="MLO1417",
        )
    if (folder / "artifact.json").exists():
        raise ProviderError(
            f"the program {spec.program} wrote a file artifact.json, the name of the description that mlopsctl adds",
            hint="leave it out: mlopsctl writes it from the program's facts",
            code="MLO1415",
        )
    figures = {key: value for key, value in answer.facts.items() if key not in ("runtime", "model", "arch", "device")}
    if runtime == "onnxruntime":
        facts = _compared(want, inputs, folder, str(file), figures, ctx)
    else:
        facts = _emitted(model, folder, str(runtime), str(file), answer.facts, figures)
    return Outcome({"artifact": folder}, facts)


def _compared(
    want: Resource, inputs: Inputs, folder: Path, file: str, figures: Mapping[str, Json], ctx: Context
) -> dict[str, Json]:
    from ...adapters.comparison import compare_on
    from ...adapters.features import feed
    from ...adapters.inference import inspect_model, run_fully, run_model
    from ...adapters.table import read_table

    spec: Spec = want.spec
    model, data = known(inputs, "model"), known(inputs, "data")
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    described = inspect_model(folder / file)
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    ctx.tell(f"comparing artifact and model on {table.rows} rows")
    own = inspect_model(original)
    before = run_fully(original, feed(table, data.facts, own["inputs"]))
    after = run_model(folder / file, feed(table, data.facts, described["inputs"]))
    found = compare_on(table, data.facts, before.outputs, after, description=own, keys=before.keys)
    ports = {"inputs": described["inputs"], "outputs": described["outputs"]}
    write_description(
        folder,
        runtime="onnxruntime",
        model=file,
        name=model.address.name,
        classes=data.facts.get("classes"),
        **ports,
    )
    return evidence(
        folder,
        model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        runtime="onnxruntime",
        arch=MACHINES.get(platform.machine(), platform.machine()),
        figures=figures,
        **ports,
    )


def _emitted(
    model: Known, folder: Path, runtime: str, file: str, said: Mapping[str, Json], figures: Mapping[str, Json]
) -> dict[str, Json]:
    """What a program says of an artifact that only it can run: nothing stronger than that it was written."""
    ports = {"inputs": model.facts.get("inputs") or [], "outputs": model.facts.get("outputs") or []}
    write_description(folder, runtime=runtime, model=file, name=model.address.name, classes=None, **ports)
    return {
        "model": model.digest,
        "device": str(said.get("device", "")),
        "arch": str(said.get("arch", "")),
        "runtime": runtime,
        "proof": "emitted",
        "evidence": "external",
        "agreement": None,
        "max_abs_diff": None,
        "n": 0,
        "size": size_of(folder),
        "figures": dict(figures),
        **ports,
    }
