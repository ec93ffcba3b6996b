"""Laws of the split: equal keys share a side, appended rows move no other, CSV and Parquet agree, bytes stay as they are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.adapters.csvfile import csv_records
from mlopsctl.errors import ProviderError
from mlopsctl.providers.data.split import Rule
from mlopsctl.providers.data.views import Views, split_csv, split_parquet

HALF = Rule(test=0.4, val=0.2, column="id", seed=3)
WHOLE = Rule(test=0.4, val=0.2)

WORDS = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff"), max_size=6)
CELLS = WORDS | st.just('a "quoted", word') | st.just("two\nlines") | st.just("two\r\nlines")
IDS = st.integers(0, 30).map(str)
ROWS = st.lists(st.tuples(IDS, CELLS), min_size=1, max_size=40)
ENDS = st.sampled_from(["\n", "\r\n"])


def read(text: bytes, rule: Rule, label: str = "") -> tuple[Views, dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "data.csv"
        source.write_bytes(text)
        out = Path(folder) / "out"
        out.mkdir()
        found = split_csv(source, "data.csv", label, rule, "by", out, lambda line: None)
        return found, {view: path.read_bytes() for view, path in found.paths.items()}


def to_csv(rows: list[tuple[str, str]], end: str = "\n", last: bool = True) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([("id", "word"), *rows])
    return text.getvalue().removesuffix("" if last else end).encode()


def records(text: bytes) -> list[tuple[bytes, tuple[str, ...]]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return [(raw, tuple(cells)) for _, raw, cells in csv_records(Path(file.name), "x")][1:]


def sides(text: bytes, rule: Rule) -> list[tuple[str, tuple[str, ...]]]:
    """(view, cells) of every row; none where a view would have been empty."""
    try:
        _, views = read(text, rule)
    except ProviderError as error:
        assert error.code in ("MLO1115", "MLO1107")
        return []
    return [(view, cells) for view, body in views.items() for _, cells in records(body)]


@settings(max_examples=60, deadline=None)
@given(ROWS, ENDS, st.booleans())
def test_views_partition_the_rows_byte_for_byte_in_the_order_of_the_file(
    rows: list[tuple[str, str]], end: str, last: bool
) -> None:
    text = to_csv(rows, end, last)
    try:
        found, views = read(text, HALF)
    except ProviderError as error:
        assert error.code == "MLO1115"
        return
    whole = records(text)
    parts = {view: records(body) for view, body in views.items()}
    assert Counter(raw for raw, _ in whole) == Counter(raw for part in parts.values() for raw, _ in part)
    header = text[: text.index(b"\n") + 1]
    for view, part in parts.items():
        chosen = {cells for _, cells in part}
        assert views[view] == header + b"".join(raw for raw, cells in whole if cells in chosen)
        assert found.rows[view] == len(part)
    assert found.rows["all"] == len(rows)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_equal_keys_share_a_side(rows: list[tuple[str, str]]) -> None:
    by_key: dict[str, set[str]] = {}
    for view, cells in sides(to_csv(rows), HALF):
        by_key.setdefault(cells[0], set()).add(view)
    assert all(len(views) == 1 for views in by_key.values())


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.sampled_from([HALF, WHOLE]))
def test_rows_that_are_added_move_no_other(
    rows: list[tuple[str, str]], more: list[tuple[str, str]], rule: Rule
) -> None:
    before = sides(to_csv(rows), rule)
    after = {cells: view for view, cells in sides(to_csv(more + rows), rule)}
    if before and after:
        assert all(after[cells] == view for view, cells in before)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_membership_does_not_depend_on_the_order_of_rows(rows: list[tuple[str, str]]) -> None:
    try:
        forth, _ = read(to_csv(rows), WHOLE)
    except ProviderError:
        return
    back, _ = read(to_csv(rows[::-1]), WHOLE)
    assert forth.membership == back.membership


TYPED = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**40), 2**40),
        "share": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        "narrow": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "word": st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=5) | st.none(),
        "flag": st.booleans(),
        "at": st.datetimes(),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TYPED, min_size=2, max_size=20), st.sampled_from([HALF, WHOLE]))
def test_csv_and_parquet_of_the_same_rows_agree(rows: list[dict[str, Any]], rule: Rule) -> None:
    schema = pa.schema(
        [("id", pa.int64()), ("share", pa.float64()), ("narrow", pa.float32()), ("word", pa.string()),
         ("flag", pa.bool_()), ("at", pa.timestamp("us"))]
    )  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=schema)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(schema.names)
    narrow = table.column("narrow").to_numpy()
    for number, row in enumerate(rows):
        cells = {**row, "narrow": narrow[number], "flag": str(row["flag"]), "at": row["at"].isoformat(" ")}
        writer.writerow(["" if cells[name] is None else cells[name] for name in schema.names])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "data.parquet"
        pq.write_table(table, source)
        out = Path(folder) / "out"
        out.mkdir()
        try:
            parquet = split_parquet(source, "data.parquet", "", rule, "by", out, lambda line: None)
        except ProviderError as error:
            assert error.code == "MLO1115"
            with pytest.raises(ProviderError):
                read(text.getvalue().encode(), rule)
            return
        again = [pq.read_table(path) for path in parquet.paths.values()]
        assert sum(part.num_rows for part in again) == len(rows)
        assert all(part.schema.equals(schema) for part in again)
    plain, _ = read(text.getvalue().encode(), rule)
    assert plain.rows == parquet.rows
    assert plain.membership == parquet.membership


def test_a_larger_test_share_only_adds_rows_to_the_test_view() -> None:
    text = to_csv([(str(n), "x") for n in range(500)])
    small = {cells for view, cells in sides(text, Rule(test=0.2, column="id")) if view == "test"}
    large = {cells for view, cells in sides(text, Rule(test=0.3, column="id")) if view == "test"}
    assert small < large
    assert 60 < len(small) < 140


def test_another_seed_shares_out_differently() -> None:
    text = to_csv([(str(n), "x") for n in range(100)])
    assert sides(text, Rule(test=0.5, seed=0)) != sides(text, Rule(test=0.5, seed=1))


def test_the_sides_of_a_release_stay_for_ever() -> None:
    """Golden: a change here would move rows of every project between training and testing."""
    text = to_csv([(str(n), f"w{n}") for n in range(20)])
    by_id = [cells[0] for view, cells in sides(text, Rule(test=0.3, column="id")) if view == "test"]
    whole = [cells[0] for view, cells in sides(text, Rule(test=0.3)) if view == "test"]
    assert by_id == GOLDEN_BY_ID
    assert whole == GOLDEN_WHOLE


GOLDEN_BY_ID = ["2", "3", "5", "7", "8", "13", "14", "15", "16", "17", "18"]
GOLDEN_WHOLE = ["6", "10", "14", "18", "19"]


@pytest.mark.parametrize(
    ("text", "label", "classes"),
    [
        (b"x,y\n1,b\n2,a\n3,b\n", "y", ["a", "b"]),
        (b"x,y\n1,10\n2,9\n3,9\n", "y", [9, 10]),
        (b"x,y\n1,True\n2,false\n3,true\n", "y", [False, True]),
        (b"x,y\n1,0.5\n2,1.5\n3,2\n", "y", None),
        (b"x,y\n1,NA\n2,DE\n3,NA\n", "y", ["DE", "NA"]),
    ],
)
def test_classes_have_the_type_of_the_label(text: bytes, label: str, classes: object) -> None:
    found, _ = read(text, Rule(), label)
    assert found.classes == classes


def test_a_label_with_many_values_is_no_class() -> None:
    text = b"x,y\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(300))
    assert read(text, Rule(), "y")[0].classes is None


BAD = {
    "empty": (b"", "MLO1107", "is empty"),
    "only a header": (b"id,y\n", "MLO1115", "no rows"),
    "no header": (b"1,2\n3,4\n", "MLO1108", "looks like data"),
    "an index column": (b",id,y\n0,1,2\n", "MLO1108", "column 1 has no name"),
    "two columns of one name": (b"id,y,id\n1,2,3\n", "MLO1109", "'id'"),
    "a row too short": (b"id,y\n1,2\n\n3\n", "MLO1110", "data.csv:4: 1 fields"),
    "a row too long, after two-line field": (b'id,y\n"1\n1",2\n3,4,5\n', "MLO1110", "data.csv:4: 3 fields"),
    "a quote left open": (b'id,y\n1,2\n"3,4\n5,6\n', "MLO1111", "data.csv:3: a quote is opened"),
    "text after a quote": (b'id,y\n"1"x,2\n', "MLO1111", "data.csv:2"),
    "Latin-1": ("id,y\n1,2\nM\u00fcller,3\n".encode("latin-1"), "MLO1112", "data.csv:3: byte 2"),
    "UTF-16": ("id,y\n1,2\n".encode("utf-16"), "MLO1112", "data.csv:1"),
    "a carriage return alone": (b"id,y\r1,2\r3,4\r", "MLO1111", "carriage return"),
    "no such label": (b"id,yy\n1,2\n", "MLO1113", "no column 'y'"),
    "semicolons": (b"id;y\n1;2\n", "MLO1113", "no column 'y'"),
    "no label in a row": (b"id,y\n1,2\n3,\n", "MLO1114", "row 3 has no label"),
    "NaN label": (b"id,y\n1,2\n3,nan\n", "MLO1114", "row 3 has no label"),
    "NA among numbers": (b"id,y\n1,2\n3,NA\n", "MLO1114", "row 3 has no label"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "MLO1120", "Git LFS"),
}


@pytest.mark.parametrize(("text", "code", "words"), BAD.values(), ids=BAD)
def test_bad_data_is_one_error_that_names_the_place(text: bytes, code: str, words: str) -> None:
    with pytest.raises(ProviderError) as caught:
        read(text, Rule(), "y")
    assert caught.value.code == code, caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


def test_a_row_without_its_key_can_not_be_placed() -> None:
    with pytest.raises(ProviderError) as caught:
        read(b"id,y\n1,2\n,3\n", HALF)
    assert caught.value.code == "MLO1114"
    assert caught.value.message.startswith("data.csv:3")


def test_a_missing_column_suggests_the_nearest() -> None:
    with pytest.raises(ProviderError) as caught:
        read(b"id,target\n1,2\n", Rule(), "taget")
    assert caught.value.hint == "did you mean 'target'?"


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    found, views = read(b"\xef\xbb\xbfid,y\n" + b"".join(b"%d,0\n" % n for n in range(50)), HALF)
    assert found.columns == ["id", "y"]
    assert all(body.startswith(b"\xef\xbb\xbfid,y\n") for body in views.values())
