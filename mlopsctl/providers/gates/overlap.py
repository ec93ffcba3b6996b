"""Which rows of a view a model was trained on: those with the key of a row that its training was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np  # noqa: TID253 — imported only when something is measured

from ...adapters.cells import RowKey, canonical_cell, cell_text
from ...adapters.table import Table
from ...measures.metrics import Array


def unseen(view: Table, column: str, trained: Iterable[Table]) -> Array:
    """True for each row of the view that is in none of the tables [rows].

    A row is known by ``column``, where all have it, else by the values of the columns that both have.
    """
    keep = np.ones(view.rows, dtype=bool)
    for table in trained:
        names = [column] if column in view.columns and column in table.columns else _shared(view, table)
        if not names:
            continue
        known = set(_keys(table, names))
        keep &= np.array([key not in known for key in _keys(view, names)], dtype=bool)
    return keep


def _shared(view: Table, table: Table) -> list[str]:
    return [name for name in view.columns if name in table.columns]


def _keys(table: Table, names: Sequence[str]) -> Iterator[bytes]:
    """The rows as the split knows them: typed values and texts of one value agree."""
    columns = [[cell_text(value) for value in table.columns[name].tolist()] for name in names]
    if len(names) == 1:
        return (canonical_cell(text).encode("utf-8", "surrogatepass") for text in columns[0])
    key = RowKey(names)
    return (key(texts) for texts in zip(*columns, strict=True))
