"""The artifact folder: what ``artifact.json`` says, the folder's digest, and the signature over it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..crypto.model_signature import check, check_files, read
from ..verifiers import is_identity
from ..verifiers import public_key as spelled


class ArtifactRefused(Exception):
    """The folder is no artifact, has other bytes than the digest says, or its signature does not hold."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output: ``datatype`` in the words of the Open Inference Protocol; a dimension None is free."""

    name: str
    datatype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Artifact:
    """What is served: ``runtime`` is ``onnxruntime``, ``openvino``, ``tvm`` or ``program``."""

    folder: Path
    name: str
    runtime: str
    model: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    classes: tuple[Any, ...]
    predict: tuple[str, ...]
    raw: dict[str, Any]


DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "str": "BYTES",
    "object": "BYTES",
}
"""numpy's, ONNX's and Python's names of element types, in the words of the Open Inference Protocol."""


def read_artifact(folder: Path) -> Artifact:
    """Reads ``artifact.json``. Raises ArtifactRefused where it is missing, malformed or points outside the folder."""
    try:
        raw = json.loads((folder / "artifact.json").read_bytes())
    except FileNotFoundError:
        raise ArtifactRefused(f"{folder} holds no artifact.json") from None
    except ValueError as error:
        raise ArtifactRefused(f"artifact.json is no JSON: {error}") from None
    if not isinstance(raw, dict) or raw.get("format") != 1:
        raise ArtifactRefused("artifact.json has a format that this server does not know; it knows format 1")
    model = (folder / str(raw.get("model") or ".")).resolve()
    if not model.is_relative_to(folder.resolve()):
        raise ArtifactRefused("artifact.json names a model outside its folder")
    try:
        return Artifact(
            folder=folder,
            name=str(raw["name"]),
            runtime=str(raw["runtime"]),
            model=model,
            inputs=_ports(raw.get("inputs")),
            outputs=_ports(raw.get("outputs")),
            classes=tuple(raw.get("classes") or ()),
            predict=tuple(str(word) for word in raw.get("predict") or ()),
            raw=raw,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactRefused(f"artifact.json is incomplete: {error!r}") from None


def _ports(raw: Any) -> tuple[Port, ...]:
    return tuple(
        Port(
            name=str(item["name"]),
            datatype=DATATYPES.get(str(item["dtype"]), str(item["dtype"])),
            shape=tuple(size if isinstance(size, int) and size >= 0 else None for size in item["shape"]),
        )
        for item in raw or ()
    )


def listing(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 (hex) of every file. Raises ArtifactRefused for a link or a special file."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ArtifactRefused(f"{name} is a link or a special file")
        if path.is_file():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def folder_digest(files: dict[str, str]) -> str:
    """``dirhash:`` of a listing: sha256 over its ``sha256sum`` lines, sorted by the bytes of the path."""
    lines = (f"{files[name]}  {name}\n" for name in sorted(files, key=str.encode))
    return "dirhash:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def verify(folder: Path, signature: Path, public_key: Path, digest: str) -> None:
    """Checks the folder against its digest and its model signature; nothing of it is loaded.

    ``public_key`` holds the attester's key, PEM or an OpenSSH key; or ``sigstore:ISSUER#NAME``, whose proof was verified
    when the release was made and is not repeated here. Raises ArtifactRefused.
    """
    files = listing(folder)
    if folder_digest(files) != digest:
        raise ArtifactRefused(f"the artifact's files have the digest {folder_digest(files)}, expected {digest}")
    try:
        who = public_key.read_text(encoding="ascii")
        if is_identity(who):
            # The digest above pins what was verified; there is no trust root here to verify it with again.
            check_files(read(signature.read_bytes()), files)
        else:
            check(signature.read_bytes(), files, spelled(who))
    except FileNotFoundError as error:
        raise ArtifactRefused(f"{Path(str(error.filename)).name} is missing") from None
    except ValueError as error:
        raise ArtifactRefused(f"the signature does not hold: {error}") from error
