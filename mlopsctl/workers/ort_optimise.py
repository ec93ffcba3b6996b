"""Optimises one ONNX model: ``python -I ort_optimise.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out``, ``memory`` (bytes of address space) and ``seconds`` (of processor time). The answer
is written to ``answer.json``: the runtime's version and what it read in the model, or ``error``.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

WEIGHTS = "model.onnx.data"
"""The file beside the artifact's model that holds its weights, where the original has such a file too."""


def optimise(model: str, out: str) -> dict[str, Any]:
    """Writes the model as ONNX Runtime's EXTENDED level leaves it.

    EXTENDED and not ALL: the layouts that ALL chooses depend on the machine, and so would the bytes.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = out
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if any(path.is_file() for path in Path(model).parent.iterdir() if path != Path(model)):
        # Weights beside the model would stay references to a file that the artifact does not have.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "0")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return {"onnxruntime": onnxruntime.__version__}


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # A worker must not outlive an mlopsctl that was killed: prctl(2), PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        answer = optimise(request["model"], request["out"])
    except Exception as error:  # noqa: BLE001 — every failure of the runtime becomes an answer, never a traceback
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
