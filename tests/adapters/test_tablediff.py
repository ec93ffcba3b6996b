"""Rows of two tables: what came and what went, whatever their order."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.adapters.tablediff import MOST_ROWS, TableDiff, compare_listings, compare_tables
from mlopsctl.errors import ProviderError


def table(path: Path, *lines: str, kind: str = "csv") -> Path:
    if kind == "csv":
        path.write_text("\n".join(lines) + "\n")
    else:
        header, *rows = (line.split(",") for line in lines)
        columns = {name: [int(row[at]) for row in rows] for at, name in enumerate(header)}
        pq.write_table(pa.table(columns), path, row_group_size=1)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("old", "new", "key", "found"),
    [
        (("a,b", "1,2", "3,4"), ("a,b", "3,4", "1,2"), "", (0, 0, None)),
        (("a,b", "1,2", "3,4"), ("a,b", "1,2", "1,2"), "", (1, 1, None)),
        (("a,b", "1,2", "3,4"), ("b,a", "2,1", "4,3"), "", (0, 0, None)),
        (("id,b", "1,2", "3,4"), ("id,b", "1,9", "5,6"), "id", (1, 1, 1)),
        (("id,b", "1,2", "1,3"), ("id,b", "1,2", "1,4"), "id", (1, 1, None)),
        (("id,b", "1,2"), ("no,b", "1,2"), "id", (0, 0, None)),
    ],
)
def test_rows_are_counted_by_key_or_as_a_whole(
    tmp_path: Path, old: tuple[str, ...], new: tuple[str, ...], key: str, found: tuple[int, int, int | None], kind: str
) -> None:
    paths = table(tmp_path / "old", *old, kind=kind), table(tmp_path / "new", *new, kind=kind)
    seen = compare_tables(*paths, kind, key)
    assert seen is not None and seen[2:] == found


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_new_column_changes_no_row(tmp_path: Path, kind: str) -> None:
    old = table(tmp_path / "old", "a,b", "1,2", kind=kind)
    new = table(tmp_path / "new", "c,a", "9,1", kind=kind)
    assert compare_tables(old, new, kind) == TableDiff(("c",), ("b",), 0, 0, None)


def test_a_table_of_too_many_rows_is_not_compared(tmp_path: Path) -> None:
    """A few bytes of Parquet can stand for any number of rows."""
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table({"a": pa.nulls(MOST_ROWS + 1, pa.int8())}), path)
    assert path.stat().st_size < 100_000 and compare_tables(path, path, "parquet") is None


def test_what_is_no_parquet_file_is_an_error(tmp_path: Path) -> None:
    good = table(tmp_path / "good", "a,b", "1,2", kind="parquet")
    bad = tmp_path / "bad"
    bad.write_bytes(good.read_bytes()[:40] + b"\0" * 20 + good.read_bytes()[60:])
    with pytest.raises(ProviderError):
        compare_tables(good, bad, "parquet")


rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12)


@settings(max_examples=40)
@given(rows, rows, st.sampled_from(["", "a"]))
def test_what_came_minus_what_went_is_the_change_in_length(
    tmp_path_factory: pytest.TempPathFactory, old: list[tuple[int, int]], new: list[tuple[int, int]], key: str
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    paths = [table(folder / name, "a,b", *(f"{a},{b}" for a, b in lines)) for name, lines in (("o", old), ("n", new))]
    found = compare_tables(paths[0], paths[1], "csv", key)
    back = compare_tables(paths[1], paths[0], "csv", key)
    assert found is not None and back is not None
    assert found.rows_added - found.rows_removed == len(new) - len(old)
    assert (back.rows_added, back.rows_removed, back.rows_changed) == (
        found.rows_removed, found.rows_added, found.rows_changed,
    )  # fmt: skip


def test_files_of_a_folder() -> None:
    assert compare_listings({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == (("c",), ("a",), ("b",))
