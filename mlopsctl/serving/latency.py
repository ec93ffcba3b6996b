"""Times artifacts side by side, as the server runs them: ``python -I latency.py REQUEST.json``, in an empty folder.

The request holds ``folders`` (name -> artifact; the first is what the others are measured against), ``feeds`` (a ``.npz`` file
with one call's rows), ``rounds``, ``memory`` (bytes of address space) and ``seconds`` (of processor time). The answer is
``{"seconds": {name: [a call, one number a round]}}``, or ``error``.

All are loaded in one process with one thread and take turns, in another order each round: a busy moment of the machine hits
all of them. Slow models get fewer rounds, and what is far slower than the first is timed once.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlopsctl.serving.artifact import read_artifact
from mlopsctl.serving.models import Model, OnnxModel, OpenvinoModel, TvmModel

BLOCK = 0.002
"""Seconds that a turn takes at least: a single call of a small model is shorter than the clock is steady."""
BUDGET = 20.0
"""Seconds that all rounds take, about; there are five at least."""
HOPELESS = 3.0
"""So many times the first's time, and one number is enough."""
KINDS: Mapping[str, Callable[[Any], Model]] = {
    "onnxruntime": OnnxModel,
    "openvino": OpenvinoModel,
    "tvm": TvmModel,
}


def measure(folders: Mapping[str, Path], feeds: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds a call of each artifact, one number a round."""
    models, calls = {}, {}
    found: dict[str, list[float]] = {}
    reference = whole = 0.0
    for name, folder in folders.items():
        artifact = read_artifact(folder)
        model = KINDS[artifact.runtime](artifact)
        outputs = [port.name for port in model.outputs]
        model.run(dict(feeds), outputs)
        once = min(_turn(model, feeds, outputs, 1) for _ in range(3))
        reference = reference or once
        if once > HOPELESS * reference:
            found[name] = [once]
            continue
        models[name], found[name] = model, []
        calls[name] = (outputs, max(1, min(1000, int(BLOCK / once))))
        whole += max(once, BLOCK)
    names = list(models)
    for number in range(max(5, min(rounds, int(BUDGET / whole)))):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            outputs, count = calls[name]
            found[name].append(_turn(models[name], feeds, outputs, count))
    return found


def _turn(model: Model, feeds: Mapping[str, Any], outputs: list[str], count: int) -> float:
    given = dict(feeds)
    begun = time.perf_counter()
    for _ in range(count):
        model.run(given, outputs)
    return (time.perf_counter() - begun) / count


def main() -> int:
    import numpy as np

    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # It must not outlive an mlopsctl that was killed: prctl(2), PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        with np.load(request["feeds"], allow_pickle=False) as feeds:
            rows = {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in feeds.items()}
        folders = {name: Path(folder) for name, folder in request["folders"].items()}
        answer = {"seconds": measure(folders, rows, request["rounds"])}
    except Exception as error:  # noqa: BLE001 — every failure of a runtime becomes an answer, never a traceback
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
