"""Reads a table once, gives each row its view and writes the views in the table's own format."""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ...adapters.cells import MISSING, cell_text, kind_of, typed
from ...adapters.csvfile import check_columns, csv_records
from ...adapters.parquet import arrow_kind, column_texts, open_parquet
from ...errors import ProviderError
from ...types import Json
from .split import Rule, Sides

MOST_CLASSES = 256
LONGEST_CLASSES = 2000
"""Characters of all class names together: more is a text to predict, not a class."""


@dataclass
class Views:
    """What one pass over a table found; ``paths`` holds the views beside ``all``."""

    columns: list[str]
    rows: dict[str, int]
    membership: dict[str, str]
    paths: dict[str, Path]
    classes: list[Json] | None


@dataclass
class _Labels:
    """The distinct labels, until there are too many to be classes."""

    name: str
    index: int
    seen: dict[str, int] = field(default_factory=dict)
    """Text of the label and the first row that has it."""
    many: bool = False
    gap: int = 0
    numeric_only: bool = True

    def add(self, text: str, row: int) -> None:
        if text in MISSING:
            if text in ("", "nan", "NaN", "NAN", "-nan"):
                self.missing(row)
            self.gap = self.gap or row
        if self.many:
            self.numeric_only = self.numeric_only and kind_of([text]) in ("int", "float")
        elif text not in self.seen:
            self.seen[text] = row
            self.many = len(self.seen) > 100 * MOST_CLASSES
            if self.many:
                self.numeric_only = kind_of(self.seen) in ("int", "float")

    def missing(self, row: int) -> None:
        raise ProviderError(
            f"row {row} has no label: '{self.name}' is empty there",
            hint="fill it in or take the row out; a label that is missing can be neither trained on nor measured",
            code="MLO1114",
        )

    def classes(self) -> list[Json] | None:
        """Sorted class labels with their type; None where the label is a number to predict or has too many values."""
        kind = kind_of(self.seen)
        if self.gap and (kind != "str" if not self.many else self.numeric_only):
            self.missing(self.gap)
        if self.many or kind == "float":
            return None
        values: list[Any] = sorted({typed(text, kind) for text in self.seen})
        fits = len(values) <= MOST_CLASSES and len(str(values)) <= LONGEST_CLASSES
        return values if fits else None


def _find(columns: Sequence[str], name: str, key: str, file: str) -> int:
    if name not in columns:
        near = difflib.get_close_matches(name, columns, 1)
        hint = f"did you mean '{near[0]}'?" if near else "its columns are: " + ", ".join(columns)[:200]
        if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
            hint = "the file seems to be separated by something else than commas: write it with commas"
        raise ProviderError(f"{file} has no column '{name}', which {key}: names", hint=hint, code="MLO1113")
    return columns.index(name)


class _Pace:
    """Says how far a long read is, once a second."""

    def __init__(self, tell: Callable[[str], None], file: str) -> None:
        self._tell = tell
        self._file = file
        self._next = time.monotonic() + 1

    def at(self, rows: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            self._tell(f"reading {self._file}: {rows:,} rows")


def split_csv(
    source: Path, file: str, label: str, rule: Rule, column_key: str, out: Path, tell: Callable[[str], None]
) -> Views:
    """Views of a CSV file: the header and the records' own bytes, in the order of the file.

    ``file`` is what messages call the source, ``column_key`` the manifest key of the column that decides the side.
    """
    records = csv_records(source, file)
    _, header, columns = next(records)
    if not header.endswith(b"\n"):
        header += b"\n"
    labels, sides = _prepare(columns, file, label, rule, column_key)
    pace = _Pace(tell, file)
    with contextlib.ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        if rule.test:
            for view in rule.views:
                files[view] = stack.enter_context((out / f"{view}.csv").open("xb", buffering=1 << 20))
                files[view].write(header)
        for line, raw, cells in records:
            view = sides.view(cells, f"{file}:{line}")
            if labels is not None:
                labels.add(cells[labels.index], line)
            if files:
                files[view].write(raw)
            if not sides.rows % 4096:
                pace.at(sides.rows)
    return _views(columns, labels, sides, {view: out / f"{view}.csv" for view in files}, source)


def split_parquet(
    source: Path, file: str, label: str, rule: Rule, column_key: str, out: Path, tell: Callable[[str], None]
) -> Views:
    """Views of a Parquet file, with its schema. The files' bytes depend on pyarrow's version; membership does not."""
    with open_parquet(source, file) as table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = table.schema_arrow
        columns = list(schema.names)
        check_columns(columns, file)
        labels, sides = _prepare(columns, file, label, rule, column_key)
        if labels is not None and arrow_kind(schema.field(label).type) == "":
            raise ProviderError(
                f"{file}: the label '{label}' is of type {schema.field(label).type}, which is no label",
                hint="a label is a number, text or true/false",
                code="MLO1113",
            )
        pace = _Pace(tell, file)
        with contextlib.ExitStack() as stack:
            writers = {
                view: stack.enter_context(pq.ParquetWriter(out / f"{view}.parquet", schema))
                for view in (rule.views if rule.test else ())
            }
            for batch in _batches(table, file):
                found = _assign(batch, columns, sides, labels, file)
                for view, writer in writers.items():
                    chosen = batch.filter(pa.array([name == view for name in found], type=pa.bool_()))
                    if chosen.num_rows:
                        writer.write_batch(chosen)
                pace.at(sides.rows)
    return _views(columns, labels, sides, {view: out / f"{view}.parquet" for view in writers}, source)


def _batches(table: Any, file: str) -> Iterator[Any]:
    import pyarrow as pa

    try:
        yield from table.iter_batches(batch_size=1 << 14)
    except (pa.ArrowException, OSError) as error:
        raise ProviderError(
            f"{file} is a broken Parquet file: {str(error).splitlines()[0]}", hint="write it anew", code="MLO1118"
        ) from None


def _assign(batch: Any, columns: list[str], sides: Sides, labels: _Labels | None, file: str) -> list[str]:
    """The view of each row of a batch; only the columns that decide are turned into text."""
    wanted = [sides.rule.column] if sides.rule.column else columns
    texts = {name: column_texts(batch.column(columns.index(name))) for name in wanted}
    blank = [""] * batch.num_rows
    first = sides.rows
    found = [
        sides.view(row, f"{file}: row {first + number}")
        for number, row in enumerate(zip(*(texts.get(name, blank) for name in columns), strict=True), 1)
    ]
    if labels is not None:
        known = texts.get(labels.name) or column_texts(batch.column(labels.index))
        for number, text in enumerate(known, 1):
            labels.add(cell_text(text), first + number)
    return found


def _prepare(columns: list[str], file: str, label: str, rule: Rule, column_key: str) -> tuple[_Labels | None, Sides]:
    labels = _Labels(label, _find(columns, label, "label", file)) if label else None
    if rule.column:
        _find(columns, rule.column, f"split.{column_key}", file)
    return labels, Sides(rule, columns)


def _views(columns: list[str], labels: _Labels | None, sides: Sides, paths: dict[str, Path], source: Path) -> Views:
    if sides.rule.whole:
        paths = {sides.rule.whole: source}
    return Views(columns, sides.counts(), sides.membership(), paths, labels.classes() if labels else None)
