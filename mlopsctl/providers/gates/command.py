"""``use: command``: a pinned program measures the model (docs/command-protocol.md); mlopsctl judges by the bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from ...adapters.lineage import data_address
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...canonical import decimal
from ...errors import EvidenceError, GateError, ManifestError, ProviderError
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
from ...types import CHAMPION, CHAMPION_ROWS, RUNNING, Address, Json, Need, Observed, Outcome, Resource, Verdict
from .exposure import refuse_seen_rows
from .measured import on_field, target_field, what_is_measured
from .regression import against_field, check_keys, first_field, judge_all, max_drop_field

RESULT_VERSION = 1
LATER_KEYS = ("slices", "min_rows", "by", "score", "waive", "across", "allow")

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
    target: str = target_field()
    on: str = on_field()
    against: str = against_field()
    max_drop: float | None = max_drop_field()
    first: Literal["pass", "fail"] = first_field()
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
    """What is measured, and the view of the data. Raises ManifestError for a gate without a bar."""
    check_keys("", spec.against, spec.max_drop, spec.first)
    if spec.min is None and spec.max is None and not spec.against:
        raise ManifestError(
            f"a gate without a bar lets everything through: {spec.metric} has neither min nor max",
            hint="write min: NUMBER or max: NUMBER",
            code="MLO1315",
        )
    model, measured = what_is_measured(spec, specs)
    data = Address.of("data", spec.data) if spec.data else data_address(model, specs)
    if data is not None:
        refuse_seen_rows(model, data, spec.view, specs)
    rows = (Need("data", data, spec.view),) if data is not None else ()
    return (Need("model", model, "model"), *measured, *rows)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded measurement against the bars of today's manifest."""
    spec: Spec = want.spec
    verdict = judge_all(spec, seen.facts)
    return verdict._replace(text=f"{verdict.text} (external: measured by {spec.program})")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Asks the program for a value, its interval and the number of rows; the bars play no part."""
    from ...adapters.program import ask

    spec: Spec = want.spec
    _refuse_copies(inputs, ctx)
    details: dict[str, Any] = {"metric": spec.metric, "params": dict(spec.params)}
    details |= {"confidence": spec.confidence, "view": spec.view, **_running(inputs)}
    given = [item for item in inputs if item.role != RUNNING]
    answer = ask("apply", want.address, spec, details, given, ctx)
    facts = _measurement(spec, answer.facts)
    champion = next((item.seen for item in inputs if item.role == CHAMPION and item.seen), None)
    if champion is not None:
        known = any(item.role == CHAMPION_ROWS for item in inputs)
        facts[CHAMPION] = {"entry": champion.entry, **_compared(spec, answer.facts, facts["n"])}
        facts[CHAMPION] |= {} if known else {"rows": "unknown"}
    return Outcome({}, {**facts, "isolation": answer.isolation})


def _running(inputs: Inputs) -> dict[str, Json]:
    """Where the deployment answers. Raises EvidenceError where it runs another artifact than the gate is about."""
    runs = next((item for item in inputs if item.role == RUNNING and item.seen), None)
    if runs is None or runs.seen is None:
        return {}
    made = next((item for item in inputs if item.role == "artifact"), None)
    there = runs.seen.facts.get("artifact")
    if made is not None and there != made.digest:
        raise EvidenceError(
            f"{runs.need.address} runs {there}, not the artifact {made.digest}",
            hint="mlopsctl status --refresh says what runs there",
            code="MLO1324",
        )
    where = {name: str(runs.seen.facts.get(name) or "") for name in ("endpoint", "location")}
    return {"on": {"address": str(runs.need.address), "artifact": there, **where}}


def _compared(spec: Spec, said: Mapping[str, Json], rows: int) -> dict[str, Json]:
    """The champion's value and the drop. Raises ProviderError where the answer holds no comparison."""
    from ...adapters.program import number

    found = said.get(CHAMPION)
    if not isinstance(found, dict) or not isinstance(found.get("drop"), dict):
        raise _no_measurement(spec.program, f"there is a champion to compare with, and facts.{CHAMPION} has no drop")
    drop = found["drop"]
    value, ci = number(drop, "value", spec.program), _interval(drop, spec.program)
    n, dropped = found.get("n", rows), found.get("dropped", 0)
    counts = isinstance(n, int) and isinstance(dropped, int) and n >= 1 and dropped >= 0
    if not counts or not isfinite(value) or (ci is not None and not ci[0] <= value <= ci[1]):
        raise _no_measurement(spec.program, f"a drop of {value:g} on n {n!r}, without {dropped!r}")
    return {
        "n": n,
        "dropped": dropped,
        "value": decimal(number(found, "value", spec.program), 9),
        "drop": {
            "value": decimal(value, 9),
            "ci": None if ci is None else [decimal(end, 9) for end in ci],
            "method": "external",
            **({} if ci else {"reason": "the program gave none"}),
        },
    }


def _interval(said: Mapping[str, Json], program: str) -> tuple[float, float] | None:
    """``ci`` of an answer, None where it says that there is none. Raises ProviderError for anything else."""
    from ...adapters.program import number

    found = said.get("ci")
    if found is None:
        return None
    pair = found if isinstance(found, list) and len(found) == 2 else [None, None]
    ends = dict(zip(("ci[0]", "ci[1]"), pair, strict=True))
    low, high = (number(ends, key, program) for key in ends)
    return low, high


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
    low, high = _interval(said, spec.program) or (None, None)
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
        "claimed": {key: said[key] for key in said if key not in ("value", "ci", "n", "reason", CHAMPION)},
    }


def _no_measurement(program: str, what: str) -> ProviderError:
    return ProviderError(
        f"the program {program} answered with no measurement: {what}",
        hint='answer with facts {"value": 0.93, "ci": [0.91, 0.95], "n": 360}',
        code="MLO1067",
    )
