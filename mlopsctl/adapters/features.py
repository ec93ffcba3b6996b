"""Turns the rows of a view into what a model takes, and tells in words where the two do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from ..types import Json

if TYPE_CHECKING:
    import numpy as np

    from .table import Table

    Array = np.ndarray[Any, Any]

_PLAIN = {"float": "float32", "double": "float64", "str": "string", "object": "string"}


def feed(table: Table, data_facts: Mapping[str, Json], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """The feature columns as the model's inputs take them: input name -> array [rows, …].

    One input takes all features, in the order of the columns ([N, F], or [N, …] where the other dimensions hold F
    values); several inputs are columns of their own, found by name ([N] or [N, 1]). Raises ProviderError (MLO1308)
    where names, widths or types do not fit, naming both sides.
    """
    from .table import feature_names

    features = feature_names(table, data_facts)
    if not inputs:
        raise _unfit("the model has no input", features)
    if not features:
        raise _unfit("the data has no feature columns, only its label or key", list(table.columns))
    if len(inputs) == 1:
        return {str(inputs[0]["name"]): _together(table, features, inputs[0])}
    missing = [str(item["name"]) for item in inputs if item["name"] not in features]
    if missing:
        names = ", ".join(str(item["name"]) for item in inputs)
        raise _unfit(f"the model takes {names}; there is no feature column named {', '.join(missing)}", features)
    found = {}
    for item in inputs:
        name, shape = str(item["name"]), list(item["shape"])
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] not in (None, 1)):
            raise _unfit(
                f"the model's input '{name}' has shape {_shape(shape)}, a column has one value a row", features
            )
        column = _column(table, name, str(item["dtype"]), name)
        found[name] = column.reshape(-1, 1) if len(shape) == 2 else column
    return found


def labels(table: Table, data_facts: Mapping[str, Json]) -> Array:
    """The label column [rows], as the table holds it. Raises ProviderError (MLO1309) where there is none or a row has none."""
    name = data_facts.get("label")
    if not name:
        raise ProviderError(
            "the data has no label, so there is nothing to compare predictions with",
            hint="name the column at the data: label: COLUMN",
            code="MLO1309",
        )
    column = _take(table, str(name))
    absent = int(_missing(column).sum())
    if absent:
        raise ProviderError(
            f"{absent} of {table.rows} rows have no label in column '{name}'",
            hint="fill them in or remove those rows; they are not dropped silently",
            code="MLO1309",
        )
    return column


def groups(table: Table, data_facts: Mapping[str, Json]) -> Array | None:
    """Which rows belong together, where the split keeps groups whole [rows]; None where it keeps none."""
    import numpy as np

    split = data_facts.get("split")
    by = split.get("by") if isinstance(split, dict) else None
    if not by or by not in table.columns:
        return None
    _, found = np.unique(np.asarray(table.columns[by]).astype(str), return_inverse=True)
    return np.asarray(found)


def _together(table: Table, features: Sequence[str], item: Mapping[str, Any]) -> Array:
    import numpy as np

    name, dtype, shape = str(item["name"]), str(item["dtype"]), list(item["shape"])
    rest = shape[1:]
    if len(shape) == 1 and len(features) == 1:
        return _column(table, features[0], dtype, name)
    width = prod(rest) if rest and None not in rest else len(features) if rest == [None] else 0
    if width != len(features):
        count = f"{len(features)} feature columns" if len(features) != 1 else "1 feature column"
        raise _unfit(f"the model's input '{name}' has shape {_shape(shape)}, the data has {count}", features)
    matrix = np.stack([_column(table, feature, dtype, name) for feature in features], axis=1)
    return matrix if rest == [None] else matrix.reshape(-1, *rest)


def _column(table: Table, column: str, dtype: str, port: str) -> Array:
    """One column as the element type of an input; nothing is rounded, cut or guessed."""
    import numpy as np

    kind = _PLAIN.get(dtype, dtype)
    values = _take(table, column)
    text = values.dtype.kind in "US" or (values.dtype.kind == "O" and any(isinstance(value, str) for value in values))
    if kind == "string":
        if not text or _missing(values).any():
            raise _unfit(f"the model's input '{port}' takes text, column '{column}' holds other values", (column,))
        return values.astype(str)
    if text:
        raise _unfit(f"the model's input '{port}' takes {kind}, column '{column}' holds text", (column,))
    try:
        wanted = np.dtype(kind)
    except TypeError:
        raise _unfit(f"the model's input '{port}' has the type {kind}, which no column can have", (column,)) from None
    gaps = _missing(values)
    if wanted.kind == "f":
        numbers = np.where(gaps, np.nan, values).astype(np.float64)
        with np.errstate(over="ignore"):
            cast = numbers.astype(wanted)
        exact = np.isinf(cast) == np.isinf(numbers)
    else:
        if gaps.any():
            raise _unfit(f"the model's input '{port}' takes {kind}, column '{column}' has missing values", (column,))
        with np.errstate(invalid="ignore"):
            cast = values.astype(wanted)
        exact = cast == values
    if not exact.all():
        example = values[int(np.argmin(exact))]
        raise _unfit(f"the model's input '{port}' takes {kind}, column '{column}' holds {example}", (column,))
    result: Array = cast
    return result


def _take(table: Table, name: str) -> Array:
    import numpy as np

    if name not in table.columns:
        raise _unfit(f"the data has no column '{name}'", list(table.columns))
    return np.asarray(table.columns[name])


def _missing(values: Array) -> Array:
    import numpy as np

    if values.dtype.kind == "f":
        found: Array = np.isnan(values)
        return found
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values], dtype=bool)  # noqa: PLR0124 — NaN
    return np.zeros(len(values), dtype=bool)


def _shape(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("N" if size is None else str(size) for size in shape) + "]"


def _unfit(what: str, columns: Sequence[str]) -> ProviderError:
    shown = ", ".join(columns[:8]) + (f" … ({len(columns)})" if len(columns) > 8 else "")
    return ProviderError(
        f"the model does not fit the data: {what}",
        hint=f"columns here: {shown}; let the training step export a model that takes exactly the feature columns",
        code="MLO1308",
    )
