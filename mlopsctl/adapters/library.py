"""Runs an artifact of TVM or OpenVINO, in a limited process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]


def run_library(
    artifact: Path,
    feeds: Arrays,
    scratch: Path,
    *,
    seconds: float,
    memory: int,
    processor: str = "what it was made for",
) -> dict[str, Any]:
    """The outputs for all rows: name -> array [rows, …]. Raises ProviderError where the library does not run here."""
    import numpy as np

    from ..serving import openvino_model, tvm_model
    from .worker import run_worker

    runtime = json.loads((artifact / "artifact.json").read_bytes())["runtime"]
    script = {"tvm": tvm_model, "openvino": openvino_model}[runtime].__file__

    given, found = scratch / "feeds.npz", scratch / "found.npz"
    np.savez(given, **feeds)  # type: ignore[arg-type]
    try:
        answer = run_worker(
            Path(str(script)),
            {"folder": str(artifact), "feeds": str(given), "out": str(found)},
            seconds=seconds,
            memory=memory,
            task="running the artifact",
        )
    except ProviderError as error:
        # An illegal instruction is how a processor says that it is not the one compiled for.
        if "SIGILL" not in error.message:
            raise
        answer = {"error": f"{error.message}, so this processor is no {processor}"}
    if "error" in answer:
        raise ProviderError(
            f"the compiled model does not run here: {answer['error']}",
            hint="this processor may lack what mcpu: promises (try mcpu: x86-64-v2), or memory: is too small",
            code="MLO1413",
        )
    with np.load(found, allow_pickle=False) as arrays:
        return dict(arrays)
