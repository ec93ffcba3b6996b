"""Tables as typed numpy columns, from CSV or Parquet alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from ..types import Json
from .cells import MISSING, Kind, kind_of, typed
from .csvfile import check_columns, csv_records
from .parquet import arrow_kind, column_texts, open_parquet

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, Any]

CHUNK_ROWS = 1 << 14


@dataclass(frozen=True)
class Table:
    """``columns`` by name, in the order of the file, each [rows]: int64, float64, bool or object.

    A missing value is NaN among numbers (an int column with a gap is float64) and None among words and truth values.
    """

    columns: Mapping[str, Column]
    rows: int


def read_table(path: Path, format: str, name: str = "") -> Table:
    """Reads a file of the format ``csv`` or ``parquet``; ``name`` is what messages call it.

    Raises ProviderError as ``csv_records`` and ``open_parquet`` do, and MLO1116 for another format.
    """
    if format == "csv":
        return _read_csv(path, name or path.name)
    if format == "parquet":
        return _read_parquet(path, name or path.name)
    raise ProviderError(
        f"{name or path.name} is a {format}, not a table", hint="tables are csv and parquet", code="MLO1116"
    )


def feature_names(table: Table, facts: Mapping[str, Json]) -> list[str]:
    """The columns a model may be given, in order: all but the label and the column that the split goes by.

    Facts of very wide tables hold no list; then the table itself says which columns there are.
    """
    if facts.get("features") is not None:
        return list(facts["features"])
    aside = {facts.get("label"), facts.get("key")}
    return [name for name in table.columns if name not in aside]


# --- CSV ---------------------------------------------------------------------------------------------------


def _read_csv(path: Path, name: str) -> Table:
    """One pass where each column keeps its kind; a second one where a later chunk shows that a column holds words."""
    kinds: dict[str, Kind] = {}
    while True:
        chunks, rows = _chunks(path, name, kinds)
        common = {column: _common(parts) for column, parts in chunks.items()}
        widened = {column: kind for column, kind in common.items() if kind is not None and kind != kinds.get(column)}
        if not widened:
            return Table({column: _join(parts) for column, parts in chunks.items()}, rows)
        kinds |= widened


def _chunks(path: Path, name: str, kinds: Mapping[str, Kind]) -> tuple[dict[str, list[Column]], int]:
    records = csv_records(path, name)
    _, _, columns = next(records)
    chunks: dict[str, list[Column]] = {column: [] for column in columns}
    rows: list[list[str]] = []
    total = 0

    def flush() -> None:
        for column, texts in zip(columns, zip(*rows, strict=True), strict=True):
            chunks[column].append(_column(texts, kinds.get(column)))
        rows.clear()

    for _, _, cells in records:
        rows.append(cells)
        total += 1
        if len(rows) == CHUNK_ROWS:
            flush()
    if rows:
        flush()
    return chunks, total


def _column(texts: Sequence[str], kind: Kind | None) -> Column:
    """Cells as the narrowest type that holds them all, or as the given kind."""
    import numpy as np

    if kind is None:
        whole = _whole_numbers(texts)
        if whole is not None:
            return whole
    kind = kind or kind_of(texts)
    gaps = [text in MISSING for text in texts]
    if kind == "str":
        return _objects([text or None for text in texts])
    if kind == "bool":
        values = [None if gap else typed(text, kind) for text, gap in zip(texts, gaps, strict=True)]
        return _objects(values) if any(gaps) else np.array(values, dtype=np.bool_)
    if kind == "int" and not any(gaps):
        return np.array([int(text) for text in texts], dtype=np.int64)
    return np.array(
        [float("nan") if gap else float(text) for text, gap in zip(texts, gaps, strict=True)], dtype=np.float64
    )


def _whole_numbers(texts: Sequence[str]) -> Column | None:
    """The common case, done in C: ASCII digits and signs only."""
    import numpy as np

    joined = "".join(texts)
    if not joined.isascii() or not joined.replace("-", "").isdigit():
        return None
    try:
        return np.array(texts, dtype=np.str_).astype(np.int64)
    except (ValueError, OverflowError):
        return None


def _objects(values: Sequence[Any]) -> Column:
    import numpy as np

    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _kind(part: Column) -> Kind:
    import numpy as np

    if part.dtype == object:
        words = [value for value in part if value is not None]
        return "bool" if words and all(isinstance(value, bool) for value in words) else "str"
    return "int" if part.dtype == np.int64 else "bool" if part.dtype == np.bool_ else "float"


def _blank(part: Column) -> bool:
    """Whether a chunk holds no value at all, so that it fits any kind."""
    return part.dtype == object and all(value is None or value in MISSING for value in part)


def _common(parts: Sequence[Column]) -> Kind | None:
    """The kind that a column must be read as once more, or None where its chunks agree."""
    kinds = {_kind(part) for part in parts if not _blank(part)}
    blank = any(_blank(part) for part in parts)
    if len(kinds) <= 1 and not (blank and kinds and kinds != {"str"}):
        return None
    if kinds <= {"int", "float"}:
        return None if not blank else "float"
    return next(iter(kinds)) if len(kinds) == 1 else "str"


def _join(parts: Sequence[Column]) -> Column:
    import numpy as np

    if not parts:
        return np.empty(0, dtype=object)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


# --- Parquet -----------------------------------------------------------------------------------------------


def _read_parquet(path: Path, name: str) -> Table:
    with open_parquet(path, name) as file:
        table = file.read()
    names = list(table.schema.names)
    check_columns(names, name)
    return Table({column: _arrow(table.column(column).combine_chunks()) for column in names}, table.num_rows)


def _arrow(column: Any) -> Column:
    import numpy as np
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = arrow_kind(column.type)
    if kind == "int" and not column.null_count and not pa.types.is_uint64(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)
    if kind in ("int", "float"):
        return np.array(
            [float("nan") if value is None else float(value) for value in column.to_pylist()], dtype=np.float64
        )
    if kind == "bool" and not column.null_count:
        return np.array(column.to_pylist(), dtype=np.bool_)
    if kind in ("bool", "str"):
        return _objects(column.to_pylist())
    return _objects([text or None for text in column_texts(column)])
