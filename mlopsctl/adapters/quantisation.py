"""A model in 8 bits: the rows that its scales are calibrated on, the worker that writes it, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import EvidenceError, ManifestError, ProviderError
from ..measures.words import metrics_words
from ..types import Input, Json, Need, Status, Verdict
from .artifact import never_compared
from .lineage import Specs, data_address, model_address
from .model_fit import Limits, refuse

if TYPE_CHECKING:
    from ..provider import Context

CALIBRATION = "calibration"
"""The role of the training rows that scales are fixed by. They are never those of the test view, which judges the artifact."""
BATCH = 32
LIMITS = Limits(opset=(13, 1000), finite=True)
"""Opset 13 is the first whose scales may differ from channel to channel."""


class Scheme(NamedTuple):
    """How numbers become 8 bits; ``workers/quantise.py`` says what each of these means."""

    kind: Literal["int8", "dynamic"] = "int8"
    symmetric: bool = False
    per_channel: bool = True
    weight_bits: Literal[7, 8] = 7
    keep_relu: bool = False
    ops: tuple[str, ...] | None = None


def calibration_need(model: str, specs: Specs) -> tuple[Need, ...]:
    """The training rows of the data that the model belongs to."""
    data = data_address(model_address(model, specs), specs)
    return (Need(CALIBRATION, data, "train"),) if data else ()


def quantise(
    model: Path,
    out: Path,
    scheme: Scheme,
    who: str,
    ctx: Context,
    *,
    inputs: Sequence[Input] = (),
    rows: int = 512,
    limits: Limits = LIMITS,
    seconds: float = 600.0,
    memory: int = 8 * 2**30,
) -> dict[str, Any]:
    """Writes the model in 8 bits to ``out``: for ``int8`` a QDQ model, calibrated on ``rows`` rows of the input
    ``CALIBRATION``, spread evenly over it.

    Returns ``onnxruntime`` and ``onnx`` (versions), ``quantised`` (operator -> how many became 8-bit) and for int8 ``rows``.
    Raises ProviderError where ``who`` (``use: fpga``) can not take the model or nothing of it can be 8-bit.
    """
    from ..workers import quantise as worker
    from .inference import inspect_model
    from .worker import run_worker

    request: dict[str, Any] = {**scheme._asdict(), "limits": limits._asdict(), "model": str(model), "out": str(out)}
    used = 0
    if scheme.kind == "int8":
        ports = inspect_model(model)["inputs"]
        feeds, used = _feeds(inputs, ports, rows, ctx)
        fixed = ports[0]["shape"][:1]
        request |= {"rows": str(feeds), "batch": fixed[0] if fixed and fixed[0] else min(BATCH, used)}
    answer = run_worker(Path(worker.__file__), request, seconds=seconds, memory=memory, task=f"quantising {model.name}")
    hint = "export the model with opset 13 or newer and ordinary float weights, or leave quantize: out"
    if "error" in answer:
        raise ProviderError(f"{who} can not quantise the model: {answer['error']}", hint=hint, code="MLO1431")
    refuse(who, [str(item["what"]) for item in answer.get("findings", ())], hint)
    if not answer["quantised"]:
        raise ProviderError(
            f"nothing of the model can be 8-bit with quantize: {scheme.kind}",
            hint="dense layers and convolutions become 8-bit (with dynamic dense and recurrent layers only); trees and"
            " the rest do not: leave quantize: out",
            code="MLO1431",
        )
    return {**answer, "rows": used}


def _feeds(inputs: Sequence[Input], ports: Sequence[Mapping[str, Any]], rows: int, ctx: Context) -> tuple[Path, int]:
    """The calibration rows as the model takes them, in a file; and how many they are."""
    import numpy as np

    from .artifact import known
    from .features import feed
    from .table import read_table

    data = known(inputs, CALIBRATION)
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    if not table.rows:
        raise ProviderError(
            f"{data.address} has no training rows to calibrate on",
            hint="give the training view rows, or write quantize: dynamic",
            code="MLO1431",
        )
    # Spread over the view: a table is often sorted by what it is about.
    chosen = np.unique(np.linspace(0, table.rows - 1, min(rows, table.rows)).round().astype(int))
    file = ctx.scratch / "calibration.npz"
    arrays = {name: array[chosen] for name, array in feed(table, data.facts, ports).items()}
    np.savez(file, **arrays)
    return file, len(chosen)


def check_bounds(spec: Any, *, usual: Any, both: bool = False) -> None:
    """Raises ManifestError where a key of quantisation stands without ``quantize:``, or a bar that does not hold with it.

    ``usual`` is the Spec with every key at its default; ``both``: all bars hold for one artifact or another.
    """
    quantised = spec.quantize != "none"
    if quantised and both:
        return
    without = ("tolerance", "min_agreement") if quantised else ("max_accuracy_drop", "calibration", "inconclusive")
    for name in without:
        if getattr(spec, name) != getattr(usual, name):
            raise ManifestError(
                f"'{name}' {'does not hold for a quantised artifact' if quantised else 'is about quantize:, which is not there'}",
                hint="a quantised artifact is held to max_accuracy_drop" if quantised else f"remove {name}:",
                code="MLO1432",
            )


def judge_accuracy_drop(facts: Mapping[str, Json], most: float, *, warn: bool) -> Verdict:
    """Passed where the whole interval of the recorded drop is at most ``most``, failed where it is wholly more, and
    ``not_assessed`` where the artifact was not run.

    Nothing is measured again for another bar; ``warn`` lets an inconclusive drop pass.
    """
    if never := never_compared(facts):
        return never
    found: Any = facts.get("metrics") or {}
    try:
        rows = f"{float(facts['agreement']):.2%} of {facts['n']} rows get the same answer ({facts['proof']})"
        drop = found["drop"] if found.get("metric") else {"value": None, "ci": None, "reason": found["reason"]}
        value = None if drop["value"] is None else float(drop["value"])
        ci = None if drop["ci"] is None else [float(limit) for limit in drop["ci"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"the entry of this artifact holds no comparison ({error})",
            code="MLO1407",
            hint="make it anew: mlopsctl apply --replace ADDRESS",
        ) from None
    said = metrics_words(facts)
    text = f"{said}; {rows}" if said else rows
    if value is None or ci is None:
        text = f"no interval of the drop: {drop.get('reason')}; allowed is {most:g}; {text}"
        hint = "a quantised artifact is judged by the accuracy (of a number: r2) on labelled rows: name the label at the data"
        return Verdict(Status.INCONCLUSIVE, text, hint, blocks=not warn)
    text = f"drop {value:.4g} [{ci[0]:.4g}, {ci[1]:.4g}], allowed is {most:g}: {text}"
    if ci[1] <= most:
        return Verdict(Status.PASSED, text)
    if ci[0] > most:
        hint = "calibrate on more rows (calibration:), try quantize: dynamic, or leave quantize: out"
        return Verdict(Status.FAILED, text, hint, blocks=True)
    needed = _rows_needed(value, ci[1], most, int(facts["n"]))
    hint = f"{needed}; max_accuracy_drop says what is allowed, inconclusive: warn lets it pass"
    return Verdict(Status.INCONCLUSIVE, text, hint, blocks=not warn)


def _rows_needed(value: float, high: float, most: float, n: int) -> str:
    if value >= most:
        return "the drop itself is at or beyond what is allowed, within the noise"
    rows = n * ((high - value) / (most - value)) ** 2
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return f"about {-(-rows // step) * step:,.0f} rows in the view would settle it if the drop stays as it is"
