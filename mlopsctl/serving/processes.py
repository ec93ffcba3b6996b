"""Which process is which: a pid alone may be somebody else's by now, so its start time belongs to it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def start_mark(pid: int) -> str:
    """Boot id and start time (clock ticks) of a process: with the pid, unique for ever. Empty where it is gone.

    A zombie counts as gone. Source: proc(5), fields 3 (state) and 22 (starttime) of /proc/PID/stat.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    # The command name stands in brackets and may hold anything, brackets too.
    fields = stat[stat.rindex(")") + 2 :].split()
    return "" if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def is_alive(pid: int, mark: str) -> bool:
    """Whether the very process that had this pid and start mark still runs."""
    return bool(mark) and start_mark(pid) == mark


def stop(pid: int, mark: str, patience: float = 10.0) -> bool:
    """Ends exactly this process: SIGTERM, and SIGKILL after ``patience`` seconds. False where it was gone already.

    Raises PermissionError where the process belongs to another user.
    """
    if not is_alive(pid, mark):
        return False
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_alive(pid, mark):
                return True
            time.sleep(0.02)
    return True
