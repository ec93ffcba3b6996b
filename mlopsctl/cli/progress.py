"""What apply shows while it works: one living line on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from threading import Event as Signal
from threading import Thread
from time import monotonic

from ..apply import Event
from ..types import Address
from . import console


class LiveLine:
    """The line of the running step on a terminal: address, seconds, last words; redrawn until it is cleared."""

    def __init__(self) -> None:
        self._head = ""
        self._words = ""
        self._begun = 0.0
        self._quiet = Signal()
        self._thread: Thread | None = None

    def start(self, head: str, words: str) -> None:
        """Shows a step from now on."""
        self._head, self._words, self._begun = head, words, monotonic()
        self._quiet.clear()
        self._thread = Thread(target=self._redraw, daemon=True)
        self._thread.start()

    def say(self, words: str) -> None:
        self._words = words

    def clear(self) -> None:
        """Takes the line away; what is printed next stands in its place."""
        self._quiet.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _redraw(self) -> None:
        while True:
            line = f"  …           {self._head}  {monotonic() - self._begun:.0f}s  {self._words}"
            sys.stderr.write(f"\r\x1b[2K{console.paint(line[: console.width() - 1], 'grey', sys.stderr)}")
            sys.stderr.flush()
            if self._quiet.wait(0.2):
                return


class Printer:
    """Shows events as they come."""

    def __init__(self, format: str):
        self._json = format == "json"
        self._text = format == "text"
        self._live = LiveLine() if not self._json and console.coloured(sys.stderr) else None
        self._told = 0.0

    def tell(self, address: Address, line: str) -> None:
        """Progress inside a step; in a pipeline's log one line in ten seconds is enough."""
        if self._live is not None:
            self._live.say(line)
            return
        now = monotonic()
        if now - self._told < 10.0:
            return
        self._told = now
        if self._json:
            console.out(json.dumps({"event": "progress", "address": str(address), "text": line}))
        else:
            console.note(f"    {address}: {line[:200]}")

    def event(self, event: Event) -> None:
        """Shows one event; a started step lives on the terminal's last line until its next event."""
        if self._json:
            console.out(json.dumps(event_json(event)))
            return
        if self._live is not None:
            self._live.clear()
            if event.event == "start":
                self._live.start(event.address, f"{event.action.lower()}: {event.text}")
                return
        for line in _event_lines(event):
            console.note(line)
        if event.error is not None:
            console.show_error(event.error)

    def close(self) -> None:
        """Takes the living line away, also when a step was interrupted."""
        if self._live is not None:
            self._live.clear()

    def summary(self, counted: dict[str, object]) -> None:
        """The last line."""
        if self._json:
            console.out(json.dumps(counted))
            return
        (console.out if self._text else console.note)(summary_line(counted))


def summary_line(counted: Mapping[str, object]) -> str:
    """The counts of an apply in one line."""
    words = ("applied", "skipped", "waiting", "blocked", "failed", "unchanged")
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
    "fail": ("✗ failed", "red"),
    "hold": ("! held", "yellow"),
    "restore": ("? restoring", "yellow"),
    "verdict": ("✗ gate", "red"),
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
    if event.event == "fail":
        text = ""
    took = f" ({event.seconds:.1f}s)" if event.event in ("done", "fail") else ""
    yield f"  {console.paint(f'{word:<11}', colour, sys.stderr)} {event.address}{took}" + (f"  {text}" if text else "")
    if event.verdict is not None and event.verdict.blocks and event.verdict.hint:
        yield f"              what would help: {event.verdict.hint}"
