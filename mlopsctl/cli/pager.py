"""A pager where a person reads, as git has it; nothing at all where a program does."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, cast


class _Paged(io.TextIOWrapper):
    """Text on its way to the pager, and so to the terminal that the pager shows it on."""

    def isatty(self) -> bool:
        return True


def pager_command() -> list[str]:
    """The words of $PAGER, which is split and never given to a shell; [] where nothing is to be paged."""
    wanted = os.environ.get("PAGER", "less")
    try:
        words = shlex.split(wanted)
    except ValueError:
        return []
    quiet = not sys.stdout.isatty() or os.environ.get("CI") or os.environ.get("TERM", "dumb") == "dumb"
    return [] if quiet or words in ([], ["cat"]) else words


@contextmanager
def paged(wanted: bool = True) -> Iterator[bool]:
    """What is printed inside goes through the pager; says whether it does."""
    words = pager_command() if wanted else []
    # As git sets them: leave short text on the screen, keep colours.
    settings = {"LESS": "FRX", "LV": "-c", **os.environ}
    try:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, env=settings) if words else None
    except OSError:
        process = None
    if process is None:
        yield False
        return
    terminal, sys.stdout = sys.stdout, _Paged(cast(IO[bytes], process.stdin), encoding="utf-8", write_through=True)
    try:
        # Whoever leaves the pager has seen enough.
        with suppress(BrokenPipeError):
            yield True
    finally:
        with suppress(BrokenPipeError):
            sys.stdout.close()
        sys.stdout = terminal
        while process.poll() is None:
            # Ctrl-C belongs to the pager while it runs.
            with suppress(KeyboardInterrupt):
                process.wait()
