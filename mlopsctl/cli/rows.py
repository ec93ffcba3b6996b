"""Rows in, predictions out: the files that ``mlopsctl predict`` reads and writes."""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.files import write_atomically
from ..adapters.table import Table, read_table
from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FORMATS = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json"}


def read_rows(source: str) -> Table:
    """Rows of a CSV, Parquet or JSON file (a list of objects, or one a line), or of stdin (``-``: CSV or JSON).

    Raises UsageError for a file that is missing, of another kind or malformed, ProviderError for a broken table.
    """
    if source == "-":
        return _from_text(sys.stdin.buffer.read(), "stdin")
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"there is no file {source}", hint="mlopsctl predict MODEL ROWS.csv", code="MLO6461")
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{source} is of no known kind", hint="rows come as .csv, .parquet or .json", code="MLO6462")
    return _from_json(path.read_bytes(), source) if kind == "json" else read_table(path, kind)


def _from_text(text: bytes, name: str) -> Table:
    if text.lstrip()[:1] in (b"[", b"{"):
        return _from_json(text, name)
    with tempfile.NamedTemporaryFile(suffix=".csv") as copy:
        copy.write(text)
        copy.flush()
        return read_table(Path(copy.name), "csv", name)


def _from_json(text: bytes, name: str) -> Table:
    import numpy as np

    try:
        whole = text.lstrip()[:1] == b"["
        rows = json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}", hint="write a list of objects", code="MLO6463") from None
    if not rows or not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        raise UsageError(
            f"{name} holds no rows: it must be a list of objects with the same keys",
            hint='for example [{"income": 3000, "age": 41}]',
            code="MLO6463",
        )
    columns: dict[str, Array] = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        array = np.array(values) if all(isinstance(value, int | float) for value in values) else None
        columns[key] = array if array is not None else np.array([*values, None], dtype=object)[:-1]
    return Table(columns, len(rows))


def write_predictions(
    outputs: Mapping[str, Array], predictions: Sequence[Any] | None, classes: Sequence[Any], destination: str, kind: str
) -> None:
    """One record a row: ``prediction`` where there is one, and every output, a column each; to a file or stdout."""
    columns: dict[str, list[Any]] = {}
    if predictions is not None:
        columns["prediction"] = list(predictions)
    for name, array in outputs.items():
        flat = array.reshape(len(array), -1)
        wide = flat.shape[1]
        labels = list(classes) if len(classes) == wide else list(range(wide))
        for place in range(wide):
            key = name if wide == 1 else f"{name}[{labels[place]}]"
            columns[key] = flat[:, place].tolist()
    names = list(columns)
    records = list(zip(*columns.values(), strict=True))
    if kind == "json":
        text = json.dumps([dict(zip(names, record, strict=True)) for record in records], ensure_ascii=False) + "\n"
    else:
        lines = io.StringIO(newline="")
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(names)
        table.writerows(records)
        text = lines.getvalue()
    if destination in ("", "-"):
        console.out(text.removesuffix("\n"))
    else:
        write_atomically(Path(destination), text.encode())
