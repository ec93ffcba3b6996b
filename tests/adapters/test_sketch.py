"""How many rows two tables share is estimated from few marks, and told only where rows can be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.sketch import MARKS, Rows, read_rows, shared, sketch

HEAD = "id,a,b,y\n"


def table(path: Path, numbers: range, *, first: int = 0) -> Path:
    path.write_text(HEAD + "".join(f"{first + n},{n / 7:.6f},{n % 3},{n % 2}\n" for n in numbers))
    return path


@pytest.mark.parametrize("size", [10, MARKS - 1, 20 * MARKS])
@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_what_sets_share_is_estimated(size: int, part: float) -> None:
    common = round(size * part)
    one = sketch(str(n).encode() for n in range(size))
    other = sketch(str(n).encode() for n in range(size - common, 2 * size - common))
    assert one.size == pytest.approx(size, rel=0.2) and one.counted == size
    found = shared(Rows(one, one), Rows(other, other))
    assert found == pytest.approx(common / size, abs=0.15 if size > MARKS / 2 else 1e-9)


def test_a_small_set_in_a_large_one_is_found() -> None:
    small, large = (sketch(str(n).encode() for n in range(size)) for size in (2000, 10000))
    assert shared(Rows(small, small), Rows(large, large)) > 0.75
    assert sketch([]).marks == () and shared(Rows(None, sketch([])), Rows(None, small)) == 0.0


def test_by_the_key_and_by_all_beside_it(tmp_path: Path) -> None:
    rows = read_rows(table(tmp_path / "a.csv", range(300)), "csv", "id")
    again = read_rows(table(tmp_path / "b.csv", range(300), first=9000), "csv", "id")
    corrected = tmp_path / "c.csv"
    corrected.write_text((tmp_path / "a.csv").read_text().replace(",1\n", ",0\n"))
    others = read_rows(table(tmp_path / "d.csv", range(1000, 1300)), "csv", "id")
    assert shared(rows, again) == 1.0, "numbered anew"
    assert shared(rows, read_rows(corrected, "csv", "id")) == 1.0, "other labels"
    assert shared(rows, others) == 0.0


def test_what_does_not_tell_rows_apart_tells_nothing(tmp_path: Path) -> None:
    """Two samples of three yes-or-no questions have the same answers, and are no copies."""
    for name, first in (("a", 0), ("b", 9000)):
        lines = "".join(f"{first + n},{n % 2},{n // 2 % 2},{n % 3 % 2}\n" for n in range(400))
        (tmp_path / f"{name}.csv").write_text(HEAD + lines)
    one, other = (read_rows(tmp_path / f"{name}.csv", "csv", "id") for name in ("a", "b"))
    assert shared(one, other) == 0.0 and shared(one, one) == 1.0


def test_a_parquet_file_of_the_same_rows_is_the_same(tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    path = table(tmp_path / "a.csv", range(100))
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), tmp_path / "a.parquet")
    assert shared(read_rows(path, "csv", ""), read_rows(tmp_path / "a.parquet", "parquet", "")) == 1.0
