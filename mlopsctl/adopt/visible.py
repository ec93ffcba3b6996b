"""The files that every clone would have: what git holds or would take, and the scripts of notebooks once they are written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..gitobjects import object_id
from ..provider import Tree
from ..types import TreeFile

_NOTHING: Mapping[str, str] = {}


class Visible:
    """A tree without what git ignores: another tool's outputs lie in the working tree and are no sources."""

    def __init__(self, tree: Tree, scripts: Mapping[str, str] = _NOTHING) -> None:
        self._tree = tree
        self._bodies = {path: text.encode() for path, text in scripts.items()}
        # A name that is no UTF-8 comes with surrogates, and no manifest could hold it.
        names = (name for name in tree.files() if not any("\ud800" <= mark <= "\udfff" for mark in name))
        self._files = tuple(sorted({*names, *self._bodies}))
        self._have = frozenset(self._files)

    def files(self) -> Sequence[str]:
        return self._files

    def names(self) -> Collection[str]:
        return self._have

    def file(self, path: str) -> TreeFile | None:
        if path not in self._have:
            return None
        body = self._bodies.get(path)
        return self._tree.file(path) if body is None else TreeFile("100644", object_id("blob", body))

    def tracked(self, path: str) -> bool:
        return self._tree.tracked(path)

    def read(self, path: str, most: int | None = None) -> bytes:
        body = self._bodies.get(path)
        return self._tree.read(path, most) if body is None else body[:most]

    def open_path(self, path: str) -> Path:
        return self._tree.open_path(path)
