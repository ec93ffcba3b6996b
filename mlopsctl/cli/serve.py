"""``mlopsctl serve``: one model file or artifact folder in the foreground, for trying it out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ProviderError, UsageError
from . import console
from .withdrawn import refuse_path

_REFUSED, _CANNOT_BIND = 3, 4


def serve(
    model: Annotated[Path, typer.Argument(help="model.onnx, or an artifact folder.")],
    to: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="Where to listen; port 0: any.")] = "127.0.0.1:0",
) -> int:
    """Serve a model over the Open Inference Protocol until Ctrl-C; prints the model's address.

    Nothing is verified or recorded: this is for trying a model out. A deployment serves signed artifacts only.

    Examples:

      mlopsctl serve model.onnx

      mlopsctl serve model.onnx --to 127.0.0.1:8080
    """
    from ..providers.deployments.listeners import port_holder
    from ..providers.deployments.local_serve import TO

    match = re.fullmatch(TO, to)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"--to {to} is no host:port", hint="--to 127.0.0.1:8080", code="MLO6466")
    if not model.exists():
        raise UsageError(f"there is no {model}", hint="name a .onnx file or an artifact folder", code="MLO6467")
    refuse_path(model)
    host, port = match["host"].strip("[]") or "127.0.0.1", match["port"]
    command = [sys.executable, "-I", "-m", "mlopsctl.serving.foreground", str(model.resolve()), host, port]
    console.note("serving without a signature, for trying it out; Ctrl-C stops")
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own module
    try:
        _, said = server.communicate()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait()
    if server.returncode == _CANNOT_BIND:
        holder = port_holder(int(port))
        raise ProviderError(
            said.strip() + (f"; {holder} has it" if holder else ""),
            hint="choose another port: --to 127.0.0.1:0 takes any free one",
            code="MLO1504",
        )
    if server.returncode == _REFUSED:
        raise ProviderError(f"{model} is not served: {said.strip()}", hint="mlopsctl explain MLO1534", code="MLO1534")
    return server.returncode
