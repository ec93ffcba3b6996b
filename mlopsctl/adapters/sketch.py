"""About how many rows two tables share, from few marks of each; the marks are never kept, because a key can be guessed.

A mark is a hash. Of each table those that are the smallest are taken; how many of the smallest of both together are in
both says how alike they are (Broder, On the resemblance and containment of documents, 1997), and how small the largest
of them is says how many there are (Bar-Yossef and others, Counting distinct elements in a data stream, 2002).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappush, heappushpop
from pathlib import Path
from typing import NamedTuple

from .cells import RowKey, canonical_cell
from .csvfile import csv_records

MARKS = 512
_ALL = 2**64


class Sketch(NamedTuple):
    """The smallest marks of a set in order, and about how many members it has (exactly, where all have a mark), of so many
    that were counted."""

    size: float
    marks: tuple[int, ...]
    counted: int

    @property
    def tells(self) -> bool:
        """Whether members tell rows apart: where many rows share one, other rows have it too."""
        return self.counted > 0 and self.size >= self.counted / 2


class Rows(NamedTuple):
    """A table by its key, where it has the column, and by everything else of each row."""

    by_key: Sketch | None
    by_rest: Sketch


def shared(one: Rows, other: Rows) -> float:
    """About how much of the smaller table is in the other: 0 to 1."""
    by_key = _contained(one.by_key, other.by_key) if one.by_key and other.by_key else 0.0
    return max(by_key, _contained(one.by_rest, other.by_rest))


def _contained(one: Sketch, other: Sketch) -> float:
    if not (one.tells and other.tells):
        return 0.0
    both, smallest = {*one.marks} & {*other.marks}, sorted({*one.marks, *other.marks})[:MARKS]
    alike = sum(mark in both for mark in smallest) / len(smallest)
    return min(alike * (one.size + other.size) / (1 + alike) / min(one.size, other.size), 1.0)


def sketch(members: Iterable[bytes]) -> Sketch:
    """Of all members, however many, with the memory of a few."""
    heap: list[int] = []
    held: set[int] = set()
    counted = 0
    for member in members:
        counted += 1
        mark = int.from_bytes(hashlib.sha256(member).digest()[:8], "big")
        if mark in held or (len(heap) == MARKS and mark > -heap[0]):
            continue
        held.add(mark)
        if len(heap) < MARKS:
            heappush(heap, -mark)
        else:
            held.discard(-heappushpop(heap, -mark))
    marks = tuple(sorted(held))
    size = float(len(marks)) if len(marks) < MARKS else (MARKS - 1) / (marks[-1] / _ALL)
    return Sketch(size, marks, counted)


def read_rows(path: Path, format: str, key: str) -> Rows:
    """A CSV or Parquet file, read once for each of both. Raises ProviderError as ``csv_records`` and ``open_parquet`` do."""
    columns = next(_cells(path, format))
    at = columns.index(key) if key in columns else -1
    rest = [name for name in columns if name != key]
    whole = RowKey(rest)
    by_key = sketch(canonical_cell(row[at]).encode("utf-8", "surrogatepass") for row in _body(path, format))
    others = [place for place, name in enumerate(columns) if name != key]
    by_rest = sketch(whole([row[place] for place in others]) for row in _body(path, format))
    return Rows(by_key if at >= 0 else None, by_rest)


def _body(path: Path, format: str) -> Iterator[Sequence[str]]:
    rows = _cells(path, format)
    next(rows)
    return rows


def _cells(path: Path, format: str) -> Iterator[Sequence[str]]:
    """The names of the columns, then the texts of each row."""
    if format == "csv":
        for _, _, cells in csv_records(path, path.name):
            yield cells
        return
    from .parquet import column_texts, open_parquet

    with open_parquet(path, path.name) as table:
        names = list(table.schema_arrow.names)
        yield names
        for batch in table.iter_batches(batch_size=1 << 14):
            yield from zip(*(column_texts(batch.column(place)) for place in range(len(names))), strict=True)
