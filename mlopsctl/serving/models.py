"""What answers: a model loaded by the runtime that its artifact names."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .artifact import DATATYPES, Artifact, ArtifactRefused, Port
from .protocol import NUMPY, Arrays, ModelFailed

INLINE_SECONDS = 0.001
"""A model faster than this answers on the event loop: a hop to a thread costs about 0.1 ms and the order."""


class Model(Protocol):
    """``inline`` says whether a run is short enough for the event loop."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    inline: bool

    def run(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        """The wanted outputs for these inputs. Raises ModelFailed."""

    def close(self) -> None: ...


class OnnxModel:
    """An ONNX model in ONNX Runtime, on the CPU."""

    def __init__(self, artifact: Artifact, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(artifact.model), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime raises classes of its compiled module
            raise ArtifactRefused(f"ONNX Runtime cannot load {artifact.model.name}: {error}") from error
        self.inputs = tuple(_onnx_port(item) for item in self._session.get_inputs())
        self.outputs = tuple(_onnx_port(item) for item in self._session.get_outputs())
        self.inline = True

    def run(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        try:
            values = self._session.run(wanted, feeds)
        except Exception as error:  # see above
            raise ModelFailed(str(error)) from error
        return {
            name: value if isinstance(value, np.ndarray) else _of_maps(name, value)
            for name, value in zip(wanted, values, strict=True)
        }

    def close(self) -> None:
        del self._session


def _of_maps(name: str, rows: Any) -> np.ndarray[Any, Any]:
    """The scores of a classifier that scikit-learn's exporter wrote as a list of maps, as [rows, classes]."""
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        raise ModelFailed(f"the output {name} is neither a tensor nor a list of maps")
    return np.array([[row[key] for key in rows[0]] for row in rows], dtype=np.float32)


class TvmModel:
    """A library that TVM compiled."""

    inline = True

    def __init__(self, artifact: Artifact) -> None:
        from . import tvm_model

        try:
            self._model = tvm_model.TvmModel.load(artifact.folder)
        except (ValueError, KeyError, RuntimeError, OSError) as error:
            raise ArtifactRefused(f"TVM cannot load {artifact.model.name}: {error}") from error
        self.inputs = artifact.inputs
        self.outputs = artifact.outputs

    def run(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        try:
            found = self._model.infer(feeds)
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelFailed(str(error)) from error
        return {name: found[name] for name in wanted}

    def close(self) -> None:
        del self._model


class OpenvinoModel:
    """A model in OpenVINO's own form."""

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        from . import openvino_model

        try:
            self._model = openvino_model.OpenvinoModel.load(artifact.folder, threads)
        except (ValueError, KeyError, RuntimeError, OSError) as error:
            raise ArtifactRefused(f"OpenVINO cannot load {artifact.model.name}: {error}") from error
        self.inputs = artifact.inputs
        self.outputs = artifact.outputs
        self.inline = True

    def run(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        try:
            found = self._model.infer(feeds)
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelFailed(str(error)) from error
        return {name: found[name] for name in wanted}

    def close(self) -> None:
        del self._model


def _onnx_port(item: Any) -> Port:
    kind = str(item.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in item.shape)
    if kind.startswith("seq(map("):
        return Port(item.name, "FP32", (None, None))
    return Port(item.name, DATATYPES.get(kind, str(item.type)), shape)


def load(artifact: Artifact) -> Model:
    """Loads the model and runs it once on zeros, to know that it answers and how long it takes.

    Raises ArtifactRefused where the runtime is unknown, missing here, or cannot load or run the model.
    """
    if artifact.runtime == "onnxruntime":
        model: Model = OnnxModel(artifact)
    elif artifact.runtime == "program":
        from .program import ProgramModel

        model = ProgramModel(artifact)
    elif artifact.runtime == "tvm":
        model = TvmModel(artifact)
    elif artifact.runtime == "openvino":
        model = OpenvinoModel(artifact)
    else:
        raise ArtifactRefused(f"this server knows no runtime '{artifact.runtime}'")
    if model.inputs and artifact.runtime != "program":
        seconds = _warm_up(model)
        model.inline = seconds < INLINE_SECONDS
        if not model.inline and isinstance(model, OnnxModel | OpenvinoModel) and (os.cpu_count() or 1) > 1:
            model = type(model)(artifact, threads=os.cpu_count() or 1)
            _warm_up(model)
            model.inline = False
    return model


def zeros(ports: Sequence[Port]) -> dict[str, np.ndarray[Any, Any]]:
    """One row of zeros (or empty strings) for each input; free dimensions are 1."""
    found = {}
    for port in ports:
        if port.datatype not in NUMPY:
            raise ArtifactRefused(f"input {port.name} is of the type {port.datatype}, which JSON requests cannot carry")
        dtype, _ = NUMPY[port.datatype]
        shape = [1 if size is None else size for size in port.shape]
        found[port.name] = np.full(shape, "", dtype=object) if dtype == object else np.zeros(shape, dtype=dtype)
    return found


def _warm_up(model: Model) -> float:
    """Seconds of the fastest of five runs on zeros. Raises ArtifactRefused where the model cannot run."""
    rows, names = zeros(model.inputs), [port.name for port in model.outputs]
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        try:
            model.run(rows, names)
        except ModelFailed as error:
            raise ArtifactRefused(f"the model fails on a row of zeros: {error}") from error
        best = min(best, time.perf_counter() - begun)
        if best > 0.1:
            break
    return best
