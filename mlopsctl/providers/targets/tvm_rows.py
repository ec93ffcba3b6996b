"""What the ways of ``use: tvm`` share: the model, its rows, and how an artifact's answers are compared with its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...adapters.artifact import Known
from ...provider import Context
from ...types import Json

if TYPE_CHECKING:
    import numpy as np

    from ...adapters.comparison import Comparison
    from ...adapters.inference import Ran
    from ...adapters.table import Table

    Arrays = Mapping[str, np.ndarray[Any, Any]]


class Rows(NamedTuple):
    """A view's rows, the same as the model's inputs, and what the model answers."""

    table: Table
    feeds: dict[str, Any]
    before: Ran


@dataclass(frozen=True)
class Work:
    """``original`` is the model's file, ``description`` what ``inspect_model`` says of it; ``spec`` is the target's."""

    spec: Any
    model: Known
    data: Known
    original: Path
    description: Mapping[str, Any]

    @property
    def classes(self) -> Json:
        return self.data.facts.get("classes")

    @property
    def figures(self) -> dict[str, Json]:
        return {"opset": self.description["opset"], "ir": self.description["ir"], "batch": self.spec.batch}

    def rows(self, ctx: Context) -> Rows:
        """All rows of the view as the model takes them, and what the model answers."""
        from ...adapters.features import feed
        from ...adapters.inference import run_fully
        from ...adapters.table import read_table

        table = read_table(ctx.store.path(self.data.digest), self.data.facts["format"])
        ctx.tell(f"comparing artifact and model on {table.rows} rows")
        feeds = feed(table, self.data.facts, self.description["inputs"])
        return Rows(table, feeds, run_fully(self.original, feeds))

    def compare(self, rows: Rows, after: Arrays) -> Comparison:
        """How far the artifact's answers are from the model's own."""
        from ...adapters.comparison import compare_on

        before = rows.before
        return compare_on(
            rows.table, self.data.facts, before.outputs, after, description=self.description, keys=before.keys
        )
