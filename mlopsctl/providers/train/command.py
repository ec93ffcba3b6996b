"""``use: command``: a pinned program of any language trains the model (docs/command-protocol.md)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ProviderError
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
    read_from_trail,
    result,
    run,
)
from ...types import Address, Json, Need, Outcome, Resource

RESULT_VERSION = 1
LATER_KEYS = ("search", "output", "threshold", "priority", "budget", "reproducible", "max_age", "retries", "resources")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
judge = always_fine
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
    seed: int = result(0, doc="The seed, handed over in the request.", minimum=0, maximum=2**32 - 1)
    predict: str = result(
        "", doc="For a model that is not ONNX: reads JSON lines, prints one line a row.", placeholders=("model",)
    )
    timeout: float = run(3600.0, doc="How long the program may take.", quantity="duration")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The training view of the data."""
    return (Need("data", Address("data", spec.data), "train"),) if spec.data else ()


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Asks the program for ``model``: a folder with ``model.onnx``, or with the files that ``predict:`` reads."""
    from ...adapters.program import ask, require_output

    spec: Spec = want.spec
    details = {"params": dict(spec.params), "seed": spec.seed}
    answer = ask("apply", want.address, spec, details, inputs, ctx)
    folder = require_output(answer, "model", spec.program)
    if not folder.is_dir():
        raise ProviderError(
            f"the program {spec.program} answered with the file {folder.name} as its model",
            hint="answer with a folder that holds model.onnx, or the files that predict: reads",
            code="MLO1064",
        )
    facts: dict[str, Json] = {"claimed": dict(answer.facts), "predict": shlex.split(spec.predict) or None}
    if spec.predict:
        return Outcome({"model": folder}, {"kind": "opaque", "inputs": [], "outputs": [], **facts})
    from .contract import inspect, require_model

    found = inspect(require_model(folder, folder, ()))
    kept = {key: found[key] for key in ("opset", "inputs", "outputs")}
    return Outcome({"model": folder}, {"kind": "onnx", **kept, **facts})
