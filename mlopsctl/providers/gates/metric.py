"""``use: metric``: a figure of the model on rows it never saw, with an interval, against a bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ...adapters.lineage import data_address
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import GateError, ManifestError, ProviderError
from ...measures.names import LOSSES, SHARES
from ...provider import (
    Context,
    Inputs,
    Specs,
    diff_by_fingerprint,
    no_sources,
    nothing_to_remove,
    nothing_to_verify,
    policy,
    read_from_trail,
    result,
    run,
)
from ...types import (
    CHAMPION,
    CHAMPION_ROWS,
    RUNNING,
    Address,
    Input,
    Json,
    Need,
    Observed,
    Outcome,
    Resource,
    Status,
    Verdict,
)
from .exposure import refuse_seen_rows
from .measured import on_field, target_field, what_is_measured
from .power import power_line
from .regression import against_field, check_keys, first_field, judge_all, max_drop_field

if TYPE_CHECKING:
    from ...adapters.table import Table
    from ...measures.measure import Answers, PerRow, Question
    from ...measures.metrics import Array
    from .answers import Found

RESULT_VERSION = 1
LATER_KEYS = (
    "slices",
    "min_rows",
    "by",
    "rules",
    "forbid",
    "max_share",
    "noise",
    "score",
    "waive",
    "across",
    "allow",
)

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A metric and a bar: the gate passes where the whole confidence interval clears it."""

    metric: Literal["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "ece", "rmse", "mae", "r2"] = result(
        doc="What is measured."
    )
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
    positive: str | int | bool | None = result(
        None, doc="The positive class of f1; by default 1 of {0, 1} or true, else f1 is averaged over the classes."
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long the model may run.", quantity="duration")
    memory: int = run(4 * 2**30, doc="The address space the model may use.", quantity="size")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model and the view of the data. Raises ManifestError where the bars make no sense."""
    _check_bars(spec)
    model, measured = what_is_measured(spec, specs)
    data = Address.of("data", spec.data) if spec.data else data_address(model, specs)
    if data is None:
        raise ManifestError(
            f"which data? {model} is trained on none of the data section",
            hint="name the dataset to measure on: data: NAME",
            code="MLO1313",
        )
    refuse_seen_rows(model, data, spec.view, specs)
    return Need("model", model, "model"), *measured, Need("data", data, spec.view)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded measurement against the bars of today's manifest."""
    verdict = judge_all(want.spec, seen.facts)
    if verdict.status is not Status.FAILED:
        return verdict
    look = f"look at its errors: mlopsctl gate run {want.address.typed} --errors errors.csv"
    return verdict._replace(hint=f"{verdict.hint}; {look}")


def notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """What the view can show, once its size is known."""
    spec: Spec = want.spec
    data = next((item.seen for item in inputs if item.role == "data" and item.seen is not None), None)
    rows = ((data.facts.get("rows") or {}) if data else {}).get(spec.view)
    bar = spec.min if spec.min is not None else spec.max
    if rows is None or bar is None:
        return ()
    line = power_line(spec.metric, int(rows), bar, spec.confidence)
    return (line,) if line else ()


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Runs the model on every row of the view and measures; the bars play no part.

    Raises GateError where the metric has no value on this view: that is no result.
    """
    found = assess(want, inputs, ctx)
    if found.facts["value"] is None and not found.facts.get("invalid"):
        verdict = judge_all(want.spec, found.facts)
        raise GateError(f"not assessed: {verdict.text}", hint=verdict.hint, code="MLO4001")
    return Outcome({}, found.facts, found.made_with)


class Assessed(NamedTuple):
    """One measurement: its facts, the rows of the view, and how each fared (None where there is no row)."""

    facts: dict[str, Json]
    made_with: dict[str, str]
    table: Table
    rows: PerRow | None


def assess(want: Resource, inputs: Inputs, ctx: Context) -> Assessed:
    """Measures, without judging: ``value`` is None, with a ``reason``, where there is none."""
    import numpy as np

    from ...adapters.features import groups, labels
    from ...adapters.table import read_table
    from ...measures.measure import Question, measure, number

    spec: Spec = want.spec
    data = _given(inputs, "data")
    assert data.seen is not None and data.digest is not None  # noqa: S101 — _given saw to it
    about = data.seen.facts
    table = read_table(ctx.store.path(data.digest), about["format"])
    table, copied = _unseen(table, data, inputs, ctx)
    if table.rows == 0:
        empty = {
            "metric": spec.metric,
            "value": None,
            "ci": None,
            "n": 0,
            "view": spec.view,
            "reason": "the model was made with every row of the view" if copied else "the view is empty",
        }
        return Assessed({**empty, **copied, "confidence": number(spec.confidence)}, {}, table, None)
    truth = labels(table, about)
    ctx.tell(f"running the model on {table.rows} rows")
    answers, made_with = _answer(inputs, about, table, spec, ctx)
    question = Question(spec.metric, spec.confidence, spec.positive)
    facts, rows = measure(question, truth, answers, about, groups(table, about))
    champion = next((item for item in inputs if item.role == CHAMPION), None)
    if champion is not None:
        ctx.tell(f"running the champion on {table.rows} rows")
        facts = {**facts, CHAMPION: _compared(champion, inputs, question, truth, answers, table, about, spec, ctx)}
    return Assessed({**facts, **copied, "view": spec.view}, {**made_with, "numpy": np.__version__}, table, rows)


def _unseen(table: Table, data: Input, inputs: Inputs, ctx: Context) -> tuple[Table, dict[str, Json]]:
    """The rows that the model was not made with, and what is recorded of the others."""
    from .copies import fresh, given_elsewhere, only

    given = given_elsewhere(inputs, ctx)
    if not given:
        return table, {}
    keep, known = fresh(table, data, given, ctx)
    left = only(table, keep)
    facts: dict[str, Json] = {} if known else {"limitations": ["training_rows_unknown"]}
    if left.rows < table.rows:
        facts["copied"] = table.rows - left.rows
        ctx.tell(f"leaving out {table.rows - left.rows} rows that the model was made with")
    return left, facts


def _compared(
    champion: Input,
    inputs: Inputs,
    question: Question,
    truth: Array,
    answers: Answers,
    table: Table,
    about: Mapping[str, Json],
    spec: Spec,
    ctx: Context,
) -> dict[str, Json]:
    """The champion's value and the drop, on the rows that it was not trained on."""
    from ...adapters.features import groups
    from ...adapters.table import read_table
    from ...measures.compare import UNFIT, compare, unfit
    from .answers import Limits, of_model
    from .overlap import unseen

    assert champion.seen is not None  # noqa: S101 — the trail named it
    trained = [item for item in inputs if item.role == CHAMPION_ROWS and item.seen and item.digest]
    facts: dict[str, Json] = {"entry": champion.seen.entry, **({} if trained else {"rows": "unknown"})}
    split = about.get("split")
    column = (split.get("by") or split.get("key") or "") if isinstance(split, dict) else ""
    tables = (read_table(ctx.store.path(i.digest), i.seen.facts["format"]) for i in trained if i.seen and i.digest)
    keep = unseen(table, column, tables)
    try:
        theirs, _ = of_model(champion, about, table, Limits(spec.timeout, spec.memory), ctx)
        found = compare(question, truth, answers, theirs, keep, about, groups(table, about))
    except ProviderError as error:
        if error.code not in UNFIT:
            raise
        found = unfit(error, table.rows)
    return {**facts, **found}


def _answer(inputs: Inputs, about: Mapping[str, Json], table: Table, spec: Spec, ctx: Context) -> Found:
    """The answers of what the gate is about: a deployment, else a target's artifact, else the model."""
    from . import answers

    limits, model = answers.Limits(spec.timeout, spec.memory), _given(inputs, "model")
    if spec.on:
        made = _given(inputs, "artifact")
        return answers.of_deployment(_given(inputs, RUNNING), model, made, about, table, limits, ctx)
    if spec.target:
        return answers.of_artifact(model, _given(inputs, "artifact"), about, table, limits, ctx)
    return answers.of_model(model, about, table, limits, ctx)


def _given(inputs: Inputs, role: str) -> Input:
    for item in inputs:
        if item.role == role and item.seen is not None and item.digest is not None:
            return item
    named = next(
        (f"{item.need.address} has no '{item.need.output}'" for item in inputs if item.role == role), f"no {role}"
    )
    raise ProviderError(
        f"this gate can not measure: {named}",
        hint="a view exists where split: makes one: write split: {test: 0.2} at the data",
        code="MLO1314",
    )


def _check_bars(spec: Spec) -> None:
    metric, least, most = spec.metric, spec.min, spec.max
    check_keys(metric, spec.against, spec.max_drop, spec.first)
    if least is None and most is None and spec.against:
        return
    if least is None and most is None:
        side = "max" if metric in LOSSES else "min"
        raise ManifestError(
            f"a gate without a bar lets everything through: {metric} has neither min nor max",
            hint=f"write {side}: NUMBER",
            code="MLO1315",
        )
    if least is not None and most is not None and least > most:
        raise ManifestError(
            f"no value is at least {least:g} and at most {most:g}", hint="exchange min and max", code="MLO1315"
        )
    for bar in (least, most):
        if bar is not None and metric in SHARES and not 0 <= bar <= 1:
            hint = f"write {bar / 100:g} for {bar:g} %" if 1 < bar <= 100 else "write a number from 0 to 1"
            raise ManifestError(f"{metric} lies between 0 and 1, and the bar is {bar:g}", hint=hint, code="MLO1315")
    if metric in LOSSES and most is None:
        raise ManifestError(
            f"less {metric} is better, and this gate only asks for much of it",
            hint=f"write max: {least:g}",
            code="MLO1315",
        )
