"""What the user sees: the result on stdout, progress on stderr, calm colours on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TextIO

from ..adapters import watch
from ..errors import ManifestError, MlopsError

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "grey": "90", "bold": "1"}
_plain = False


def no_colour() -> None:
    """Turns colours off for this run (``--no-color``)."""
    global _plain
    _plain = True


def coloured(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal whose user did not opt out."""
    quiet = _plain or "NO_COLOR" in os.environ or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return not quiet and stream.isatty()


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """``text`` in a colour where the stream shows colours."""
    if not colour or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def out(text: str = "") -> None:
    """One line of the result."""
    watch.said(text)
    sys.stdout.write(text + "\n")


def folded(lines: Iterable[str], stream: TextIO | None = None) -> list[str]:
    """Lines for people, broken between words where the stream is a terminal that they do not fit."""
    stream = stream or sys.stdout
    try:
        columns = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        columns = 0
    if columns < 20:
        return list(lines)
    from ..render.fold import fold

    return [part for line in lines for part in fold(line, columns)]


def note(text: str) -> None:
    """One line of progress or advice, on stderr."""
    watch.needs("a word on stderr")
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Patience:
    """Says on a terminal what a work is at that takes over a second; nothing is left of it at its end."""

    def __init__(self) -> None:
        self._begun = monotonic()
        self._shown = False

    def __call__(self, doing: str, entries: int) -> None:
        """``doing`` in words and how many entries are done; "" for the end."""
        if doing and monotonic() - self._begun > 1 and coloured(sys.stderr):
            line = f"{doing}: {entries:,} entries"[: width() - 1]
            sys.stderr.write(f"\r\x1b[2K{paint(line, 'grey', sys.stderr)}")
            sys.stderr.flush()
            self._shown = True
        elif not doing:
            if self._shown:
                sys.stderr.write("\r\x1b[2K")
                sys.stderr.flush()
            self._shown = False


def width() -> int:
    """Columns of the terminal on stderr."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def interactive() -> bool:
    """Whether a question may be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def confirm(question: str) -> bool:
    """Asks for a plain ``yes``."""
    sys.stderr.write(f"{question} Only 'yes' is accepted: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "yes"


def show_error(error: MlopsError) -> None:
    """What, where, why and the fix, on stderr."""
    for line in error_lines(error):
        note(line)


def error_lines(error: MlopsError) -> list[str]:
    """What ``show_error`` prints."""
    from ..render.text import printable

    stream = sys.stderr
    place = f"{error.where}: " if error.where else ""
    # The fix is not folded: it often holds a command to be copied.
    lines = folded([f"{paint('error', 'red', stream)}[{error.code}] {printable(place + error.message)}"], stream)
    if error.line and error.where:
        lines.append(f"  {error.where.line:>4} | {printable(error.line)}")
        lines.append("       | " + " " * (error.where.column - 1) + "^")
    if error.hint:
        lines.append(f"  {paint('fix:', 'bold', stream)} {printable(error.hint)}")
    if isinstance(error, ManifestError):
        for other in error.others:
            lines += error_lines(other)
    return lines


def table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ()) -> list[str]:
    """Lines with aligned columns; the last column is left as it is."""
    everything = [*([header] if header else []), *rows]
    if not everything:
        return []
    widths = [max(len(row[i]) for row in everything) for i in range(len(everything[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything
    ]
