"""The journal of steps under way, ``.git/mlops/steps.jsonl``: what a killed apply left unfinished, and still running.

A line says that a step was started, which process group works for it, or that it was finished and in which entry. It is
no part of the trail: losing it loses no result. Lines are appended whole, so that a kill tears none but the last.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..serving.processes import start_mark
from .files import write_atomically

_MOST = 1 << 20
"""Bytes beyond which the journal begins anew, once nothing in it is unfinished."""


class Left(NamedTuple):
    """A step that was started and not finished: since when, how long it is known to have run, and its process groups."""

    address: str
    made_from: str
    at: float
    seconds: float
    groups: tuple[tuple[int, str], ...] = ()


class StepJournal:
    """Written by whoever holds the lock of the clone; its threads may write at once."""

    def __init__(self, path: Path):
        self._path = path
        self._handle: int | None = None

    def started(self, address: str, made_from: str) -> None:
        self._write({"event": "started", "address": address, "made_from": made_from, "at": round(time.time(), 3)})

    def group(self, address: str, number: int) -> None:
        """A process group that works for the step; its first process has this number too."""
        with suppress(OSError):
            self._write({"event": "group", "address": address, "group": number, "mark": start_mark(number)})

    def finished(self, address: str, entry: str) -> None:
        """``entry`` is "" where nothing was recorded because the step was interrupted in good order."""
        with suppress(OSError):  # the trail has it
            self._write({"event": "finished", "address": address, "entry": entry})

    def alive(self) -> None:
        """A sign of life, by which the next apply knows how long the steps ran."""
        with suppress(OSError):
            os.utime(self._path)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, line: dict[str, Any]) -> None:
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = os.fstat(self._handle).st_size
            if size and os.pread(self._handle, 1, size - 1) != b"\n":
                os.write(self._handle, b"\n")
        os.write(self._handle, json.dumps(line).encode() + b"\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every whole line, oldest first."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in text.split(b"\n"):
            with suppress(ValueError, UnicodeDecodeError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    def left(self) -> list[Left]:
        """What was started and never finished, oldest first; of a running apply, what runs."""
        found: dict[str, Left] = {}
        last = self._path.stat().st_mtime if self._path.exists() else 0.0
        for line in self.lines():
            address = str(line.get("address"))
            if line.get("event") == "started":
                at = float(line.get("at") or last)
                found[address] = Left(address, str(line.get("made_from")), at, max(last - at, 0.0))
            elif line.get("event") == "group" and address in found:
                one = found[address]
                group = (int(line.get("group") or 0), str(line.get("mark")))
                found[address] = one._replace(groups=(*one.groups, group))
            elif line.get("event") == "finished":
                found.pop(address, None)
        return list(found.values())

    def trim(self) -> None:
        """Begins anew when much has been written; only while nothing is unfinished."""
        if self._path.exists() and self._path.stat().st_size > _MOST and not self.left():
            self.close()
            write_atomically(self._path, b"", 0o600)


def end_group(number: int, mark: str) -> int:
    """Kills what is left of a process group that began with process ``number``, started at ``mark``: how many processes.

    The number alone may be somebody else's by now. While any process of the group lives, no new process gets it; so that
    it is ours where the first process has the same mark, or where that is gone and what is left is younger and in its
    session.
    """
    boot, _, ticks = mark.partition(":")
    first = start_mark(number)
    if not ticks or (first and first != mark):
        return 0
    members = [one for one in _members(number) if one[1].startswith(boot + ":") and _ticks(one[1]) >= int(ticks)]
    for pid, own in members:
        if start_mark(pid) == own:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    return len(members)


def _ticks(mark: str) -> int:
    return int(mark.partition(":")[2])


def _members(group: int) -> Iterator[tuple[int, str]]:
    """The live processes of a group that is a session of its own, with their start marks. Source: proc(5)."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split()
        if int(fields[2]) == group == int(fields[3]) and (mark := start_mark(int(name))):
            yield int(name), mark
