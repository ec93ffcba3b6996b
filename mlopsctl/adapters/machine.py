"""What this machine has for steps to run on; found by looking at paths, nothing is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..slots import Machine

DEVICES = Path("/dev")
GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def this_machine(devices: Path = DEVICES) -> Machine:
    """The cores and graphics cards that this process may use, and the memory that is built in or that it may use.

    ``CUDA_VISIBLE_DEVICES`` of this process narrows the cards down, as it does for any program.
    """
    return Machine(_cores(len(os.sched_getaffinity(0))), _memory(_built_in()), _cards(devices))


def _built_in() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cores(allowed: int) -> int:
    """Of so many cores those that a control group grants time for; a part of one counts as a whole one.

    Source: cgroups(7); ``cpu.max`` of version 2, ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` of version 1.
    """
    for group in _groups("cpu"):
        said = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us") + _numbers(
            group / "cpu.cfs_period_us"
        )
        if len(said) == 2 and min(said) > 0:
            allowed = min(allowed, -(-said[0] // said[1]))
    return allowed


def _memory(built_in: int) -> int:
    """Bytes of memory, or of the limit of a control group where that is less. Source: cgroups(7)."""
    for group in _groups("memory"):
        built_in = min(built_in, *_numbers(group / "memory.max"), *_numbers(group / "memory.limit_in_bytes"), built_in)
    return built_in


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in, by both versions, up to the outermost: each of them may limit.

    In a container the outermost folder often is its own group already, whatever path the kernel names.
    """
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for top in (GROUPS / controllers, GROUPS / controller) if controllers else (GROUPS, GROUPS / "unified"):
            place = top / path.strip("/")
            if top.is_dir():
                yield from (place, *(above for above in place.parents if above.is_relative_to(top)))


def _numbers(path: Path) -> list[int]:
    """The numbers of a file; none where there is no such file, or where it sets no limit."""
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


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
