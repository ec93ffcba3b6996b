"""What every worker does around its work: reads the request, limits itself, and writes the answer."""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def answer(do: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
    """Hands the request that ``sys.argv[1]`` names to ``do`` and writes what it returns to ``answer.json``.

    The limits are set first: ``memory`` (bytes of address space) and ``seconds`` (of processor time). Whatever ``do`` raises
    becomes ``{"error": text}``.
    """
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # A worker must not outlive an mlopsctl that was killed: prctl(2), PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    found: dict[str, Any]
    try:
        found = do(request)
    except Exception as error:  # noqa: BLE001 — every failure becomes an answer, never a traceback
        found = {"error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(found), encoding="utf-8")
    return 0
