"""One value, however it is written, is one canonical text; different values are not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.adapters.cells import RowKey, canonical_cell, cell_text, kind_of, typed


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["1", "1.0", "+1", "01", " 1 ", "1e0", "1.", "10e-1"], "1"),
        (["0", "-0", "0.0", "-0.0"], "0"),
        (["0.1", "0.10", ".1", "1e-1", "0.1000000000000000055"], "0.1"),
        (["1e16", "10000000000000000"], "10000000000000000"),
        (["true", "True", "TRUE"], "true"),
        (["", "nan", "NaN", "NA", "null", " "], ""),
        (["2026-01-02", "2026-01-02 00:00:00", "2026-01-02T00:00:00.000"], "2026-01-02"),
        (["2026-01-02T10:00:00+02:00", "2026-01-02 08:00:00Z"], "2026-01-02T08:00:00Z"),
        (["e\u0301", "\u00e9"], "\u00e9"),
    ],
)
def test_ways_to_write_one_value(texts: list[str], canonical: str) -> None:
    assert {canonical_cell(text) for text in texts} == {canonical}


@pytest.mark.parametrize("text", ["1_000", "\u0663", "0x10", "2026-13-40", "1e999999", "yes", "9" * 500])
def test_what_only_looks_like_something_stays_text(text: str) -> None:
    assert canonical_cell(text) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_and_its_text_agree(value: float) -> None:
    assert canonical_cell(cell_text(value)) == canonical_cell(f"{value:.17g}")
    assert math.isclose(float(canonical_cell(cell_text(value))), value)


@given(st.integers())
def test_integers_stay_exact(value: int) -> None:
    assert canonical_cell(str(value)) == str(value)


@given(st.text())
def test_canonical_is_stable(text: str) -> None:
    assert canonical_cell(canonical_cell(text)) == canonical_cell(text)


def test_a_row_is_the_same_in_whatever_order_the_columns_stand() -> None:
    assert RowKey(["a", "b"])(["1", "x"]) == RowKey(["b", "a"])(["x", "1.0"])
    assert RowKey(["a", "b"])(["1", "x"]) != RowKey(["a", "b"])(["x", "1"])
    assert RowKey(["a", "b"])(["1:b", ""]) != RowKey(["a", "b"])(["1", "b"])


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2", ""], "int"),
        (["1", "2.5", "NA"], "float"),
        (["inf", "1"], "float"),
        (["99999999999999999999"], "float"),
        (["true", "False"], "bool"),
        (["true", "1"], "str"),
        (["1", "a"], "str"),
        ([""], "str"),
    ],
)
def test_the_narrowest_kind_that_holds_a_column(texts: list[str], kind: str) -> None:
    assert kind_of(texts) == kind


def test_typed_values() -> None:
    assert [typed(" 7", "int"), typed("7", "float"), typed("True", "bool"), typed(" 7", "str")] == [7, 7.0, True, " 7"]
