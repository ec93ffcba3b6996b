"""``use: command``: a pinned program measures the model (docs/command-protocol.md); mlopsctl judges by the bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from ...adapters.lineage import model_and_view
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...canonical import decimal
from ...errors import GateError, ManifestError, ProviderError
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
from ...types import Address, Json, Need, Observed, Outcome, Resource, Verdict
from .exposure import refuse_seen_rows
from .verdict import Bars, judge_measurement

RESULT_VERSION = 1
LATER_KEYS = ("against", "max_drop", "slices", "min_rows", "by", "score", "waive", "across", "allow", "on", "target")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A program that measures, and the bar that its figure must clear; the evidence is labelled ``external``."""

    program: str = run(doc="The program: a file of this repository, or an absolute path.")
    digest: str = result(doc="The program's sha256, as sha256sum prints it.", pattern="^sha256:[0-9a-f]{64}$")
    metric: str = result(doc="What the program calls its figure.", pattern="^[a-z][a-z0-9_-]*$")
    args: tuple[str, ...] = result((), doc="Arguments of the program.")
    params: Mapping[str, Any] = result({}, doc="Settings, handed over in the request.")
    model: str = run("", doc="The model to measure; may be left out where only one exists.", ref="train")
    data: str = run("", doc="The dataset to measure on; by default the one the model was trained on.", ref="data")
    view: Literal["test", "val", "all"] = result("test", doc="The rows to measure on.")
    min: float | None = policy(None, doc="The least value; the whole interval must lie at or above it.", looser="lower")
    max: float | None = policy(
        None, doc="The greatest value; the whole interval must lie at or below it.", looser="higher"
    )
    confidence: float = result(
        0.95, doc="The confidence of the two-sided interval.", minimum=0.5, exclusive_maximum=1, looser="lower"
    )
    inconclusive: Literal["block", "warn"] = policy(
        "block",
        doc="Whether a measurement whose interval holds the bar stops what the gate guards.",
        looser=("block", "warn"),
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(3600.0, doc="How long the program may take.", quantity="duration")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model and the view of the data. Raises ManifestError for a gate without a bar."""
    if spec.min is None and spec.max is None:
        raise ManifestError(
            f"a gate without a bar lets everything through: {spec.metric} has neither min nor max",
            hint="write min: NUMBER or max: NUMBER",
            code="MLO1315",
        )
    model, *views = model_and_view(spec.model, spec.view, specs)
    found = [Need("data", Address.of("data", spec.data), spec.view)] if spec.data else views
    for need in found:
        refuse_seen_rows(model.address, need.address, spec.view, specs)
    return (model, *found)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded measurement against the bars of today's manifest."""
    spec: Spec = want.spec
    verdict = judge_measurement(seen.facts, Bars(spec.min, spec.max, spec.inconclusive == "warn"))
    return verdict._replace(text=f"{verdict.text} (external: measured by {spec.program})")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Asks the program for a value, its interval and the number of rows; the bars play no part."""
    from ...adapters.program import ask

    spec: Spec = want.spec
    _refuse_copies(inputs, ctx)
    details = {"metric": spec.metric, "params": dict(spec.params), "confidence": spec.confidence, "view": spec.view}
    answer = ask("apply", want.address, spec, details, inputs, ctx)
    return Outcome({}, {**_measurement(spec, answer.facts), "isolation": answer.isolation})


def _refuse_copies(inputs: Inputs, ctx: Context) -> None:
    """A program gets the whole view, so that none of its rows may be one that the model was made with."""
    from .copies import fresh, given_elsewhere

    given = given_elsewhere(inputs, ctx)
    data = next((item for item in inputs if item.role == "data" and item.seen and item.digest), None)
    if not given or data is None or data.seen is None or data.digest is None:
        return
    from ...adapters.table import read_table

    if data.seen.facts.get("format") not in ("csv", "parquet"):
        return
    table = read_table(ctx.store.path(data.digest), data.seen.facts["format"])
    keep, _ = fresh(table, data, given, ctx)
    if copied := table.rows - int(keep.sum()):
        raise GateError(
            f"not assessed: the model was made with {copied} of the {table.rows} rows of {data.need.address}",
            hint="take them out of the dataset, or measure on the test view of the one it was trained on",
            code="MLO1326",
        )


def _measurement(spec: Spec, said: Mapping[str, Json]) -> dict[str, Json]:
    """The facts of the entry. Raises ProviderError where the answer is no measurement."""
    from ...adapters.program import number

    value, rows = number(said, "value", spec.program), said.get("n")
    interval = said.get("ci")
    pair = interval if isinstance(interval, list) and len(interval) == 2 else [None, None]
    ends = dict(zip(("ci[0]", "ci[1]"), pair, strict=True))
    low, high = (None, None) if interval is None else (number(ends, key, spec.program) for key in ends)
    if not isinstance(rows, int) or rows < 1 or not isfinite(value):
        raise _no_measurement(spec.program, f"value {value:g} on n {rows!r}: wanted are a number and a count of rows")
    if low is not None and high is not None and not low <= value <= high:
        raise _no_measurement(spec.program, f"the value {value:g} lies outside its interval [{low:g}, {high:g}]")
    return {
        "metric": spec.metric,
        "value": decimal(value, 9),
        "ci": None if low is None or high is None else [decimal(low, 9), decimal(high, 9)],
        "confidence": decimal(spec.confidence, 9),
        "n": rows,
        "view": spec.view,
        "method": "external",
        "evidence": "external",
        # Not the program's own words: it has seen rows, and could quote one.
        "reason": "" if low is not None else "the program gave none",
        "claimed": {key: said[key] for key in said if key not in ("value", "ci", "n", "reason")},
    }


def _no_measurement(program: str, what: str) -> ProviderError:
    return ProviderError(
        f"the program {program} answered with no measurement: {what}",
        hint='answer with facts {"value": 0.93, "ci": [0.91, 0.95], "n": 360}',
        code="MLO1067",
    )
