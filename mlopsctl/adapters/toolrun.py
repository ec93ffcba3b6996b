"""Runs compilers and simulators: argument lists only, in a folder of their own, with an end in time and words on failure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProviderError

if TYPE_CHECKING:
    from . import spawner

_SHOWN = 5


def run_tool(
    argv: Sequence[str],
    folder: Path,
    *,
    seconds: float,
    log: Path,
    doing: str,
    code: str,
    hint: str,
    confined: spawner.Confinement | None = None,
) -> None:
    """Runs a tool in ``folder`` and appends what it prints to ``log``.

    Raises ProviderError with ``code`` and ``hint`` where it fails or does not end; ``doing`` says what it was to do.
    """
    from .process import clean_env, run_logged, tail_lines

    env = clean_env({"LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "0"})
    ended = run_logged(argv, cwd=folder, env=env, log=log, timeout=seconds, confined=confined)
    if ended.returncode == 0 and not ended.timed_out:
        return
    said = "; ".join(tail_lines(log, _SHOWN)) if log.is_file() else ""
    how = f"no end after {seconds:g} seconds" if ended.timed_out else f"status {ended.returncode}"
    raise ProviderError(
        f"{doing}: {Path(argv[0]).name} failed ({how}){': ' + said if said else ''}", hint=hint, code=code
    )


def version_of(tool: str, folder: Path, flag: str = "--version") -> str:
    """The first number with a point in what a tool says of its version; ``unknown`` where it says none."""
    from .process import clean_env, run_logged

    said = folder / f"version-{Path(tool).name}"
    said.unlink(missing_ok=True)
    run_logged([tool, flag], cwd=folder, env=clean_env({"LC_ALL": "C.UTF-8"}), log=said, timeout=60)
    match = re.search(r"[0-9]+(?:\.[0-9]+)+", said.read_text("utf-8", "replace"))
    return match[0] if match else "unknown"
