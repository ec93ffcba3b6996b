"""``use: mcu``: the model as C for a Cortex-M, run on an emulated board for every row of the view, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...adapters.artifact import known
from ...adapters.lineage import model_and_view
from ...adapters.quantisation import calibration_need, judge_accuracy_drop
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
    policy,
    read_from_trail,
    result,
    run,
)
from ...types import Need, Observed, Outcome, Resource, Status, Verdict
from .fields import calibration_field, drop_field, inconclusive_field, view_field

RESULT_VERSION = 1
LATER_KEYS = ("device", "arch", "quantize", "fallback", "part", "lanes")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model as C99 without allocation or library, for a Cortex-M (needs gcc-arm-none-eabi; qemu runs it)."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    mcpu: Literal["cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"] = result(
        "cortex-m4", doc="The processor."
    )
    prefix: str = result(
        "model", doc="What the names of the C functions begin with.", pattern="^[a-z][a-z0-9_]*$", max_length=32
    )
    view: Literal["train", "val", "test", "all"] = view_field()
    calibration: int = calibration_field()
    max_accuracy_drop: float = drop_field()
    inconclusive: Literal["block", "warn"] = inconclusive_field()
    flash: int | None = policy(
        None, doc="The most flash that code and tables may take.", quantity="size", looser="higher"
    )
    ram: int | None = policy(
        None, doc="The most memory that the model may take, its stack included.", quantity="size", looser="higher"
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long each tool may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that each tool may use.", quantity="size")

    @property
    def made_for(self) -> str:
        """The other device that the artifact is for, in words."""
        return f"a {self.mcpu}"


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, the view of its data on which the artifact is compared with it, and the training rows."""
    return (*model_and_view(spec.model, spec.view, specs), *calibration_need(spec.model, specs))


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded figures against the bars of today's manifest."""
    spec: Spec = want.spec
    figures: Any = seen.facts.get("figures") or {}
    for word, most, took in (
        ("flash", spec.flash, figures.get("flash")),
        ("ram", spec.ram, figures.get("ram", 0) + figures.get("stack", 0)),
    ):
        if most is not None and took is not None and took > most:
            hint = f"make the model smaller, choose a larger device, or raise {word}:"
            return Verdict(Status.FAILED, f"{took:,} bytes of {word}, allowed are {most:,}", hint, blocks=True)
    return judge_accuracy_drop(seen.facts, spec.max_accuracy_drop, warn=spec.inconclusive == "warn")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes and compiles the C, runs it on the emulated board over the whole view, and keeps how far it is off."""
    from ...adapters.firmware import COMPILER, SIZE
    from .mcu_make import make

    require((COMPILER, SIZE), "use: mcu")
    model = known(inputs, "model")
    if model.facts.get("kind") == "opaque":
        raise ProviderError(
            f"{model.address} is no ONNX model, so no C can be made of it",
            hint=f"write use: program at {want.address}",
            code="MLO1409",
        )
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    return make(original, want.spec, inputs, ctx)
