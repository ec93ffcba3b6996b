"""``use: command``: a pinned program of any language trains the model (docs/command-protocol.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import ManifestError, ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    always_fine,
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
from ...types import Json, Need, Outcome, Resource
from . import taken
from .command_line import commands
from .given import materials, only_to_choose_by, views_of

RESULT_VERSION = 1
LATER_KEYS = ("search", "output", "threshold", "max_age", "retries")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
judge = always_fine
adopt = taken.adopt
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A program that trains: it gets the training rows as JSON names them, and answers with a folder."""

    program: str = run(doc="The program: a file of this repository, or an absolute path.")
    digest: str = result(doc="The program's sha256, as sha256sum prints it.", pattern="^sha256:[0-9a-f]{64}$")
    args: tuple[str, ...] = result((), doc="Arguments of the program.")
    params: Mapping[str, Any] = result({}, doc="Settings, handed over in the request.")
    data: str = run("", doc="The dataset it trains on; may be left out where only one exists.", ref="data")
    validation: str | tuple[str, ...] = run(
        "",
        doc="The datasets it may choose by, [] for none; default: the val view of the data that it trains on.",
        ref="data",
    )
    seed: int = result(0, doc="The seed, handed over in the request.", minimum=0, maximum=2**32 - 1)
    predict: str = result(
        "", doc="For a model that is not ONNX: reads JSON lines, prints one line a row.", placeholders=("model",)
    )
    reproducible: Literal["bitwise", "metrics", "none"] = policy(
        "bitwise",
        doc="What must come out again where lost outputs are made anew: the bytes, its gates' figures, or neither.",
        looser=("bitwise", "metrics", "none"),
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    timeout: float = run(3600.0, doc="How long the program may take.", quantity="duration")
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The training view of the data, and the rows it may choose by.

    Raises ManifestError where several datasets could be meant, and where one is for testing.
    """
    known = [name for name in specs.get("data", {}) if not only_to_choose_by(name, spec.validation, specs)]
    if not spec.data and len(known) > 1:
        raise ManifestError(
            f"which data? there are {len(known)} datasets: {', '.join(known)}",
            hint=f"add data: {known[0]}",
            code="MLO1207",
        )
    return tuple(views_of([spec.data] if spec.data else known, spec.validation, specs))


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Asks the program for ``model``: a folder with ``model.onnx``, or with the files that ``predict:`` reads."""
    from ...adapters.program import ask, require_output

    spec: Spec = want.spec
    details = {"params": dict(spec.params), "seed": spec.seed}
    answer = ask("apply", want.address, spec, details, materials(inputs), ctx)
    folder = require_output(answer, "model", spec.program)
    if not folder.is_dir():
        raise ProviderError(
            f"the program {spec.program} answered with the file {folder.name} as its model",
            hint="answer with a folder that holds model.onnx, or the files that predict: reads",
            code="MLO1064",
        )
    facts: dict[str, Json] = {"isolation": answer.isolation, "usage": dict(answer.usage)}
    if answer.facts:
        facts["claimed"] = dict(answer.facts)
    if spec.predict:
        return Outcome({"model": folder}, {"kind": "opaque", "predict": commands(spec.predict)[0], **facts})
    from .contract import inspect, require_model

    found = inspect(require_model(folder, folder, ()))
    kept = {key: found[key] for key in ("opset", "ir", "inputs", "outputs")}
    return Outcome({"model": folder}, {"kind": "onnx", **kept, **facts})
