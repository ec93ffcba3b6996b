"""Loads and runs a TVM artifact: what the server uses, and what the target is compared with before it is signed.

``model.so`` is machine code: verify the artifact's signature before you load it. As a program (``python -I tvm_model.py
REQUEST.json`` in an empty folder) it runs the arrays of one ``.npz`` file through an artifact and writes another.
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


class TvmModel:
    """One loaded artifact. ``infer`` may be called from several threads; the calls take turns."""

    def __init__(self, main: Any, tensor: Any, batch: int, inputs: list[str], outputs: list[str]) -> None:
        self._main = main
        self._tensor = tensor
        self._batch = batch
        self._inputs = inputs
        self._outputs = outputs
        self._turn = Lock()

    @classmethod
    def load(cls, folder: Path) -> TvmModel:
        """Loads the library that ``artifact.json`` names.

        Raises ModuleNotFoundError without apache-tvm (``pip install 'mlopsctl[tvm]'``), ValueError for an artifact of
        another runtime.
        """
        described = json.loads((folder / "artifact.json").read_bytes())
        if described["runtime"] != "tvm":
            raise ValueError(f"the artifact is for {described['runtime']}, not for tvm")
        import tvm
        from tvm import relax

        library = tvm.runtime.load_module(str(folder / described["model"]))
        machine = relax.VirtualMachine(library, tvm.cpu())
        return cls(
            machine["main"],
            tvm.runtime.tensor,
            described["batch"],
            [item["name"] for item in described["inputs"]],
            [item["name"] for item in described["outputs"]],
        )

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs any number of rows; the first axis of every array is the row.

        The library takes a fixed number of rows, so the last call is filled up with copies of the last row, whose
        answers are thrown away. Raises ValueError for arrays without rows or of different lengths.
        """
        import numpy as np

        arrays = [np.ascontiguousarray(feeds[name]) for name in self._inputs]
        rows = {len(array) for array in arrays}
        if len(rows) != 1 or 0 in rows:
            raise ValueError(f"the inputs need one equal number of rows, at least 1, not {sorted(rows)}")
        total = rows.pop()
        parts = [self._call(arrays, start) for start in range(0, total, self._batch)]
        return {name: np.concatenate([part[at] for part in parts])[:total] for at, name in enumerate(self._outputs)}

    def _call(self, arrays: list[Array], start: int) -> list[Array]:
        import numpy as np

        given = []
        for array in arrays:
            part = array[start : start + self._batch]
            short = self._batch - len(part)
            given.append(self._tensor(np.concatenate([part, np.repeat(part[-1:], short, axis=0)]) if short else part))
        with self._turn:
            found = self._main(*given)
            several = [found] if hasattr(found, "numpy") else list(found)
            return [item.numpy() for item in several]


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import numpy as np

    answer: dict[str, Any] = {}
    try:
        with np.load(request["feeds"], allow_pickle=False) as feeds:
            found = TvmModel.load(Path(request["folder"])).infer(feeds)
        np.savez(request["out"], **found)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 — every failure of the runtime becomes an answer, never a traceback
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
