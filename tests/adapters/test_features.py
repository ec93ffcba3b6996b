"""Rows become what a model takes, exactly, or an error that names both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlopsctl.adapters.features import feed, labels
from mlopsctl.errors import ProviderError


@dataclass(frozen=True)
class Rows:
    """As adapters.table.Table: named columns of equal length."""

    columns: dict[str, np.ndarray[Any, Any]]
    rows: int


ROWS = Rows(
    {
        "age": np.array([31, 45, 60]),
        "income": np.array([1.5, np.nan, 3.0]),
        "member": np.array([True, False, True]),
        "town": np.array(["Ulm", "Köln", ""], dtype=object),
        "bought": np.array(["no", "yes", "no"], dtype=object),
    },
    3,
)


def facts(*features: str, label: str | None = "bought") -> dict[str, Any]:
    return {"features": list(features), "label": label}


def one(shape: list[int | None], dtype: str = "float32") -> list[dict[str, Any]]:
    return [{"name": "x", "dtype": dtype, "shape": shape}]


def test_one_input_takes_the_features_in_their_order() -> None:
    given: Any = ROWS
    matrix = feed(given, facts("income", "age", "member"), one([None, 3]))["x"]
    np.testing.assert_array_equal(matrix, np.array([[1.5, 31, 1], [np.nan, 45, 0], [3, 60, 1]], np.float32))
    assert matrix.dtype == np.float32


def test_a_width_left_open_takes_all_features() -> None:
    given: Any = ROWS
    assert feed(given, facts("age", "member"), one([None, None], "float64"))["x"].shape == (3, 2)


def test_pixels_in_columns_become_an_image() -> None:
    given: Any = Rows({f"p{n}": np.full(5, n) for n in range(6)}, 5)
    picture = feed(given, facts(*given.columns), one([None, 1, 2, 3]))["x"]
    assert picture.shape == (5, 1, 2, 3)
    assert picture[0].ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_several_inputs_are_columns_by_name() -> None:
    given: Any = ROWS
    inputs: list[dict[str, Any]] = [
        {"name": "town", "dtype": "string", "shape": [None, 1]},
        {"name": "age", "dtype": "int64", "shape": [None]},
    ]
    found = feed(given, facts("age", "income", "town"), inputs)
    assert found["town"].tolist() == [["Ulm"], ["Köln"], [""]]
    assert found["age"].tolist() == [31, 45, 60]


@pytest.mark.parametrize(
    ("features", "inputs", "said"),
    [
        (("age", "member"), one([None, 64]), r"\[N, 64\], the data has 2 feature columns"),
        (("age",), one([None, 2, None]), r"\[N, 2, N\], the data has 1 feature column"),
        (("age", "town"), one([None, 2]), "takes float32, column 'town' holds text"),
        (("age",), one([None, 1], "string"), "takes text, column 'age' holds other values"),
        (("income",), one([None, 1], "int64"), "takes int64, column 'income' has missing values"),
        (("age",), one([None, 1], "bool"), "takes bool, column 'age' holds 31"),
        (("age",), one([None, 1], "sequence"), "type sequence, which no column can have"),
        (("age", "gone"), one([None, 2]), "no column 'gone'"),
        (("age",), [], "the model has no input"),
        ((), one([None, None]), "no feature columns"),
        (("age",), one([None, 1]) + one([None, 1]), "no feature column named x, x"),
    ],
)
def test_what_does_not_fit_is_named_on_both_sides(
    features: tuple[str, ...], inputs: list[dict[str, Any]], said: str
) -> None:
    given: Any = ROWS
    with pytest.raises(ProviderError, match=said) as caught:
        feed(given, facts(*features), inputs)
    assert caught.value.code == "MLO1308"


def test_numbers_too_large_for_the_model_are_not_made_infinite() -> None:
    given: Any = Rows({"a": np.array([1.0, 1e300])}, 2)
    with pytest.raises(ProviderError, match="holds 1e\\+300"):
        feed(given, facts("a"), one([None, 1]))


def test_labels_are_the_label_column() -> None:
    given: Any = ROWS
    assert labels(given, facts("age")).tolist() == ["no", "yes", "no"]


def test_a_row_without_label_is_not_dropped_silently() -> None:
    given: Any = Rows({"y": np.array([1.0, np.nan, np.nan])}, 3)
    with pytest.raises(ProviderError, match="2 of 3 rows have no label"):
        labels(given, facts(label="y"))


def test_data_without_label_can_judge_nothing() -> None:
    given: Any = ROWS
    with pytest.raises(ProviderError, match="the data has no label"):
        labels(given, facts("age", label=None))
