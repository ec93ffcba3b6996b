"""Which column of a table a program seems to predict; a guess from its text and the table's first line."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator, Sequence

from ..provider import Tree

_MOST = 1 << 16
_NAMES = frozenset(("y", "label", "labels", "target", "targets", "class", "outcome"))


def header_of(path: str, tree: Tree) -> list[str]:
    """The column names of a CSV file as it lies here; none where it does not, or is no text."""
    try:
        with tree.open_path(path).open("rb") as stream:
            first = stream.read(_MOST).split(b"\n", 1)[0].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return []
    try:
        return next(csv.reader([first.rstrip("\r")]), [])
    except csv.Error:  # a carriage return alone ends a line nowhere
        return []


def guess_label(sources: Sequence[str], columns: Sequence[str]) -> str:
    """The column that the programs take out of the table or bind to a name like ``y``; "" where none or several are."""
    for find in (_taken_out, _bound_to_y, _at_an_index):
        found = {name for text in sources for name in find(text, columns) if name in columns}
        if len(found) == 1:
            return found.pop()
    named = [name for name in columns if name.lower() in _NAMES]
    return named[0] if len(named) == 1 else ""


def _nodes(text: str) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _texts(node: ast.AST | None) -> list[str]:
    return (
        [item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if node
        else []
    )


def _taken_out(text: str, columns: Sequence[str]) -> Iterator[str]:
    """``rows.pop("y")`` and ``rows.drop(columns=["y"])``."""
    for node in _nodes(text):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("pop", "drop"):
            for part in (*node.args[:1], *(item.value for item in node.keywords if item.arg in ("columns", "labels"))):
                names = _texts(part)
                if len(names) == 1:
                    yield names[0]


def _bound_to_y(text: str, columns: Sequence[str]) -> Iterator[str]:
    """``y = rows["column"]``."""
    for node in _nodes(text):
        if isinstance(node, ast.Assign) and any(_is_y(target) for target in node.targets):
            names = [name for name in _texts(node.value) if name in columns]
            if len(names) == 1:
                yield names[0]


def _is_y(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and re.sub(r"_(?:train|true|all)$", "", node.id.lower()) in _NAMES


def _at_an_index(text: str, columns: Sequence[str]) -> Iterator[str]:
    """``rows[:, -1]`` or the number of the last column, besides a slice of the columns before it."""
    for node in _nodes(text):
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) and len(node.slice.elts) == 2):
            continue
        try:
            index = ast.literal_eval(node.slice.elts[1])
        except (ValueError, TypeError, RecursionError):
            continue
        if type(index) is int and index in (-1, len(columns) - 1) and columns:
            yield columns[-1]
