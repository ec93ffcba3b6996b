"""Parquet through pyarrow, which is the extra ``parquet``; nothing here runs where no Parquet file is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from .cells import Kind, cell_text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def open_parquet(path: Path, name: str) -> AbstractContextManager[Any]:
    """The file as ``pyarrow.parquet.ParquetFile``. Raises ProviderError: pyarrow is absent, the file is broken."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ProviderError(
            f"{name} is a Parquet file, and reading one needs pyarrow",
            hint="pip install 'mlopsctl[parquet]'",
            code="MLO1119",
        ) from None
    if path.stat().st_size == 0:
        raise ProviderError(f"{name} is empty", hint="write the table with its rows", code="MLO1107")
    try:
        return pq.ParquetFile(path)  # type: ignore[no-any-return]
    except (pa.ArrowException, OSError) as error:
        with path.open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                from .csvfile import lfs_pointer

                raise lfs_pointer(name) from None
        raise ProviderError(
            f"{name} is no readable Parquet file: {str(error).splitlines()[0]}",
            hint="write it anew, or give it the ending of what it is",
            code="MLO1118",
        ) from None


def arrow_kind(kind: Any) -> Kind | str:
    """The kind of cell that an Arrow type holds; "" for lists, structs, times and the like."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return arrow_kind(kind.value_type)
    if pa.types.is_integer(kind):
        return "int"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float"
    if pa.types.is_boolean(kind):
        return "bool"
    return "str" if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else ""


def column_texts(column: Any) -> list[str]:
    """Each value of an Arrow array as the text that a CSV file would hold."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        # The shortest text of a 32-bit float, not of the 64-bit number it widens to.
        return ["" if value is None else str(value) for value in _narrow(column)]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return [cell_text(value) for value in column.to_pylist()]


def _narrow(column: Any) -> list[Any]:
    values = column.to_numpy(zero_copy_only=False)
    return [value if valid else None for value, valid in zip(values, column.is_valid().to_pylist(), strict=True)]
