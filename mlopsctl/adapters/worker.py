"""Runs a file of ``mlopsctl/workers`` as ``python -I`` in an empty folder: a model that crashes takes nothing with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from ..errors import ProviderError
from . import children, share

_STDERR_SHOWN = 2000


def run_worker(script: Path, request: Mapping[str, Any], *, seconds: float, memory: int, task: str) -> dict[str, Any]:
    """Hands ``request`` to a worker and returns its answer, which may hold ``error``.

    ``memory`` (bytes of address space) and ``seconds`` (of processor time) are set by the worker itself before it
    loads anything; twice the seconds of wall clock end it from outside. ``task`` says what was tried, for messages.
    Raises ProviderError where the worker died, took too long or answered nothing.
    """
    with tempfile.TemporaryDirectory(prefix="mlopsctl-worker-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(
            json.dumps({**request, "memory": memory, "seconds": ceil(seconds)}), encoding="utf-8"
        )
        with (folder / "log").open("wb") as log:
            code = _run([sys.executable, "-I", str(script), "request.json"], folder, log, 2 * seconds, task)
        answer = folder / "answer.json"
        if code == 0 and answer.is_file():
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return found
        said = (folder / "log").read_bytes()[-_STDERR_SHOWN:].decode("utf-8", "replace").strip()
    raise ProviderError(
        f"{task}: {_ended(code, seconds)}" + (f"; it last said: {said.splitlines()[-1]}" if said else ""),
        hint="try again with a higher memory: or timeout:, or with another use:; a model that kills its compiler is"
        " a fault of the compiler, which the rest of the pipeline survives",
        code="MLO1401",
    )


def _run(argv: list[str], folder: Path, log: Any, seconds: float, task: str) -> int:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    process = subprocess.Popen(  # noqa: S603 — our own interpreter and our own file
        argv,
        cwd=folder,
        env={**kept, "HOME": str(folder), "OMP_NUM_THREADS": "1", **share.variables()},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        share.hold(process.pid)
        children.started(process.pid)
        return children.wait(process, seconds)
    except subprocess.TimeoutExpired:
        raise ProviderError(
            f"{task}: not done after {seconds:g} seconds, so it was ended",
            hint="raise timeout: of this resource, or make the model smaller",
            code="MLO1402",
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ended(code: int, seconds: float) -> str:
    if code == -signal.SIGXCPU:
        return f"the worker used up its {seconds:g} seconds of processor time"
    if code < 0:
        return f"the worker was killed by {signal.Signals(-code).name}"
    return f"the worker ended with status {code}"
