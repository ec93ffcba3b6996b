"""A sample of a table's rows, for quick runs: chosen by a hash of each row, so that every clone takes the same ones."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nsmallest
from math import ceil
from pathlib import Path
from typing import Any

from ...adapters.csvfile import csv_records
from ...adapters.parquet import column_texts, open_parquet
from ...types import Sample

_DOMAIN = b"mlopsctl sample 1\0"

Key = Callable[[Sequence[str]], bytes]


def take_sample(source: Path, kind: str, file: str, key: str, sample: Sample, out: Path) -> tuple[Path, int]:
    """A file with the sampled rows in their order, in the table's own format, and how many rows the table has.

    ``key`` is the column that names a row, or "" for all of its cells: a row that is sampled stays on its side of the
    split. Equal rows are taken together, so that there may be a few more than asked for. ``file`` is what messages call
    the source.
    """
    target = out / f"sample{Path(file).suffix}"
    take = _take_csv if kind == "csv" else _take_parquet
    return target, take(source, file, key, sample, target)


def _bound(points: array[float], sample: Sample) -> float:
    """The largest point that is still taken."""
    wanted = min(max(ceil(sample.share * len(points)), sample.rows), len(points))
    return max(nsmallest(wanted, points), default=0.0)


def _point(key: bytes) -> float:
    return int.from_bytes(hashlib.sha256(_DOMAIN + key).digest()[:8], "big") / 2**64


def _key(columns: Sequence[str], name: str) -> Key:
    from ...adapters.cells import RowKey, canonical_cell

    if name not in columns:  # a missing column is reported when the rows are shared out
        return RowKey(columns)
    index = columns.index(name)
    return lambda texts: canonical_cell(texts[index]).encode("utf-8", "surrogatepass")


def _take_csv(source: Path, file: str, name: str, sample: Sample, target: Path) -> int:
    records = csv_records(source, file)
    _, header, columns = next(records)
    key = _key(columns, name)
    points = array("d", (_point(key(cells)) for _, _, cells in records))
    bound = _bound(points, sample)
    records = csv_records(source, file)
    next(records)
    with target.open("xb", buffering=1 << 20) as stream:
        stream.write(header if header.endswith(b"\n") else header + b"\n")
        for point, (_, raw, _) in zip(points, records, strict=True):
            if point <= bound:
                stream.write(raw if raw.endswith(b"\n") else raw + b"\n")
    return len(points)


def _take_parquet(source: Path, file: str, name: str, sample: Sample, target: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_parquet(source, file) as table:
        columns = list(table.schema_arrow.names)
        key = _key(columns, name)
        points = array("d")
        for batch in table.iter_batches(batch_size=1 << 14):
            points.extend(_point(key(row)) for row in _rows(batch, columns, name))
        bound, first = _bound(points, sample), 0
        with pq.ParquetWriter(target, table.schema_arrow) as writer:
            for batch in table.iter_batches(batch_size=1 << 14):
                mask = [point <= bound for point in points[first : first + batch.num_rows]]
                first += batch.num_rows
                chosen = batch.filter(pa.array(mask, type=pa.bool_()))
                if chosen.num_rows:
                    writer.write_batch(chosen)
    return len(points)


def _rows(batch: Any, columns: list[str], name: str) -> Iterator[tuple[str, ...]]:
    blank = [""] * batch.num_rows
    texts: Iterable[Sequence[str]] = (
        column_texts(batch.column(index)) if name not in columns or column == name else blank
        for index, column in enumerate(columns)
    )
    return zip(*texts, strict=True)
