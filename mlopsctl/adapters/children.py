"""The processes that a step starts: known to whoever records the step, waited for without polling, ended when it is
cancelled."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event
from time import monotonic
from typing import NamedTuple

_TICK = 0.1


class Cancelled(KeyboardInterrupt):
    """Raised inside a step whose apply is being interrupted; like an interrupt, no provider mistakes it for an error."""


class _Watch(NamedTuple):
    cancelled: Event
    started: Callable[[int], None]


_WATCH: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(cancelled: Event, started: Callable[[int], None]) -> Iterator[None]:
    """In this thread, until the block's end: ``started`` is given the number of every process group that is begun, and
    waiting for one raises Cancelled once ``cancelled`` is set."""
    token = _WATCH.set(_Watch(cancelled, started))
    try:
        check_cancelled()
        yield
    finally:
        _WATCH.reset(token)


def started(pid: int) -> None:
    """Says that a process was begun, as the first of its own session and group."""
    watch = _WATCH.get()
    if watch is not None:
        watch.started(pid)


def check_cancelled() -> None:
    """Raises Cancelled where the step of this thread shall end."""
    watch = _WATCH.get()
    if watch is not None and watch.cancelled.is_set():
        raise Cancelled


def open_exit(pid: int) -> int | None:
    """A descriptor that can be read once the process has ended; None where the kernel has none (before Linux 5.3)."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit code. Raises subprocess.TimeoutExpired after ``seconds``, and Cancelled."""
    until = monotonic() + seconds
    handle = open_exit(process.pid)
    try:
        while (code := process.poll()) is None:
            check_cancelled()
            left = until - monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, seconds)
            tick = min(left, _TICK if handle is not None else _TICK / 10)
            select.select([handle] if handle is not None else [], [], [], tick)
        return code
    finally:
        if handle is not None:
            os.close(handle)
