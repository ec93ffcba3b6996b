"""Runs the tools that make circuits: each in its own process group, with a limit on time and memory, and its last words kept."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .tools import find

_SHOWN = 4


class Workbench(NamedTuple):
    """A folder to work in, and what each tool may use."""

    folder: Path
    seconds: float
    memory: int
    log: Path

    def run(self, argv: Sequence[str], *, confined: bool = True) -> str:
        """What the tool printed. Raises ProviderError (MLO1451) with its last words where it failed.

        Inside a sandbox it sees the system and this folder. ``confined: False`` is for tools of a sandbox of their own.
        """
        from .process import clean_env, run_logged, tail_lines
        from .sandbox import make_sandbox

        # Tools of WebAssembly keep what they compiled in the user's cache.
        env = clean_env({"LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "0", "HOME": os.environ.get("HOME", "/")})
        env["TMPDIR"] = str(self.folder)
        sandbox = None
        if confined:
            sandbox = make_sandbox(read=[], write=[self.folder], hidden=[], path=env["PATH"], memory=self.memory)
        begun = self.log.stat().st_size if self.log.is_file() else 0
        ended = run_logged(
            argv, cwd=self.folder, env=env, log=self.log, timeout=self.seconds, confined=sandbox, max_log_bytes=64 << 20
        )
        with self.log.open("rb") as stream:
            stream.seek(begun)
            said = stream.read().decode("utf-8", "replace")
        if ended.returncode == 0 and not ended.timed_out:
            return said
        how = f"no end after {self.seconds:g} seconds" if ended.timed_out else f"status {ended.returncode}"
        errors = [line.strip() for line in said.splitlines() if re.search(r"error", line, re.IGNORECASE)]
        last = "; ".join(errors[:_SHOWN] or tail_lines(self.log, _SHOWN))[:800]
        raise ProviderError(
            f"{Path(argv[0]).name} failed ({how}): {last}",
            hint="raise timeout: or memory: where it ran out of them; a smaller model, fewer lanes: or a larger part: take less",
            code="MLO1451",
        )


def command(name: str) -> str:
    """The path of a tool of the table that ``require`` found."""
    return str(find(name))


def versions(bench: Workbench, asked: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Each tool's version: the first number with a point, or year, that it prints."""
    found = {}
    for name, argv in asked.items():
        match = re.search(r"\d+(?:\.\d+)+", bench.run(argv, confined=False))
        found[name] = match[0] if match else "unknown"
    return found
