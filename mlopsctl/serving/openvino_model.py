"""Loads and runs an OpenVINO artifact: what the server uses, and what the target is compared with before it is signed.

As a program (``python -I openvino_model.py REQUEST.json`` in an empty folder) it runs the arrays of one ``.npz`` file through
an artifact and writes another.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

ROWS = 1024
"""How many rows one call of a model with free rows takes at most."""


class OpenvinoModel:
    """One loaded artifact. ``infer`` may be called from several threads; the calls take turns."""

    def __init__(self, request: Any, outputs: list[str], batch: int | None) -> None:
        self._request = request
        self._outputs = outputs
        self._batch = batch
        self._turn = Lock()

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> OpenvinoModel:
        """Loads the model that ``artifact.json`` names, to compute in 32 bits on the processor.

        Raises ModuleNotFoundError without OpenVINO (``pip install 'mlopsctl[openvino]'``), ValueError for an artifact of
        another runtime.
        """
        described = json.loads((folder / "artifact.json").read_bytes())
        if described["runtime"] != "openvino":
            raise ValueError(f"the artifact is for {described['runtime']}, not for openvino")
        import openvino

        core = openvino.Core()
        # On some processors OpenVINO would compute in bfloat16 by itself: other answers than those that were compared.
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        compiled = core.compile_model(str(folder / described["model"]), "CPU", settings)
        fixed = described["inputs"][0]["shape"][:1]
        names = [item["name"] for item in described["outputs"]]
        return cls(compiled.create_infer_request(), names, fixed[0] if fixed else None)

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs any number of rows; the first axis of every array is the row. Raises ValueError for unequal numbers of rows."""
        import numpy as np

        rows = {len(array) for array in feeds.values()}
        if len(rows) != 1 or 0 in rows:
            raise ValueError(f"the inputs need one equal number of rows, at least 1, not {sorted(rows)}")
        total = rows.pop()
        size = self._batch or min(total, ROWS)
        parts = []
        for start in range(0, total, size):
            # A fixed number of rows is filled up with copies of the last, whose answers are thrown away.
            count = size if self._batch else min(size, total - start)
            chosen = np.minimum(np.arange(start, start + count), total - 1)
            parts.append(self._call({name: np.ascontiguousarray(array[chosen]) for name, array in feeds.items()}))
        return {name: np.concatenate([part[name] for part in parts])[:total] for name in self._outputs}

    def _call(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with self._turn:
            self._request.infer(feeds)
            return {name: self._request.get_tensor(name).data.copy() for name in self._outputs}


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import numpy as np

    answer: dict[str, Any] = {}
    try:
        with np.load(request["feeds"], allow_pickle=False) as feeds:
            found = OpenvinoModel.load(Path(request["folder"])).infer(dict(feeds))
        np.savez(request["out"], **found)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 — every failure of the runtime becomes an answer, never a traceback
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
