"""A sample holds the same rows everywhere, enough of them, and each on its own side of the split."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.providers.data.sample import take_sample
from mlopsctl.providers.data.split import Rule
from mlopsctl.providers.data.views import split_csv
from mlopsctl.types import Sample

HEAD = b"id,x,y\n"
ROWS = [b"%d,%d.5,%s\n" % (n, n % 7, b"no" if n % 3 else b"yes") for n in range(400)]


def sampled(folder: Path, rows: list[bytes], sample: Sample, key: str = "", name: str = "t.csv") -> list[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / name
    source.write_bytes(HEAD + b"".join(rows))
    path, total = take_sample(source, "csv", name, key, sample, folder)
    assert total == len(rows)
    body = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    assert body[0] == HEAD
    return body[1:]


def test_a_share_or_at_least_so_many_rows(tmp_path: Path) -> None:
    assert len(sampled(tmp_path, ROWS, Sample(0.05, 10))) == 20
    assert len(sampled(tmp_path, ROWS, Sample(0.05, 50))) == 50
    assert sampled(tmp_path, ROWS, Sample(0.05, 4000)) == ROWS
    assert sampled(tmp_path, [], Sample(0.05, 10)) == []


@settings(max_examples=25, deadline=None)
@given(st.randoms(), st.integers(1, 60))
def test_the_order_of_the_rows_decides_nothing(
    tmp_path_factory: pytest.TempPathFactory, random: object, least: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    shuffled = list(ROWS)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    few, more = Sample(0.01, least), Sample(0.01, least + 30)
    assert set(sampled(folder, shuffled, few)) == set(sampled(folder, ROWS, few)) < set(sampled(folder, ROWS, more))


def test_a_row_that_its_key_names_stays_sampled_when_it_is_corrected(tmp_path: Path) -> None:
    corrected = [row.replace(b".5,", b".7,") for row in ROWS]
    before, after = (sampled(tmp_path, rows, Sample(0.1, 1), "id") for rows in (ROWS, corrected))
    assert [row.split(b",")[0] for row in before] == [row.split(b",")[0] for row in after]
    assert sampled(tmp_path, corrected, Sample(0.1, 1)) != after


def test_a_sampled_row_stays_on_its_side(tmp_path: Path) -> None:
    """Else a trial would train on what the whole dataset keeps for testing."""
    rule = Rule(test=0.25, val=0.1)

    def sides(rows: list[bytes], name: str) -> dict[bytes, str]:
        out = tmp_path / name
        out.mkdir()
        (out / "t.csv").write_bytes(HEAD + b"".join(rows))
        found = split_csv(out / "t.csv", "t.csv", "y", rule, "key", out, lambda line: None)
        return {row: view for view, path in found.paths.items() for row in path.read_bytes().splitlines()[1:]}

    whole = sides(ROWS, "whole")
    part = sides(sampled(tmp_path / "s", ROWS, Sample(0.3, 1)), "part")
    assert 100 < len(part) < 140
    assert part.items() <= whole.items()


def test_a_parquet_file_gives_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(HEAD + b"".join(ROWS))
    pq.write_table(pyarrow.csv.read_csv(tmp_path / "t.csv"), tmp_path / "t.parquet", row_group_size=90)
    for key in ("", "id"):
        path, total = take_sample(tmp_path / "t.parquet", "parquet", "t.parquet", key, Sample(0.1, 1), tmp_path)
        assert total == 400
        ids = [str(value) for value in pq.read_table(path)["id"].to_pylist()]
        path.unlink()
        assert ids == [row.split(b",")[0].decode() for row in sampled(tmp_path / "csv", ROWS, Sample(0.1, 1), key)]
