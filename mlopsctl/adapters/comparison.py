"""An artifact and its model on the rows of a view: how well they agree, and a metric of both side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ProviderError
from ..types import Json
from .agreement import Agreement, compare
from .artifact import class_count

if TYPE_CHECKING:
    import numpy as np

    from .table import Table

    Arrays = Mapping[str, np.ndarray[Any, Any]]


class Comparison(NamedTuple):
    """``metrics`` are those of ``measures.beside``: what a metric gives for the original and for the artifact."""

    agreement: Agreement
    metrics: dict[str, Json]


def compare_on(
    table: Table,
    data_facts: Mapping[str, Json],
    original: Arrays,
    artifact: Arrays,
    *,
    description: Mapping[str, Any] | None = None,
    keys: Mapping[str, list[Any]] | None = None,
) -> Comparison:
    """Compares the outputs for all rows of ``table``, which ``data_facts`` are of.

    ``description`` is what ``inspect_model`` says of the original, and ``keys`` is what ``run_fully`` says of its run: both
    tell which class a score is of. Raises ProviderError where names or shapes of the outputs differ.
    """
    found = compare(original, artifact, classes=class_count(data_facts))
    return Comparison(found, _metrics(table, data_facts, original, artifact, description or {}, keys or {}))


def program_metrics(
    table: Table, data_facts: Mapping[str, Json], original: Sequence[Any], artifact: Sequence[Any]
) -> dict[str, Json]:
    """The metrics of a program and of its packed copy, from what each answered to every row of ``table``."""
    from ..measures.beside import nothing
    from ..measures.predictions import program_outputs

    try:
        before, after = program_outputs(original), program_outputs(artifact)
    except ProviderError as error:
        return nothing(f"the program's answers are no predictions of the label ({error.code})")
    return _metrics(table, data_facts, before, after, {}, {})


def _metrics(
    table: Table,
    data_facts: Mapping[str, Json],
    original: Arrays,
    artifact: Arrays,
    description: Mapping[str, Any],
    keys: Mapping[str, list[Any]],
) -> dict[str, Json]:
    from ..measures.beside import beside, nothing
    from ..measures.measure import Answers
    from .features import groups, labels

    if not data_facts.get("label"):
        return nothing("the data has no label")
    if not table.rows:
        return nothing("the view is empty")
    try:
        truth = labels(table, data_facts)
    except ProviderError as error:
        return nothing(f"a row of the view has no label ({error.code})")
    before, after = Answers(original, description, keys), Answers(artifact, description, keys)
    return beside(truth, before, after, data_facts, groups(table, data_facts))
