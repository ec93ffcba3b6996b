"""Quantises one ONNX model to 8 bits: ``python -I quantise.py REQUEST.json``, run in an empty folder.

The request holds ``model``, ``out``, ``kind`` and the limits of ``model_check`` as ``limits``:

- ``kind: int8``: scales are fixed beforehand, from ``rows`` (a ``.npz`` file with an array for each input; training rows, never
  rows of the test view) in calls of ``batch``. What is written is a QDQ model: ordinary operators between QuantizeLinear
  and DequantizeLinear.
- ``kind: dynamic``: weights are stored in 8 bits, the scales of what goes in are found at each call.

and of the QDQ form:

- ``symmetric``: values between operators are int8 around 0 (zero point 0); else uint8 with the zero point of their range
- ``per_channel``: each output channel of a weight has a scale of its own
- ``weight_bits``: 8, or 7: two products of 7-bit weights and uint8 values fit into 16 bits, where processors without VNNI
  saturate, so answers are the same on both
- ``keep_relu``: Relu and Clip stay in the graph, even where the range says the same
- ``ops``: which operators become 8-bit (null for ``OPS``)

The same request gives the same bytes, in any process and folder. The answer holds the versions, ``quantised`` (operator ->
count of those that became 8-bit), or ``findings``, or ``error``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopsctl.workers.doing import answer
from mlopsctl.workers.model_check import findings
from mlopsctl.workers.onnx_run import Refused, parse

OPS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gemm", "GlobalAveragePool", "LeakyRelu",
    "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
"""What is quantised unless told otherwise. Softmax and Sigmoid are not: 256 steps would make ties of small probabilities."""
HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
DYNAMIC = ("Gemm", "MatMul", "LSTM", "Attention")
"""Convolutions stay as they are: ONNX Runtime has no fast kernel for them with scales of each call."""
_DIGITS = 1 << 10


def quantise(request: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the quantised model to ``out``."""
    import onnx
    import onnxruntime

    try:
        found = findings(parse(request["model"]), request["model"], request["limits"])
    except Refused as refused:
        return {"error": str(refused)}
    if found:
        return {"findings": found}
    _fold(request["model"], "folded.onnx")
    if request["kind"] == "dynamic":
        _dynamic("folded.onnx", request["out"])
    else:
        _static("folded.onnx", request)
    counts = _quantised(onnx.load(request["out"]))
    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "quantised": counts}


def _fold(model: str, out: str) -> None:
    """Folds constants and batch normalisation, by rules that are the same on every processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = out
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _static(folded: str, request: Mapping[str, Any]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    ops = list(request["ops"] or OPS)
    symmetric = bool(request["symmetric"])
    quantiser = QDQQuantizer(
        load_model_with_shape_infer(Path(folded)),
        bool(request["per_channel"]),
        request["weight_bits"] == 7,
        QuantType.QInt8,
        QuantType.QInt8 if symmetric else QuantType.QUInt8,
        _ranges(folded, request, ops),
        [],
        [],
        ops,
        {
            "ActivationSymmetric": symmetric,
            "WeightSymmetric": True,
            "QDQKeepRemovableActivations": bool(request["keep_relu"]),
            "MatMulConstBOnly": True,
        },
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    onnx.save(quantiser.model.model, request["out"])


def _ranges(folded: str, request: Mapping[str, Any], ops: list[str]) -> Any:
    """The least and the greatest value of every tensor between operators, over all rows.

    They are widened to 10 binary digits: the last digits of a sum depend on the processor, and the bytes must not.
    """
    import numpy as np
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData, create_calibrator

    found = create_calibrator(Path(folded), ops, augmented_model_path="augmented.onnx")
    with np.load(request["rows"], allow_pickle=False) as rows:
        found.collect_data(_Rows(dict(rows), request["batch"]))
    ranges = {}
    for name, item in sorted(found.compute_data().items()):
        low, high = (float(np.ravel(value)[0]) for value in item.range_value)
        if not np.isfinite([low, high]).all():
            raise ValueError(f"the value '{name}' is not finite on the training rows, so it has no scale")
        ends = np.array([_outwards(min(low, 0.0)), _outwards(max(high, 0.0))], np.float32)
        ranges[name] = TensorData(lowest=ends[0], highest=ends[1])
    return TensorsData(CalibrationMethod.MinMax, ranges)


def _outwards(value: float) -> float:
    from math import ceil, frexp, ldexp

    share, power = frexp(abs(value))
    # Half a step is added, so that a value on a step does not fall to either side by its last digit.
    size = ldexp(ceil(share * _DIGITS + 0.5) / _DIGITS, power) if value else 0.0
    return -size if value < 0 else size


class _Rows:
    """The rows in calls of ``batch``, as the calibrator asks for them; the last call of a fixed batch is filled up."""

    def __init__(self, feeds: Mapping[str, Any], batch: int) -> None:
        self._feeds = feeds
        self._batch = batch
        self._at = 0
        self._rows = min(len(array) for array in feeds.values())

    def get_next(self) -> dict[str, Any] | None:
        import numpy as np

        if self._at >= self._rows:
            return None
        chosen = np.minimum(np.arange(self._at, self._at + self._batch), self._rows - 1)
        self._at += self._batch
        return {name: array[chosen] for name, array in self._feeds.items()}


def _dynamic(folded: str, out: str) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        folded,
        out,
        op_types_to_quantize=list(DYNAMIC),
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


def _quantised(model: Any) -> dict[str, int]:
    """Which heavy operators compute in 8 bits now."""
    made = {name: node for node in model.graph.node for name in node.output}

    def from_8_bits(name: str) -> bool:
        node = made.get(name)
        return node is not None and node.op_type == "DequantizeLinear"

    found: Counter[str] = Counter()
    for node in model.graph.node:
        if (
            node.op_type in HEAVY
            and all(from_8_bits(name) for name in node.input[:2])
            or node.op_type in ("MatMulInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention")
        ):
            found[node.op_type] += 1
    return dict(sorted(found.items()))


if __name__ == "__main__":
    sys.exit(answer(quantise))
