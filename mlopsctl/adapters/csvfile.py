"""The records of a CSV file with their very bytes; whatever is wrong is an error that names the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import ProviderError
from .cells import kind_of

LONGEST = 64 << 20
"""Bytes of one line, and characters of one cell; more means that a quote is not closed."""

Record = tuple[int, bytes, list[str]]
"""Line number (from 1), the record's bytes with its line end, its cells."""

LFS = b"version https://git-lfs.github.com/spec/"


class _Tap:
    """Hands lines to the csv reader and keeps the bytes of the record being read."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self._source = source
        self._name = name
        self._taken: list[bytes] = []
        self.line = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._source.readline(LONGEST + 1)
        if not raw:
            raise StopIteration
        self.line += 1
        if len(raw) > LONGEST:
            raise ProviderError(
                f"{self._name}:{self.line}: the line is longer than {LONGEST >> 20} MiB",
                hint="is it a CSV file? each record needs its own line",
                code="MLO1111",
            )
        self._taken.append(raw)
        try:
            return raw.decode("utf-8-sig" if self.line == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ProviderError(
                f"{self._name}:{self.line}: byte {error.start + 1} of the line is not UTF-8",
                hint=f"convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 {self._name} > new.csv",
                code="MLO1112",
            ) from None

    def take(self) -> bytes:
        raw = b"".join(self._taken)
        self._taken.clear()
        return raw


def csv_records(path: Path, name: str) -> Iterator[Record]:
    """The header, then every record; blank lines are left out. ``name`` is what messages call the file.

    Raises ProviderError: empty file, no header, duplicate names, ragged rows, open quotes, bytes that are no UTF-8.
    """
    csv.field_size_limit(LONGEST)
    columns: list[str] = []
    with path.open("rb") as source:
        tap = _Tap(source, name)
        reader = csv.reader(tap, strict=True)
        while True:
            line = tap.line + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                raise _malformed(name, line, str(error)) from None
            raw = tap.take()
            if not cells:
                continue
            if not columns:
                _check_header(cells, raw, name)
                columns = cells
            elif len(cells) != len(columns):
                raise ProviderError(
                    f"{name}:{line}: {len(cells)} fields, but the header names {len(columns)} columns",
                    hint="mend that line; a field that holds a comma needs quotes",
                    code="MLO1110",
                )
            yield line, raw, cells
    if not columns:
        raise ProviderError(f"{name} is empty", hint="write a header line and one line a row", code="MLO1107")


def _malformed(name: str, line: int, words: str) -> ProviderError:
    if "unexpected end of data" in words or "field limit" in words:
        what = "a quote is opened and never closed"
    elif "new-line character" in words:
        what = "a carriage return stands alone, outside quotes"
    elif "expected after" in words:
        what = "text follows a closing quote"
    else:
        what = words
    return ProviderError(
        f"{name}:{line}: {what}",
        hint="quote the whole field and double the quotes inside it; lines end in \\n or \\r\\n",
        code="MLO1111",
    )


def _check_header(columns: list[str], raw: bytes, name: str) -> None:
    if raw.startswith(LFS):
        raise lfs_pointer(name)
    if kind_of(columns) in ("int", "float"):
        raise ProviderError(
            f"{name}:1: the first line looks like data, not like column names: {', '.join(columns)[:80]}",
            hint="add a header line; a CSV without one could take its first row for names",
            code="MLO1108",
        )
    unnamed = [number for number, column in enumerate(columns, 1) if not column.strip()]
    if unnamed:
        raise ProviderError(
            f"{name}:1: column {unnamed[0]} has no name",
            hint="name it, or write the file without its index: to_csv(..., index=False)",
            code="MLO1108",
        )
    check_columns(columns, name)


def check_columns(columns: list[str], name: str) -> None:
    """Raises ProviderError where two columns have one name."""
    twice = (
        sorted({column for column in columns if columns.count(column) > 1}) if len({*columns}) < len(columns) else []
    )
    if twice:
        raise ProviderError(
            f"{name}: two columns are called '{twice[0]}'", hint="give each column its own name", code="MLO1109"
        )


def lfs_pointer(name: str) -> ProviderError:
    """The error for a file whose content Git LFS has not fetched."""
    return ProviderError(
        f"{name} is a pointer of Git LFS, the data itself is not here", hint="git lfs pull", code="MLO1120"
    )
