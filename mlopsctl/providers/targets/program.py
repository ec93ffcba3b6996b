"""``use: program``: a model that only its own program can run, packed with the command that asks it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...adapters.artifact import (
    MACHINES,
    class_count,
    evidence,
    judge_agreement,
    known,
    write_description,
)
from ...adapters.lineage import model_and_view
from ...budgets import Budget, Resources, budget, priority_field, resources_field
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
    import numpy as np

    from ...adapters.agreement import Agreement
    from ...adapters.table import Table

    Array = np.ndarray[Any, Any]

RESULT_VERSION = 1
LATER_KEYS = (
    "arch",
    "device",
    "quantize",
    "fallback",
    "max_accuracy_drop",
)

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """An opaque model (its training step has ``predict:``) and the program that answers for it."""

    model: str = run("", doc="The model to pack; may be left out where only one exists.", ref="train")
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, and the view of its data on which the artifact is compared with it."""
    return model_and_view(spec.model, spec.view, specs)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison against the bars of today's manifest."""
    return judge_agreement(seen.facts, tolerance=want.spec.tolerance, min_agreement=want.spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Packs the model's folder, and asks the packed program and the original about every row of the view."""
    from ...adapters.agreement import compare
    from ...adapters.comparison import program_metrics
    from ...adapters.inference import run_program
    from ...adapters.table import feature_names, read_table

    spec: Spec = want.spec
    model, data = known(inputs, "model"), known(inputs, "data")
    argv = model.facts.get("predict")
    if model.facts.get("kind") != "opaque" or not argv:
        raise ProviderError(
            f"{model.address} has no program to pack: it is an ONNX model or has no predict: command",
            hint=f"leave use: out at {want.address}, or write predict: at {model.address}",
            code="MLO1414",
        )
    original = ctx.store.checkout(model.digest, ctx.scratch / "model")
    # Two copies: a program may write beside itself (__pycache__), and nothing but the model belongs into the artifact.
    trial = ctx.store.checkout(model.digest, ctx.scratch / "trial")
    artifact = ctx.store.checkout(model.digest, ctx.scratch / "artifact")
    if (artifact / "artifact.json").exists():
        raise ProviderError(
            f"{model.address} wrote a file artifact.json, the name of the description that this target adds",
            hint="let the training program write that file under another name",
            code="MLO1415",
        )
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    features = feature_names(table, data.facts)
    rows = _rows(table, features)
    ctx.tell(f"asking artifact and model about {table.rows} rows")
    answers = run_program(argv, original, rows, root=ctx.root)
    outputs = _columns(answers)

    def ask(folder: Path) -> list[Any]:
        return run_program(argv, folder, rows, root=ctx.root)

    def against(again: Sequence[Any]) -> Agreement:
        return compare(outputs, _columns(again), classes=class_count(data.facts))

    packed = ask(trial)
    found = against(packed)
    itself = found if found.exact else against(ask(original))
    ports = {"inputs": _ports(table, features), "outputs": [_port(*item) for item in outputs.items()]}
    write_description(
        artifact,
        runtime="program",
        model=".",
        name=model.address.name,
        classes=data.facts.get("classes"),
        predict=list(argv),
        **ports,
    )
    facts = evidence(
        artifact,
        model.digest,
        found,
        metrics=program_metrics(table, data.facts, answers, packed),
        view=spec.view,
        runtime="program",
        arch=MACHINES.get(platform.machine(), platform.machine()),
        figures={
            "deterministic": itself.exact,
            "agreement_with_itself": decimal(itself.share, 9),
            "max_abs_diff_with_itself": decimal(itself.max_abs_diff, 10),
        },
        inputs=ports["inputs"],
        outputs=ports["outputs"],
    )
    return Outcome({"artifact": artifact}, facts)


def _rows(table: Table, features: Sequence[str]) -> list[dict[str, Any]]:
    """One object a row, as JSON can hold it: a missing number is null."""
    columns = {
        name: [None if value != value else value for value in table.columns[name].tolist()]  # noqa: PLR0124 — NaN
        for name in features
    }
    return [{name: columns[name][row] for name in features} for row in range(table.rows)]


def _columns(answers: Sequence[Any]) -> dict[str, Array]:
    """One array an output: of an object every key, of any other answer ``output``."""
    named = [answer if isinstance(answer, dict) else {"output": answer} for answer in answers]
    names = sorted({name for answer in named for name in answer})
    return {name: _array([answer.get(name) for answer in named]) for name in names}


def _array(values: list[Any]) -> Array:
    """Numbers as numbers, anything else as its JSON text."""
    import json

    import numpy as np

    try:
        array = np.array(values)
    except ValueError:
        array = np.array([], dtype=object)
    if array.dtype.kind in "biuf" and len(array) == len(values):
        return array
    return np.array([value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in values])


def _ports(table: Table, features: Sequence[str]) -> list[Json]:
    return [_port(name, table.columns[name]) for name in features]


def _port(name: str, array: Array) -> dict[str, Json]:
    kinds: Mapping[str, str] = {"b": "bool", "i": "int64", "u": "int64", "f": "float64"}
    return {"name": name, "dtype": kinds.get(array.dtype.kind, "string"), "shape": [None, *map(int, array.shape[1:])]}
