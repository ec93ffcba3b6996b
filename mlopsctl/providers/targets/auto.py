"""``use: auto``: the model made in every way that this machine can, each compared and timed; the fastest sound one is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple, cast

from ...adapters.artifact import judge_agreement, known, require_host
from ...adapters.lineage import model_and_view
from ...adapters.quantisation import calibration_need, check_bounds, judge_accuracy_drop
from ...adapters.tools import TOOLS, find
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...canonical import decimal
from ...errors import EvidenceError, ProviderError
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
from .fields import (
    agreement_field,
    calibration_field,
    drop_field,
    inconclusive_field,
    tolerance_field,
    view_field,
)

RESULT_VERSION = 1
LATER_KEYS = ("device", "fallback", "part", "lanes", "tune")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove

PLAIN = "onnxruntime"
QUANTISED = ("int8", "dynamic")
LEAD = 0.95
"""A challenger must take less than this share of plain ONNX Runtime's time: what is within the noise is no reason to change."""
ROUNDS = 40
TVM_SECONDS = 60.0


@dataclass(frozen=True)
class Spec:
    """The fastest form of a model for x86-64 that keeps to its bars; chosen once by measuring, and then kept."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    arch: Literal["x86-64"] = result("x86-64", doc="The processor architecture.")
    batch: int = result(1, doc="How many rows a call has when the candidates are timed.", minimum=1, maximum=4096)
    view: Literal["train", "val", "test", "all"] = view_field()
    tolerance: float = tolerance_field()
    min_agreement: float = agreement_field()
    quantize: Literal["none", "allowed"] = result(
        "none", doc="Whether candidates in 8 bits take part.", looser=("none", "allowed")
    )
    calibration: int = calibration_field()
    max_accuracy_drop: float = drop_field()
    inconclusive: Literal["block", "warn"] = inconclusive_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long each compiler may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that each compiler may use.", quantity="size")


class Candidate(NamedTuple):
    """One way to make the model: what it gave, or why it gave nothing."""

    name: str
    outcome: Outcome | None
    verdict: Verdict | None
    why_not: str = ""


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, the view of its data on which the candidates are compared with it, and for 8 bits the training rows."""
    check_bounds(spec, usual=Spec(), both=True)
    rows = calibration_need(spec.model, specs) if spec.quantize == "allowed" else ()
    return (*model_and_view(spec.model, spec.view, specs), *rows)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded comparison of what was chosen against the bars of today's manifest; nothing is chosen anew."""
    try:
        choice = seen.facts["choice"]
        verdict = _judge(want.spec, str(choice["use"]), seen.facts)
        return verdict._replace(text=f"{choice['why']}; {verdict.text}")
    except (KeyError, TypeError) as error:
        raise EvidenceError(
            f"the entry of this artifact holds no choice ({error})",
            code="MLO1407",
            hint="make it anew: mlopsctl apply --replace ADDRESS",
        ) from None


def _judge(spec: Spec, name: str, facts: Mapping[str, Json]) -> Verdict:
    if name in QUANTISED:
        return judge_accuracy_drop(facts, spec.max_accuracy_drop, warn=spec.inconclusive == "warn")
    return judge_agreement(facts, tolerance=spec.tolerance, min_agreement=spec.min_agreement)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Makes and compares every candidate, times those that pass beside plain ONNX Runtime, and keeps the fastest."""
    spec: Spec = want.spec
    require_host(spec.arch)
    names = (PLAIN, *(QUANTISED if spec.quantize == "allowed" else ()), "openvino", "tvm")
    candidates = [_candidate(name, want, inputs, ctx) for name in names]
    plain = candidates[0].outcome
    assert plain is not None  # noqa: S101 — without it _candidate raised
    timed = {one.name: _folder(one.outcome) for one in candidates if one.outcome and _sound(one)}
    seconds = _timed({PLAIN: _folder(plain), **timed}, inputs, spec, ctx)
    shares = {name: _share(each, seconds[PLAIN]) for name, each in seconds.items()}
    chosen = choose(shares, sound=tuple(timed))
    outcome = next(one.outcome for one in candidates if one.name == chosen)
    assert outcome is not None  # noqa: S101 — only what was made is chosen
    choice: dict[str, Json] = {
        "use": chosen,
        "why": _why(chosen, shares, spec.batch),
        "batch": spec.batch,
        "candidates": {one.name: _figures(one, seconds.get(one.name), shares.get(one.name)) for one in candidates},
    }
    made_with = {key: value for one in candidates if one.outcome for key, value in one.outcome.made_with.items()}
    return Outcome(outcome.outputs, {**outcome.facts, "choice": choice}, made_with)


def _share(ours: list[float], plain: list[float]) -> float:
    """What part of plain ONNX Runtime's time it took: the median over the rounds, in which both had their turn, or the
    share of the shortest turns, where that is more. On a busy machine one of the two may flatter a challenger; not both."""
    least = min(ours) / min(plain)
    if len(ours) != len(plain):
        return max(least, median(ours) / median(plain))
    return max(least, median(mine / its for mine, its in zip(ours, plain, strict=True)))


def choose(shares: Mapping[str, float], *, sound: tuple[str, ...]) -> str:
    """The candidate with the least share of plain ONNX Runtime's time, where that is well below it; else plain.

    Where plain ONNX Runtime itself misses the bars, the fastest of the others is better than nothing.
    """
    others = [name for name in sound if name != PLAIN]
    best = min(others, key=lambda name: shares[name], default=PLAIN)
    if best != PLAIN and (shares[best] < LEAD or PLAIN not in sound):
        return best
    return PLAIN


def _folder(outcome: Outcome) -> Path:
    return Path(str(outcome.outputs["artifact"]))


def _sound(one: Candidate) -> bool:
    return one.verdict is not None and not one.verdict.blocks and one.verdict.status is not Status.FAILED


def _candidate(name: str, want: Resource, inputs: Inputs, ctx: Context) -> Candidate:
    """Makes one candidate in a folder of its own. Raises what plain ONNX Runtime raises; the others may fail."""
    from . import onnxruntime, openvino, tvm

    spec: Spec = want.spec
    tool = TOOLS.get(name)
    if tool is not None and find(name) is None:
        return Candidate(name, None, None, f"not here: {tool.install}")
    limits: dict[str, Any] = {"view": spec.view, "timeout": spec.timeout, "memory": spec.memory}
    made: Any
    own: Any
    if name == "openvino":
        made, own = openvino, openvino.Spec(**limits)
    elif name == "tvm":
        # On a large net its untuned code is so slow that running it on the whole view would take hours.
        made, own = tvm, tvm.Spec(batch=spec.batch, **{**limits, "timeout": min(spec.timeout, TVM_SECONDS)})
    elif name == PLAIN:
        made, own = onnxruntime, onnxruntime.Spec(**limits)
    else:
        made, own = onnxruntime, onnxruntime.Spec(quantize=cast(Any, name), calibration=spec.calibration, **limits)
    scratch = ctx.scratch / name
    scratch.mkdir()
    try:
        outcome = made.apply(want._replace(spec=own), inputs, ctx._replace(scratch=scratch))
    except ProviderError as error:
        if name == PLAIN:
            raise
        return Candidate(name, None, None, f"not made ({error.code})")
    return Candidate(name, outcome, _judge(spec, name, outcome.facts))


def _timed(folders: Mapping[str, Path], inputs: Inputs, spec: Spec, ctx: Context) -> dict[str, list[float]]:
    """Seconds a call of each artifact, on the first ``batch`` rows of the view, one number a round."""
    import json

    import numpy as np

    from ...adapters.features import feed
    from ...adapters.table import read_table
    from ...adapters.worker import run_worker
    from ...serving import latency

    data = known(inputs, "data")
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    ports = json.loads((folders[PLAIN] / "artifact.json").read_bytes())["inputs"]
    fixed = ports[0]["shape"][:1]
    chosen = np.arange(fixed[0] if fixed and fixed[0] else spec.batch) % table.rows
    file = ctx.scratch / "rows.npz"
    rows = {name: array[chosen] for name, array in feed(table, data.facts, ports).items()}
    np.savez(file, **{name: array.astype(str) if array.dtype.kind == "O" else array for name, array in rows.items()})
    ctx.tell(f"timing {', '.join(folders)} at batch {spec.batch}")
    answer = run_worker(
        Path(latency.__file__),
        {"folders": {name: str(folder) for name, folder in folders.items()}, "feeds": str(file), "rounds": ROUNDS},
        seconds=spec.timeout,
        memory=spec.memory,
        task="timing the candidates",
    )
    if "error" in answer:
        raise ProviderError(
            f"the candidates could not be timed: {answer['error']}",
            hint="name one of them: use: onnxruntime",
            code="MLO1434",
        )
    found: dict[str, list[float]] = answer["seconds"]
    return found


def _figures(one: Candidate, seconds: list[float] | None, share: float | None) -> Json:
    """What is kept of a candidate, chosen or not."""
    if one.outcome is None or one.verdict is None:
        return {"why_not": one.why_not}
    found: dict[str, Json] = {"verdict": one.verdict.status.value, "size": one.outcome.facts["size"]}
    found |= {key: one.outcome.facts[key] for key in ("agreement", "max_abs_diff")}
    metrics: Any = one.outcome.facts.get("metrics") or {}
    if metrics.get("metric"):
        found["drop"] = metrics["drop"].get("value")
    if seconds and share is not None:
        found |= {"latency_us": decimal(median(seconds) * 1e6, 2), "share": decimal(share, 3)}
    return found


def _why(chosen: str, shares: Mapping[str, float], batch: int) -> str:
    """``int8 took 0.31 of plain ONNX Runtime's time at batch 1``, and how the others did."""
    others = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if name not in (chosen, PLAIN))
    if chosen == PLAIN:
        rest = (
            f"nothing that keeps to the bars is more than 5 % faster ({others})"
            if others
            else "nothing else keeps to the bars"
        )
        return f"plain ONNX Runtime at batch {batch}: {rest}"
    return f"{chosen} took {shares[chosen]:.2f} of plain ONNX Runtime's time at batch {batch}" + (
        f" ({others})" if others else ""
    )
