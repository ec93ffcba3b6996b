"""Converts one ONNX model to OpenVINO's own form: ``python -I openvino_build.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out`` (``model.xml``; the weights go into ``model.bin`` beside it) and the ``limits`` of
``model_check``. The answer is OpenVINO's version, ``findings`` (why the model was not taken), or ``error``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlopsctl.workers.doing import answer
from mlopsctl.workers.model_check import findings
from mlopsctl.workers.onnx_run import Refused, parse


def build(request: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the model; its numbers stay 32-bit, which OpenVINO would halve otherwise."""
    try:
        found = findings(parse(request["model"]), request["model"], request["limits"])
    except Refused as refused:
        return {"error": str(refused)}
    if found:
        return {"findings": found}
    import openvino

    # Not convert_model, which reports its use to the makers.
    model = openvino.Core().read_model(request["model"])
    model.set_friendly_name("model")
    openvino.save_model(model, request["out"], compress_to_fp16=False)
    return {"openvino": openvino.__version__}


if __name__ == "__main__":
    sys.exit(answer(build))
