"""Which view a row belongs to: a hash of its key with the seed, so that rows that come or go move no other row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ...canonical import decimal
from ...errors import ProviderError
from ...provider import result
from ...types import Json

_DOMAIN = b"mlopsctl split 1\0"


@dataclass(frozen=True)
class Split:
    """How the rows are shared out; ``train`` is what neither ``test`` nor ``val`` takes."""

    test: float | Literal["all"] = result(
        0.2, doc="The share of rows that only gates see, or all.", exclusive_minimum=0, exclusive_maximum=1
    )
    val: float = result(0.0, doc="The share of rows for choosing between models.", minimum=0, exclusive_maximum=1)
    by: str = result("", doc="Rows with an equal value in this column stay on one side.")
    key: str = result("", doc="The column that names a row, so that a corrected row keeps its side.")
    seed: int = result(0, doc="Another seed shares the rows out differently.", minimum=0)


class Rule(NamedTuple):
    """A Split as it applies to one dataset: what ``split:`` says, or the default."""

    test: float = 0.0
    val: float = 0.0
    column: str = ""
    seed: int = 0
    whole: str = ""
    """The one view that holds every row (``all: test``), where there is no sharing out."""

    @property
    def views(self) -> tuple[str, ...]:
        """The views that the rule makes beside ``all``."""
        if not self.test:
            return (self.whole,) if self.whole else ()
        return ("train", "val", "test") if self.val else ("train", "test")


def rule_of(split: Split | str | None, label: str) -> Rule:
    """The rule in force: a dataset with a label keeps 20 % for testing unless ``split:`` says otherwise.

    Where nothing is set aside, everything may be trained on.
    """
    if split is None:
        return Rule(test=0.2) if label else Rule(whole="train")
    if isinstance(split, str):
        return Rule(whole="train")
    if split.test == "all":
        return Rule(whole="test")
    return Rule(split.test, split.val, split.by or split.key, split.seed)


class Sides:
    """Gives each row its view and counts; ``columns`` are the names of the cells that rows will have."""

    def __init__(self, rule: Rule, columns: Sequence[str]) -> None:
        # Imported here because a plan shares out no rows.
        from ...adapters.cells import RowKey, canonical_cell

        self.rule = rule
        self._canonical = canonical_cell
        self._key = RowKey(columns)
        self._index = columns.index(rule.column) if rule.column else -1
        self._seed = _DOMAIN + str(rule.seed).encode() + b"\0"
        self._keys: dict[str, bytearray] = {view: bytearray() for view in rule.views or ("all",)}
        self.rows = 0

    def view(self, texts: Sequence[str], place: str) -> str:
        """The view of one row ("" where all rows are one view); ``place`` names the row in messages.

        Raises ProviderError where the column that decides is empty.
        """
        self.rows += 1
        if self._index >= 0:
            text = self._canonical(texts[self._index])
            if not text:
                raise ProviderError(
                    f"{place}: the column '{self.rule.column}' is empty, but the split needs it",
                    hint="fill it in, or split by a column that every row has",
                    code="MLO1114",
                )
            body = text.encode("utf-8", "surrogatepass")
        else:
            body = self._key(texts)
        key = hashlib.sha256(body).digest()
        view = self._side(key) if self.rule.test else self.rule.whole
        self._keys[view or "all"] += key
        return view

    def _side(self, key: bytes) -> str:
        point = int.from_bytes(hashlib.sha256(self._seed + key).digest()[:8], "big") / 2**64
        if point < self.rule.test:
            return "test"
        return "val" if point < self.rule.test + self.rule.val else "train"

    def counts(self) -> dict[str, int]:
        """Rows of each view, ``all`` among them. Raises ProviderError where a view is empty."""
        found = {view: len(keys) // 32 for view, keys in self._keys.items()}
        for view, count in found.items():
            if not count:
                what = "the data has no rows" if not self.rows else f"the view '{view}' would be empty"
                raise ProviderError(
                    f"{what} ({self.rows} rows, test {self.rule.test:g}, val {self.rule.val:g})",
                    hint="give it more rows, larger shares or another seed under split:, or write split: none",
                    code="MLO1115",
                )
        return {"all": self.rows, **found}

    def membership(self) -> dict[str, str]:
        """For each view, sha256 over the sorted sha256 of its rows' keys: equal for equal rows in any order."""
        return {view: f"sha256:{_digest_of_keys(keys)}" for view, keys in self._keys.items()}


def _digest_of_keys(keys: bytearray) -> str:
    total = hashlib.sha256()
    for key in sorted(bytes(keys[start : start + 32]) for start in range(0, len(keys), 32)):
        total.update(key)
    return total.hexdigest()


def split_facts(split: Split | str | None, rule: Rule) -> dict[str, Json]:
    """What the trail keeps about a split."""
    parts = split if isinstance(split, Split) else None
    return {
        "test": "all" if rule.whole == "test" else decimal(rule.test),
        "val": decimal(rule.val),
        "by": parts.by or None if parts else None,
        "key": parts.key or None if parts else None,
        "seed": rule.seed,
    }
