"""Two versions of a table, or of a folder, compared: what came, what went, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .csvfile import csv_records

LARGEST = 1 << 28
"""Bytes of a table up to which its rows are compared one by one."""

MOST_ROWS = 5_000_000
"""The same for a table that is packed so well that its bytes say little."""

Cells = Sequence[str]
Row = tuple[str, bytes]


class TableDiff(NamedTuple):
    """``changed`` is None for tables without a key; rows are compared by the columns that both versions have."""

    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    rows_added: int
    rows_removed: int
    rows_changed: int | None


def compare_tables(old: Path, new: Path, kind: str, key: str = "") -> TableDiff | None:
    """Rows by the value of the column ``key``, or else as a whole; their order does not count.

    ``kind`` is ``csv`` or ``parquet``, of both. None for a Parquet file of so many rows that they are not compared.
    Raises ProviderError for a file that is no such table, and for Parquet where pyarrow is absent.
    """
    read = _csv if kind == "csv" else _parquet
    with read(old) as before, read(new) as after:
        had, has = before.columns, after.columns
        if max(before.rows, after.rows) > MOST_ROWS:
            return None
        shared = sorted(set(had) & set(has))
        columns = (tuple(name for name in has if name not in had), tuple(name for name in had if name not in has))
        at = shared.index(key) if key in shared else None
        then = [_row(cells, at) for cells in before.cells(shared)]
        now = [_row(cells, at) for cells in after.cells(shared)]
    return _compared(columns, at, then, now)


class _Table(NamedTuple):
    """An open table: ``cells`` reads some of its columns row by row, as text; ``rows`` is 0 where nobody counted."""

    columns: Sequence[str]
    cells: Callable[[Sequence[str]], Iterator[Cells]]
    rows: int = 0


@contextmanager
def _csv(path: Path) -> Iterator[_Table]:
    records = csv_records(path, path.name)
    columns = next(records)[2]

    def cells(names: Sequence[str]) -> Iterator[Cells]:
        keep = _chosen(columns, names)
        return (keep(one) for _, _, one in records)

    yield _Table(columns, cells)


@contextmanager
def _parquet(path: Path) -> Iterator[_Table]:
    from .parquet import column_texts, open_parquet

    with open_parquet(path, path.name) as table:
        import pyarrow as pa

        def cells(names: Sequence[str]) -> Iterator[Cells]:
            try:
                for batch in table.iter_batches(batch_size=1 << 14, columns=list(names)):
                    texts = [column_texts(batch.column(name)) for name in names]
                    yield from zip(*texts, strict=True) if texts else ((),) * batch.num_rows
            except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError) as error:
                # A column of one name twice, a date beyond what Python counts: what no plan would take either.
                raise ProviderError(f"{path.name} is a broken Parquet file", code="MLO1118") from error

        yield _Table(table.schema_arrow.names, cells, table.metadata.num_rows)


def _compared(
    columns: tuple[tuple[str, ...], tuple[str, ...]], at: int | None, then: Sequence[Row], now: Sequence[Row]
) -> TableDiff:
    lost, gained = Counter(then) - Counter(now), Counter(now) - Counter(then)
    if at is None or len(dict(then)) < len(then) or len(dict(now)) < len(now):
        return TableDiff(*columns, gained.total(), lost.total(), None)
    changed = _in_both(lost, gained)
    return TableDiff(*columns, gained.total() - changed, lost.total() - changed, changed)


def _in_both(lost: Iterable[Row], gained: Iterable[Row]) -> int:
    """Keys of rows that are gone in one form and came in another."""
    return len({key for key, _ in lost} & {key for key, _ in gained})


def _chosen(columns: Sequence[str], shared: Sequence[str]) -> Callable[[Cells], Cells]:
    places = [columns.index(name) for name in shared]
    if len(places) < 2:
        return lambda cells: [cells[place] for place in places]
    return itemgetter(*places)


def _row(cells: Cells, at: int | None) -> Row:
    """The key, and what stands for the row in memory, whatever its width."""
    mark = blake2b("\0".join(cells).encode(errors="surrogateescape"), digest_size=12).digest()
    return ("" if at is None else cells[at], mark)


def compare_listings(
    old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of files that were added, removed and changed; both map a name to a digest."""
    added = tuple(sorted(new.keys() - old.keys()))
    removed = tuple(sorted(old.keys() - new.keys()))
    return added, removed, tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name]))
