"""Rows of two tables: what came and what went, whatever their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.adapters.tablediff import TableDiff, compare_csv, compare_listings


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


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
    tmp_path: Path, old: tuple[str, ...], new: tuple[str, ...], key: str, found: tuple[int, int, int | None]
) -> None:
    assert compare_csv(table(tmp_path / "old.csv", *old), table(tmp_path / "new.csv", *new), key)[2:] == found


def test_a_new_column_changes_no_row(tmp_path: Path) -> None:
    old, new = table(tmp_path / "old.csv", "a,b", "1,2"), table(tmp_path / "new.csv", "c,a", "9,1")
    assert compare_csv(old, new) == TableDiff(("c",), ("b",), 0, 0, None)


rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12)


@settings(max_examples=40)
@given(rows, rows, st.sampled_from(["", "a"]))
def test_what_came_minus_what_went_is_the_change_in_length(
    tmp_path_factory: pytest.TempPathFactory, old: list[tuple[int, int]], new: list[tuple[int, int]], key: str
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    paths = [table(folder / name, "a,b", *(f"{a},{b}" for a, b in lines)) for name, lines in (("o", old), ("n", new))]
    found = compare_csv(paths[0], paths[1], key)
    assert found.rows_added - found.rows_removed == len(new) - len(old)
    back = compare_csv(paths[1], paths[0], key)
    assert (back.rows_added, back.rows_removed, back.rows_changed) == (
        found.rows_removed, found.rows_added, found.rows_changed,
    )  # fmt: skip


def test_files_of_a_folder() -> None:
    assert compare_listings({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == (("c",), ("a",), ("b",))
