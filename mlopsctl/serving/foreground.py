"""Serves one model file or artifact folder until it is stopped: ``python -I -m mlopsctl.serving.foreground PATH HOST PORT``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from urllib.parse import quote

from .app import App, Loaded
from .artifact import Artifact, ArtifactRefused, folder_digest, listing, read_artifact
from .models import load
from .server import REFUSED, serve
from .supervisor import CANNOT_BIND, bind


def open_model(path: Path) -> Loaded:
    """An artifact folder, a folder with ``model.onnx`` or an ONNX file; no signature is asked for.

    Raises ArtifactRefused.
    """
    if (path / "artifact.json").is_file():
        artifact = read_artifact(path)
        return Loaded(artifact, load(artifact), folder_digest(listing(path)))
    model = path / "model.onnx" if path.is_dir() else path
    if not model.is_file():
        raise ArtifactRefused(f"there is no file {model}")
    with model.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    artifact = Artifact(model.parent, model.stem, "onnxruntime", model, (), (), (), (), {})
    return Loaded(artifact, load(artifact), digest)


def main(arguments: list[str]) -> int:
    import uvloop

    host, port = arguments[1], int(arguments[2])
    try:
        listener = bind(host, port)
    except OSError as error:
        sys.stderr.write(f"{host}:{port} cannot be listened on: {error.strerror or error}\n")
        return CANNOT_BIND
    try:
        loaded = open_model(Path(arguments[0]))
    except ArtifactRefused as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    name = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"http://{name}:{listener.getsockname()[1]}/v2/models/{quote(loaded.artifact.name)}\n")
    sys.stdout.flush()
    uvloop.run(serve(App(loaded), listener))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
