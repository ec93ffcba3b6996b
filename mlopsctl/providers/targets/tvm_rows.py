"""What the ways of ``use: tvm`` share: the model, its rows, and how an artifact's answers are compared with its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...adapters.artifact import Known
from ...errors import ProviderError
from ...provider import Context
from ...types import Json

if TYPE_CHECKING:
    import numpy as np

    from ...adapters.comparison import Comparison
    from ...adapters.inference import Ran
    from ...adapters.table import Table

    Arrays = Mapping[str, np.ndarray[Any, Any]]

_OTHERWISE = (
    "TVM takes ai.onnx operators with fixed sizes and free rows, not the trees and scalers of ai.onnx.ml; "
    "use: onnxruntime takes those, and mcpu: wants one of LLVM's names"
)


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

    def build(self, worker: str, out: Path, target: Mapping[str, Any]) -> Mapping[str, Any]:
        """Has a worker compile the model into ``out``; its answer. Raises ProviderError."""
        from ... import workers
        from ...adapters.model_fit import refuse
        from ...adapters.worker import run_worker

        spec = self.spec
        answer = run_worker(
            Path(str(workers.__file__)).parent / f"{worker}.py",
            {"model": str(self.original), "out": str(out), "batch": spec.batch, "target": dict(target)},
            seconds=spec.timeout,
            memory=spec.memory,
            task="compiling with TVM",
        )
        refuse("use: tvm", [str(item["what"]) for item in answer.get("findings", ())], _OTHERWISE)
        if "error" in answer:
            raise ProviderError(f"TVM does not compile the model: {answer['error']}", hint=_OTHERWISE, code="MLO1412")
        return answer

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
