"""The lines of running steps at the bottom of a terminal: address, time, last words; redrawn calmly."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from threading import Event as Signal
from threading import RLock, Thread
from time import monotonic
from typing import TextIO

from . import console

_PAUSE = 0.2
"""Seconds between two drawings."""


@dataclass
class _Row:
    head: str
    words: str
    begun: float = field(default_factory=monotonic)


class Board:
    """One line a running step; what is printed above goes through ``above``, so that nothing is overwritten."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._rows: dict[str, _Row] = {}
        self._drawn: list[str] = []
        self._lock = RLock()
        self._quiet = Signal()
        self._thread: Thread | None = None

    def start(self, address: str, words: str) -> None:
        """Shows a step from now on."""
        with self._lock:
            self._rows[address] = _Row(address, words)
            self.draw()
        if self._thread is None:
            self._thread = Thread(target=self._redraw, daemon=True)
            self._thread.start()

    def say(self, address: str, words: str) -> None:
        with self._lock:
            if address in self._rows:
                self._rows[address].words = words

    def end(self, address: str) -> None:
        """The step is shown no more."""
        with self._lock:
            if self._rows.pop(address, None) is not None:
                self.draw()

    def above(self, lines: list[str]) -> None:
        """Prints lines that stay, above those of the running steps."""
        with self._lock:
            self._erase()
            self._stream.write("".join(line + "\n" for line in lines))
            self.draw()

    def close(self) -> None:
        """Takes all lines away, also when a step was interrupted."""
        self._quiet.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._rows.clear()
            self.draw()

    def draw(self) -> None:
        """Draws what changed since the last time, if anything."""
        with self._lock:
            lines = self._lines()
            if lines == self._drawn:
                return
            self._erase()
            self._stream.write("".join(line + "\n" for line in lines))
            self._stream.flush()
            self._drawn = lines

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{len(self._drawn)}F\x1b[J")
            self._drawn = []

    def _lines(self) -> list[str]:
        """The rows, the oldest first; those that the terminal has no room for are counted."""
        rows = list(self._rows.values())
        room = max(_height(self._stream) - 3, 1)
        shown = rows if len(rows) <= room else rows[: room - 1]
        lines = [f"  …           {row.head}  {monotonic() - row.begun:.0f}s  {row.words}" for row in shown]
        if len(shown) < len(rows):
            lines.append(f"  …           and {len(rows) - len(shown)} more")
        return [console.paint(line[: console.width() - 1], "grey", self._stream) for line in lines]

    def _redraw(self) -> None:
        while not self._quiet.wait(_PAUSE):
            self.draw()


def _height(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).lines or 24
    except (OSError, ValueError):
        return 24
