"""Runs mlopsctl with one of its threads under strace: ``kill_at.py WHO LOG INJECT ARGUMENT…``.

WHO is ``main`` or the address of the step whose thread is meant, from its first call on. strace counts the calls of each
thread by itself, so that a kill falls on the same call of the same thread in every run. INJECT is strace's, or empty.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlopsctl import crew
from mlopsctl.cli.main import run

WRITING = (
    "write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "fchmod", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "utimensat", "sendfile",
)  # fmt: skip
_ANY_TRACER = 0x59616D61, ctypes.c_ulong(-1)  # prctl(2): PR_SET_PTRACER, PR_SET_PTRACER_ANY


def attach(log: str, inject: str) -> None:
    """Comes back once this thread is traced."""
    ctypes.CDLL(None).prctl(*_ANY_TRACER, 0, 0, 0)
    thread = threading.get_native_id()
    words = ["strace", "-qq", "-o", log, "-e", f"trace={','.join(WRITING)}", "-p", str(thread)]
    tracer = subprocess.Popen(
        words + (["-e", inject] if inject else []), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    status = Path(f"/proc/self/task/{thread}/status")
    while re.search(r"^TracerPid:\t0$", status.read_text(), re.MULTILINE):
        assert tracer.poll() is None, "strace could not attach"
        time.sleep(0.005)


def main() -> int:
    who, log, inject, *arguments = sys.argv[1:]
    if who == "main":
        attach(log, inject)
    else:
        begin = crew.Crew._run

        def traced(self: crew.Crew, address: Any, work: Callable[[], Any]) -> None:
            if str(address) == who:
                attach(log, inject)
            begin(self, address, work)

        crew.Crew._run = traced  # type: ignore[method-assign]
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
