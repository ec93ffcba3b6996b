"""What of this machine the step of this thread may use, and how the processes that it starts are held to it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple


class Share(NamedTuple):
    """Cores, bytes of private memory a process, and the graphics cards that are seen; None where nothing limits it."""

    cpus: int | None = None
    memory: int | None = None
    cards: tuple[str, ...] | None = None


_SHARE: ContextVar[Share | None] = ContextVar("share", default=None)


@contextmanager
def sharing(mine: Share) -> Iterator[None]:
    """In this thread, until the block's end, what is started is held to this share."""
    token = _SHARE.set(mine)
    try:
        yield
    finally:
        _SHARE.reset(token)


def share() -> Share:
    """The share of this thread's step."""
    return _SHARE.get() or Share()


def variables() -> dict[str, str]:
    """What tells libraries about the share: they count cores and cards by themselves otherwise."""
    mine = share()
    cores = {"OMP_NUM_THREADS": str(mine.cpus)} if mine.cpus else {}
    return cores if mine.cards is None else {**cores, "CUDA_VISIBLE_DEVICES": ",".join(mine.cards)}


def hold(pid: int) -> None:
    """Holds a process that has just been started, and all that it starts, to the share."""
    mine = share()
    with suppress(ProcessLookupError):  # it may have ended already
        if mine.memory:
            resource.prlimit(pid, resource.RLIMIT_DATA, (mine.memory, mine.memory))
        if mine.cpus:
            os.sched_setaffinity(pid, sorted(os.sched_getaffinity(0))[: mine.cpus])
