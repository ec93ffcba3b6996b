"""The trail around the current folder, for verbs that also write to it: in a project, or a clone with nothing else."""

from __future__ import annotations

from pathlib import Path

from ..adapters.git import find_repo
from ..audit.trail import TrailLog
from . import audit_source
from .share import share_trail


def here() -> TrailLog:
    """The project's trail, or that of a clone with nothing but the trail. Raises MlopsError without one."""
    return audit_source.here()[0]


def share(trail: TrailLog) -> int:
    """Writes the trail out and pushes it where git has a remote; exit code 0, or why others do not see it yet."""
    return share_trail(trail, find_repo(Path.cwd()))
