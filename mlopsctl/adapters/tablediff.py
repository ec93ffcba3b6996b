"""Two versions of a table, or of a folder, compared: what came, what went, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from .csvfile import csv_records

LARGEST = 1 << 28
"""Bytes of a table up to which its rows are compared one by one."""

Cells = Sequence[str]
Row = tuple[str, bytes]


class TableDiff(NamedTuple):
    """``changed`` is None for tables without a key; rows are compared by the columns that both versions have."""

    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    rows_added: int
    rows_removed: int
    rows_changed: int | None


def compare_csv(old: Path, new: Path, key: str = "") -> TableDiff:
    """Rows by the value of the column ``key``, or else as a whole; their order does not count.

    Raises ProviderError for a file that is no CSV table.
    """
    before, after = csv_records(old, old.name), csv_records(new, new.name)
    had, has = next(before)[2], next(after)[2]
    shared = sorted(set(had) & set(has))
    columns = (tuple(name for name in has if name not in had), tuple(name for name in had if name not in has))
    keep_old, keep_new = _chosen(had, shared), _chosen(has, shared)
    at = shared.index(key) if key in shared else None
    then = [_row(keep_old(cells), at) for _, _, cells in before]
    now = [_row(keep_new(cells), at) for _, _, cells in after]
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
