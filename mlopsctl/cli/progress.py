"""What apply shows while it works: a living line a step on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from time import monotonic

from ..render.text import one_line
from ..types import Address
from ..workshop import Event
from . import console
from .board import Board

_SELDOM = 10.0
"""Seconds between two lines of one step where they go into a log."""


class Printer:
    """Shows events as they come."""

    def __init__(self, format: str):
        self._json = format == "json"
        self._text = format == "text"
        self._board = Board() if not self._json and console.coloured(sys.stderr) else None
        self._told: dict[Address, float] = {}

    def tell(self, address: Address, line: str) -> None:
        """Progress inside a step; in a pipeline's log one line in ten seconds is enough, for each step."""
        if self._board is not None:
            self._board.say(str(address), line)
            return
        now = monotonic()
        if now - self._told.get(address, now - _SELDOM) < _SELDOM:
            return
        self._told[address] = now
        if self._json:
            console.out(json.dumps({"event": "progress", "address": str(address), "text": line}))
        else:
            console.note(f"    {address}: {line[:200]}")

    def event(self, event: Event) -> None:
        """Shows one event; a started step has a line of its own on a terminal until it ends."""
        if self._json:
            console.out(json.dumps(event_json(event)))
            return
        lines = console.folded(_event_lines(event), sys.stderr)
        if event.error is not None:
            lines += console.error_lines(event.error)
        if self._board is None:
            for line in lines:
                console.note(line)
        elif event.event == "start":
            self._board.start(event.address, one_line(f"{event.action.lower()}: {event.text}"))
        else:
            if event.event in ("done", "fail"):
                self._board.end(event.address)
            self._board.above(lines)

    def close(self) -> None:
        """Takes the lines of running steps away, also when they were interrupted."""
        if self._board is not None:
            self._board.close()

    def summary(self, counted: dict[str, object]) -> None:
        """The last line."""
        if self._json:
            console.out(json.dumps(counted))
            return
        (console.out if self._text else console.note)(summary_line(counted))


def summary_line(counted: Mapping[str, object]) -> str:
    """The counts of an apply in one line."""
    words = ("applied", "skipped", "waiting", "blocked", "failed", "stale", "unchanged")
    shown = ", ".join(f"{counted[word]} {word}" for word in words if counted[word] or word == "applied")
    return f"Apply: {shown}."


def event_json(event: Event) -> dict[str, object]:
    """One line of ``apply --format json``."""
    return {key: value for key, value in _members(event) if value not in ("", None)}


def _members(event: Event) -> Iterator[tuple[str, object]]:
    yield "event", event.event
    yield "address", event.address
    yield "action", event.action.lower()
    yield "text", event.text
    yield "seconds", round(event.seconds, 3) if event.event in ("done", "fail") else None
    yield "entry", event.entry
    if event.error is not None:
        yield "error", {"code": event.error.code, "message": event.error.message, "hint": event.error.hint}
    if event.verdict is not None and event.verdict.text:
        yield "verdict", {"status": event.verdict.status.value, "text": event.verdict.text, "hint": event.verdict.hint}


_LOOK = {
    "start": ("…", "grey"),
    "done": ("✓ done", "green"),
    "skip": ("- skipped", "grey"),
    "block": ("✗ blocked", "red"),
    "wait": ("! waits", "yellow"),
    "soak": ("! waits", "yellow"),
    "fail": ("✗ failed", "red"),
    "hold": ("! held", "yellow"),
    "restore": ("? restoring", "yellow"),
    "verdict": ("✗ gate", "red"),
    "stale": ("✗ stale", "red"),
    "interrupted": ("! before", "yellow"),
}


def _event_lines(event: Event) -> Iterator[str]:
    word, colour = _LOOK[event.event]
    text = event.text
    if event.verdict is not None and event.verdict.text:
        if event.verdict.blocks:
            word, colour = "✗ gate", "red"
        text = f"{event.verdict.status.value}: {event.verdict.text}"
    if event.event == "start":
        text = f"{event.action.lower()}: {event.text}"
    if event.event in ("fail", "stale"):
        text = ""  # the error says it
    took = f" ({event.seconds:.1f}s)" if event.event in ("done", "fail") else ""
    yield f"  {console.paint(f'{word:<11}', colour, sys.stderr)} {event.address}{took}" + (
        f"  {one_line(text)}" if text else ""
    )
    if event.verdict is not None and event.verdict.blocks and event.verdict.hint:
        yield f"              what would help: {one_line(event.verdict.hint)}"
