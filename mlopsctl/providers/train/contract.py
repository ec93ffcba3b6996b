"""What a training command must leave behind, and what to tell a person where it did not."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import textwrap
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...canonical import decimal
from ...errors import ProviderError
from ...types import Json

MODEL = "model.onnx"
CLAIMED = "metrics.jsonl"
_SNIFFED = 1 << 20
_MOST_CLAIMS = 32

EXPORT: Mapping[str, str] = {
    "scikit-learn": (
        "from skl2onnx import to_onnx\n"
        'onnx_model = to_onnx(model, X[:1].astype("float32"), options={"zipmap": False}, target_opset=17)\n'
        'pathlib.Path(os.environ["MLOPS_OUT"], "model.onnx").write_bytes(onnx_model.SerializeToString())'
    ),
    "PyTorch": (
        'path = os.environ["MLOPS_OUT"] + "/model.onnx"\n'
        "torch.onnx.export(model.eval(), (example,), path, dynamo=True, opset_version=18, external_data=False,\n"
        '                  input_names=["x"], output_names=["y"], dynamic_shapes=({0: "N"},))'
    ),
    "XGBoost": (
        "from onnxmltools import convert_xgboost; from onnxmltools.convert.common.data_types import FloatTensorType\n"
        'onnx_model = convert_xgboost(model, initial_types=[("x", FloatTensorType([None, X.shape[1]]))])\n'
        'pathlib.Path(os.environ["MLOPS_OUT"], "model.onnx").write_bytes(onnx_model.SerializeToString())'
    ),
    "LightGBM": (
        "from onnxmltools import convert_lightgbm; from onnxmltools.convert.common.data_types import FloatTensorType\n"
        'onnx_model = convert_lightgbm(model, initial_types=[("x", FloatTensorType([None, X.shape[1]]))], zipmap=False)\n'
        'pathlib.Path(os.environ["MLOPS_OUT"], "model.onnx").write_bytes(onnx_model.SerializeToString())'
    ),
    "Keras": (
        "import tensorflow as tf, tf2onnx\n"
        'signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="x")]\n'
        'tf2onnx.convert.from_keras(model, signature, opset=17, output_path=os.environ["MLOPS_OUT"] + "/model.onnx")'
    ),
}

_HIDDEN_IN_PICKLES = (
    (b"xgboost", "XGBoost"),
    (b"lightgbm", "LightGBM"),
    (b"torch", "PyTorch"),
    (b"keras", "Keras"),
    (b"sklearn", "scikit-learn"),
)


def framework_of(path: Path) -> str:
    """What wrote a model file, by its name and its first bytes alone: a pickle is never loaded. Empty where unknown."""
    with path.open("rb") as stream:
        head = stream.read(_SNIFFED)
    suffix = path.suffix.lower()
    if head[:1] == b"x":
        # joblib compresses with zlib; a bounded look inside does not unpickle.
        try:
            head = zlib.decompressobj().decompress(head, _SNIFFED)
        except zlib.error:
            return ""
    if re.match(rb"\x80[\x02-\x05]", head) or suffix in (".pkl", ".pickle", ".joblib"):
        return next((name for word, name in _HIDDEN_IN_PICKLES if word in head), "a Python pickle")
    if head[:4] == b"PK\x03\x04":
        if b"data.pkl" in head or suffix in (".pt", ".pth", ".ckpt"):
            return "PyTorch"
        return "Keras" if suffix == ".keras" else "NumPy" if suffix == ".npz" else ""
    if head[:8] == b"\x89HDF\r\n\x1a\n" or path.name == "saved_model.pb":
        return "Keras"
    if suffix in (".pt", ".pth"):
        return "PyTorch"
    if suffix in (".ubj", ".xgb") or (suffix == ".json" and b'"gradient_booster"' in head):
        return "XGBoost"
    if head.startswith(b"tree\nversion="):
        return "LightGBM"
    known = {b"GGUF": "GGUF", b"CBM1": "CatBoost", b"\x93NUM": "NumPy"}
    words = {".safetensors": "safetensors", ".rds": "R", ".tflite": "TensorFlow Lite", ".pmml": "PMML", ".gguf": "GGUF"}
    return known.get(head[:4]) or words.get(suffix, "")


def is_pickle(path: Path) -> bool:
    """Whether loading the file runs code that it holds."""
    with path.open("rb") as stream:
        head = stream.read(2)
    return framework_of(path) in ("a Python pickle", "PyTorch", "scikit-learn") or head[:1] == b"\x80"


def written(folder: Path) -> list[str]:
    """Relative paths of all files below a folder, sorted. Raises ProviderError for a link or a special file."""
    found = []
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ProviderError(
                    f"the training command left {relative} in $MLOPS_OUT, which is no plain file",
                    hint="copy the file itself into $MLOPS_OUT: links and sockets mean nothing on another machine",
                    code="MLO1217",
                )
            if name in files:
                found.append(relative)
    return sorted(found)


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def require_files(out: Path, work: Path, known: Collection[str]) -> list[str]:
    """What was written to ``out``. Raises ProviderError where that is nothing; ``known`` are files ``work`` began with."""
    names = written(out)
    if not names:
        elsewhere = _new_files(work, known)
        copied = f": cp {shlex.quote(elsewhere[0])} {{out}}/ as a last command takes it there" if elsewhere else ""
        raise ProviderError(
            f"the training command ended well but wrote nothing: {_seen([], elsewhere)}",
            hint=f"write into the folder {{out}}, which $MLOPS_OUT names too{copied}",
            code="MLO1213",
        )
    return names


def require_model(out: Path, work: Path, known: Collection[str]) -> Path:
    """``model.onnx`` in ``out``. Raises ProviderError that says what was written instead, and how to export it."""
    names = written(out)
    if MODEL in names:
        framework = framework_of(out / MODEL)
        if framework:
            raise _foreign([MODEL], framework)
        return out / MODEL
    elsewhere = _new_files(work, known)
    for folder, found in ((out, names), (work, elsewhere)):
        for name in found:
            framework = framework_of(folder / name)
            if framework and framework != "NumPy":
                raise _foreign([name], framework)
    raise _no_model(names, elsewhere)


def _new_files(work: Path, known: Collection[str]) -> list[str]:
    found = []
    for path in sorted(work.rglob("*")):
        relative = path.relative_to(work).as_posix()
        if path.is_file() and not path.is_symlink() and relative not in known and "__pycache__" not in relative:
            found.append(relative)
    return found


def _seen(names: Sequence[str], elsewhere: Sequence[str]) -> str:
    seen = f"$MLOPS_OUT holds {_listed(names)}" if names else "$MLOPS_OUT is empty"
    return seen + (f"; its working folder got {_listed(elsewhere)}" if elsewhere else "")


def _no_model(names: Sequence[str], elsewhere: Sequence[str]) -> ProviderError:
    name = next((item for item in [*elsewhere, *names] if item.endswith(".onnx")), "")
    hint = f'write it with onnx.save(model, os.environ["MLOPS_OUT"] + "/{MODEL}")'
    if name:
        hint = f'write {name} to os.environ["MLOPS_OUT"] + "/{MODEL}" instead'
    elif names:
        hint += "; for a model that is not ONNX set predict:, for files that are no model produces: files"
    said = f"the training command ended well but wrote no {MODEL}: {_seen(names, elsewhere)}"
    return ProviderError(said, hint=hint, code="MLO1213")


def _foreign(names: Sequence[str], framework: str) -> ProviderError:
    a = framework if framework.startswith("a ") else f"a {framework} file"
    lines = EXPORT.get(framework) or (EXPORT["scikit-learn"] if framework == "a Python pickle" else "")
    hint = "set predict: to the command that answers with this model, see mlopsctl explain MLO1214"
    if lines:
        hint = "export it to ONNX at the end of the training script:\n" + textwrap.indent(lines, "    ")
    return ProviderError(f"{names[0]} is {a}, not an ONNX model", hint=hint, code="MLO1214")


def inspect(model: Path) -> dict[str, Any]:
    """Loads ``model.onnx`` in a limited process: opset, inputs, outputs. Raises ProviderError where it does not load."""
    from ...adapters.inference import inspect_model

    try:
        return inspect_model(model)
    except ProviderError as error:
        size = model.stat().st_size
        raise ProviderError(
            f"the training command wrote a {MODEL} of {size:,} bytes that does not load: {error.message}",
            hint=error.hint
            or "write it whole and close it before the script ends; onnx.checker.check_model tells more",
            code="MLO1215",
        ) from None


def check_features(found: Mapping[str, Any], data: Mapping[str, Json]) -> None:
    """Raises ProviderError where a model with one [N, F] input takes another number of columns than the data has."""
    features, inputs = data.get("features"), found["inputs"]
    if not features or len(inputs) != 1:
        return
    shape = inputs[0]["shape"]
    if len(shape) == 2 and isinstance(shape[1], int) and shape[1] != len(features):
        label = f"without the label {data['label']}" if data.get("label") else "no column is the label"
        raise ProviderError(
            f"the model's input '{inputs[0]['name']}' takes {shape[1]} columns, and {data.get('path')} has"
            f" {len(features)} ({label})",
            hint="train on exactly the feature columns: " + _listed([str(name) for name in features]),
            code="MLO1218",
        )


def check_formats(folder: Path, names: Sequence[str], formats: Sequence[str]) -> None:
    """Holds an opaque model to its ``formats:``; without them all but pickles is let through. Raises ProviderError."""
    for name in names:
        kind = Path(name).suffix.lower().removeprefix(".") or "none"
        if kind in formats:
            continue
        if formats:
            raise ProviderError(
                f"the model holds {name}, and formats: names {_listed(formats)}",
                hint=f"add {kind} to formats:, or let the training command leave the file out",
                code="MLO1219",
            )
        if is_pickle(folder / name):
            raise ProviderError(
                f"{name} is a pickle: loading it runs whatever code it holds",
                hint=f"save the weights as safetensors, JSON or ONNX, or accept it: formats: [{kind}]",
                code="MLO1220",
            )


def take_claims(out: Path) -> dict[str, str]:
    """Takes ``metrics.jsonl`` out of the model's folder: the last value of each figure, as the program claims it."""
    path = out / CLAIMED
    if not path.is_file() or path.is_symlink():
        return {}
    found: dict[str, str] = {}
    for name, value in _figures(path):
        if name in found or len(found) < _MOST_CLAIMS:
            found[name] = decimal(value) if math.isfinite(value) else str(value)
    path.unlink()
    return found


def _figures(path: Path) -> Iterator[tuple[str, float]]:
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - _SNIFFED, 0))
        for line in stream.read().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # a line cut by the look at the end alone, or prose
            for name, value in row.items() if isinstance(row, dict) else ():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield name[:64], float(value)
