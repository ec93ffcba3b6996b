"""``use: table``: whether a dataset is fit to train on. It is asked before anything is trained, and needs no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...budgets import Budget, budget, priority_field
from ...canonical import decimal
from ...errors import EvidenceError, GateError, ManifestError
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
    run,
)
from ...types import Address, Json, Need, Observed, Outcome, Resource, Status, Verdict

if TYPE_CHECKING:
    from ...adapters.table import Table

RESULT_VERSION = 1
LATER_KEYS = ("view", "contract", "slices", "waive")

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A table's rows, gaps and repetitions; nothing is trained on a dataset, and nothing made of it deployed, that fails."""

    data: str = run(doc="The dataset; all of its rows are looked at.", ref="data")
    min_rows: int | None = policy(None, doc="The least number of rows.", minimum=1, looser="lower")
    max_missing: float | None = policy(
        None,
        doc="The greatest share of empty cells that any one column may have.",
        minimum=0,
        maximum=1,
        looser="higher",
    )
    max_duplicates: float | None = policy(
        None,
        doc="The greatest share of rows that repeat an earlier one in every column.",
        minimum=0,
        maximum=1,
        looser="higher",
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()

    @property
    def of_data(self) -> bool:
        """Whether a dataset is judged and no model: then it comes before training."""
        return True


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The whole dataset. Raises ManifestError for a gate without a bar."""
    if spec.min_rows is None and spec.max_missing is None and spec.max_duplicates is None:
        raise ManifestError(
            "a gate without a bar lets everything through: it has none of min_rows, max_missing and max_duplicates",
            hint="write min_rows: NUMBER, max_missing: SHARE or max_duplicates: SHARE",
            code="MLO1315",
        )
    return (Need("data", Address.of("data", spec.data), "all"),)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded figures against the bars of today's manifest. They are counted, not sampled: there is no interval."""
    spec: Spec = want.spec
    try:
        rows, facts = int(seen.facts["rows"]), seen.facts
        missing, duplicates = float(facts["missing"]["share"]), float(facts["duplicates"]["share"])
        text = f"{rows:,} rows, {duplicates:.2%} repeated, at most {missing:.2%} of a column empty"
        text += f" ({facts['missing']['column']})" if missing else ""
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"the entry of this gate holds no figures ({error!r})",
            hint="measure anew: mlopsctl apply --replace ADDRESS",
            code="MLO1316",
        ) from None
    broken = list(_broken(spec, rows, missing, duplicates))
    if broken:
        hint = "mend the dataset, or move the bar; a bar that is moved down shows as weakens"
        return Verdict(Status.FAILED, f"{text}; {', '.join(broken)}", hint, blocks=True)
    return Verdict(Status.PASSED, text)


def _broken(spec: Spec, rows: int, missing: float, duplicates: float) -> Iterator[str]:
    if spec.min_rows is not None and rows < spec.min_rows:
        yield f"min_rows is {spec.min_rows:,}"
    if spec.max_missing is not None and missing > spec.max_missing:
        yield f"max_missing is {spec.max_missing:g}"
    if spec.max_duplicates is not None and duplicates > spec.max_duplicates:
        yield f"max_duplicates is {spec.max_duplicates:g}"


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Counts over the whole table; the bars play no part."""
    from ...adapters.table import read_table

    data = inputs[0]
    if data.seen is None or data.digest is None or data.seen.facts.get("format") not in ("csv", "parquet"):
        raise GateError(
            f"not assessed: {data.need.address} is no table",
            hint="use: table reads csv and parquet; remove this gate, or measure with a program: use: command",
            code="MLO1329",
        )
    table = read_table(ctx.store.path(data.digest), data.seen.facts["format"], str(data.need.address))
    return Outcome(facts=figures(table))


def figures(table: Table) -> dict[str, Json]:
    """``rows``, the column with the most gaps, and how many rows repeat an earlier one."""
    worst, most = "", 0
    for name, column in table.columns.items():
        gaps = sum(value is None or value != value for value in column.tolist())  # noqa: PLR0124 - NaN
        if gaps > most:
            worst, most = name, gaps
    seen: set[tuple[object, ...]] = set()
    for row in zip(*(column.tolist() for column in table.columns.values()), strict=True):
        # NaN is equal to nothing, not even itself: a gap repeats a gap.
        seen.add(tuple(None if value != value else value for value in row))  # noqa: PLR0124
    repeated = table.rows - len(seen)
    return {
        "rows": table.rows,
        "missing": {"column": worst, "cells": most, "share": _share(most, table.rows)},
        "duplicates": {"rows": repeated, "share": _share(repeated, table.rows)},
    }


def _share(part: int, whole: int) -> str:
    return decimal(part / whole if whole else 0.0, 9)
