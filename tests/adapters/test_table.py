"""Tables come out typed, the same from CSV and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlopsctl.adapters import table as module
from mlopsctl.adapters.table import Table, feature_names, read_table
from mlopsctl.errors import ProviderError

TEXT = """n,gap,share,flag,maybe,word,code
1,1,0.5,true,true,a,007
2,,1,false,,,8
-3,3,NA,true,false,"c, d",9
"""


def read(tmp_path: Path, text: str) -> Table:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return read_table(tmp_path / "t.csv", "csv")


def test_columns_have_the_narrowest_type(tmp_path: Path) -> None:
    found = read(tmp_path, TEXT)
    assert found.rows == 3
    assert {name: column.dtype.kind for name, column in found.columns.items()} == {
        "n": "i", "gap": "f", "share": "f", "flag": "b", "maybe": "O", "word": "O", "code": "i",
    }  # fmt: skip
    assert found.columns["n"].tolist() == [1, 2, -3]
    assert np.isnan(found.columns["gap"][1]) and np.isnan(found.columns["share"][2])
    assert found.columns["maybe"].tolist() == [True, None, False]
    assert found.columns["word"].tolist() == ["a", None, "c, d"]


def test_parquet_gives_the_same_table(tmp_path: Path) -> None:
    rows = {
        "n": pa.array([1, 2, -3], pa.int32()),
        "gap": pa.array([1, None, 3], pa.int64()),
        "share": pa.array([0.5, 1, None], pa.float32()),
        "flag": pa.array([True, False, True]),
        "maybe": pa.array([True, None, False]),
        "word": pa.array(["a", None, "c, d"]).dictionary_encode(),
        "code": pa.array([7, 8, 9], pa.uint8()),
    }
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    parquet, plain = read_table(tmp_path / "t.parquet", "parquet"), read(tmp_path, TEXT)
    assert list(parquet.columns) == list(plain.columns)
    for name, column in plain.columns.items():
        assert parquet.columns[name].dtype == column.dtype, name
        np.testing.assert_array_equal(parquet.columns[name], column)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2", "3", "4.5"], [1.0, 2.0, 3.0, 4.5]),
        (["1", "2", "x", "y"], ["1", "2", "x", "y"]),
        (["true", "false", "1", "2"], ["true", "false", "1", "2"]),
        (["", "NA", "true", "false"], [None, None, True, False]),
        (["NA", "NA", "x", "y"], ["NA", "NA", "x", "y"]),
        (["007", "008", "x", "9"], ["007", "008", "x", "9"]),
    ],
)
def test_a_column_has_one_type_however_the_file_is_cut_into_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[str], expected: list[object]
) -> None:
    text = "a,b\n" + "".join(f"{cell},0\n" for cell in cells)
    whole = read(tmp_path, text).columns["a"]
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    cut = read(tmp_path, text).columns["a"]
    assert cut.dtype == whole.dtype
    assert cut.tolist() == whole.tolist() == expected


def test_numbers_that_fit_no_int64_are_floats(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n99999999999999999999,x\n").columns["a"].dtype == np.float64


def test_a_minus_inside_a_number_is_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n555-1234,x\n").columns["a"].tolist() == ["555-1234"]


def test_a_view_with_a_header_only_has_no_rows(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n")
    assert (found.rows, list(found.columns)) == (0, ["a", "b"])


def test_features_come_from_the_facts_or_from_the_table(tmp_path: Path) -> None:
    found = read(tmp_path, "a,y,id\n1,2,3\n")
    assert feature_names(found, {"features": ["a"]}) == ["a"]
    assert feature_names(found, {"features": None, "label": "y", "key": "id"}) == ["a"]


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        read_table(tmp_path, "folder")
    assert caught.value.code == "MLO1116"
