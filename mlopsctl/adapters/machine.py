"""What this machine has for steps to run on; found by looking at paths, nothing is started."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..slots import Machine

DEVICES = Path("/dev")


def this_machine(devices: Path = DEVICES) -> Machine:
    """The cores and graphics cards that this process may use, and the memory that is built in.

    ``CUDA_VISIBLE_DEVICES`` of this process narrows the cards down, as it does for any program.
    """
    return Machine(len(os.sched_getaffinity(0)), _memory(), _cards(devices))


def _memory() -> int:
    """Bytes of memory, or of the limit of the control group where that is less. Source: cgroups(7)."""
    built_in = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return built_in
    return min(limit, built_in)


def _cards(devices: Path) -> tuple[str, ...]:
    found = sorted(
        int(match[1]) for path in devices.glob("nvidia*") if (match := re.fullmatch(r"nvidia(\d+)", path.name))
    )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(map(str, found))
    # A program stops reading at the first name that it does not know; "-1" is the usual one for none.
    named = [name.strip() for name in visible.split(",")]
    return tuple(name for name in named if name and not name.startswith("-"))[: len(found)]
