"""A folder that a browser opens, from a server or as a file: the page, the runtime and the model, and no address outside.

A page that is opened as a file may load scripts beside it and nothing else, so the runtime's WebAssembly and the model lie in
scripts as base64. The page is the same for every model: ``mlopsctl/webpage``.
"""

from __future__ import annotations

import base64
import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..canonical import canonical
from ..errors import ProviderError
from .tools import TOOLS, find, require

PAGE = Path(__file__).parent.parent / "webpage"
RUNTIME = "onnxruntime-web"
VERSION = TOOLS[RUNTIME].package.rpartition("@")[2]

_MODULE, _WASM = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"
_MOST = 1 << 29
"""Bytes of a model: a browser holds the script's text, its bytes and the loaded model, within 4 GiB."""
_TYPES = frozenset(
    ("float16", "float32", "float64", "bool", "string")
    + ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
)


def write_bundle(
    folder: Path,
    *,
    name: str,
    description: Mapping[str, Any],
    classes: Sequence[Any],
    features: Sequence[str],
    label: str,
) -> None:
    """Writes the page around ``folder/model.onnx``; ``description`` is what ``inspect_model`` says of the model.

    Neither time nor path enters. Raises ProviderError where the runtime is not here or a page cannot ask the model.
    """
    refuse_unaskable(description)
    model = (folder / "model.onnx").read_bytes()
    if len(model) > _MOST:
        raise ProviderError(
            f"the model has {len(model) / 2**20:.0f} MiB; a page can hold {_MOST >> 20} MiB",
            hint="make the model smaller, or serve it: use: onnxruntime",
            code="MLO1492",
        )
    require((RUNTIME,), "use: web")
    module, wasm = _runtime(find(RUNTIME) or "")
    for file in sorted(PAGE.iterdir()):
        (folder / file.name).write_bytes(file.read_bytes())
    runtime = {"version": VERSION, "module": module.decode("utf-8"), "wasm": base64.b64encode(wasm).decode("ascii")}
    about = {
        "name": name,
        "sha256": hashlib.sha256(model).hexdigest(),
        "inputs": description["inputs"],
        "outputs": description["outputs"],
        "classes": list(classes),
        "features": list(features),
        "label": label,
        "batch": fixed_batch(description),
        "onnx": base64.b64encode(model).decode("ascii"),
    }
    (folder / "runtime.js").write_bytes(b"globalThis.mlopsctlRuntime = " + canonical(runtime) + b";\n")
    (folder / "model.js").write_bytes(b"globalThis.mlopsctlModel = " + canonical(about) + b";\n")


def fixed_batch(description: Mapping[str, Any]) -> int:
    """The number of rows that the model was made for; 0 where it takes any."""
    sizes = {item["shape"][0] for item in description["inputs"] if item["shape"]}
    return int(sizes.pop() or 0) if len(sizes) == 1 else 0


def refuse_unaskable(description: Mapping[str, Any]) -> None:
    """Raises ProviderError for inputs and outputs that JavaScript has no array for, naming them."""
    for kind in ("inputs", "outputs"):
        for item in description[kind]:
            if item["dtype"] in ("sequence", "map", "optional", "sparse_tensor"):
                hint = "ZipMap makes such outputs; export with zipmap off: options={'zipmap': False} in skl2onnx"
            elif item["dtype"] not in _TYPES:
                hint = "let the model take and give numbers of the usual types: cast inside the model"
            else:
                continue
            raise ProviderError(
                f"a page cannot ask the model: of its {kind}, '{item['name']}' is of the type {item['dtype']}",
                hint=hint,
                code="MLO1493",
            )


@lru_cache(1)
def _runtime(archive: str) -> tuple[bytes, bytes]:
    """The runtime's module and its WebAssembly, out of the pinned archive."""
    with open(archive, "rb") as stream:
        if hashlib.file_digest(stream, "sha512").hexdigest() != TOOLS[RUNTIME].archive:
            raise ProviderError(
                f"{archive} has other bytes than its name says",
                hint=f"npm cache verify, then {TOOLS[RUNTIME].install}",
                code="MLO1494",
            )
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:gz") as files:
            return _member(files, _MODULE), _member(files, _WASM)


def _member(files: tarfile.TarFile, name: str) -> bytes:
    member = files.extractfile(name)
    assert member is not None  # noqa: S101 — the digest says that it is there
    return member.read()
