"""Optimises one ONNX model: ``python -I ort_optimise.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out``, ``whole`` (whether one file must hold all), ``limits`` (of ``model_check``), ``memory``
(bytes of address space) and ``seconds`` (of processor time). The answer is the runtime's version, ``findings`` (why the model was not taken), or ``error``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopsctl.workers.doing import answer

WEIGHTS = "model.onnx.data"
"""The file beside the artifact's model that holds its weights, where the original has such a file too."""


def optimise(model: str, out: str, *, whole: bool = False) -> dict[str, Any]:
    """Writes the model as ONNX Runtime's EXTENDED level leaves it; ``whole``: in one file, with all its weights.

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
    weights = Path(out).parent / WEIGHTS
    if whole and weights.is_file():
        import onnx

        onnx.save(onnx.load(out), out)
        weights.unlink()
    return {"onnxruntime": onnxruntime.__version__}


def _do(request: Mapping[str, Any]) -> dict[str, Any]:
    from mlopsctl.workers.model_check import findings
    from mlopsctl.workers.onnx_run import Refused, parse

    try:
        found = findings(parse(request["model"]), request["model"], request["limits"])
    except Refused as refused:
        return {"error": str(refused)}
    return (
        {"findings": found} if found else optimise(request["model"], request["out"], whole=bool(request.get("whole")))
    )


if __name__ == "__main__":
    sys.exit(answer(_do))
