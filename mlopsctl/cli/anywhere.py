"""The trail around the current folder, for verbs that also write to it: in a project, or a clone with nothing else."""

from __future__ import annotations

from ..audit.sharing import push_trail
from ..audit.trail import TrailLog
from ..errors import MlopsError
from . import audit_source, console
from .trail import warn


def here() -> TrailLog:
    """The project's trail, or that of a clone with nothing but the trail. Raises MlopsError without one."""
    return audit_source.here()[0]


def share(trail: TrailLog) -> int:
    """Writes the trail out and pushes it where git has a remote; exit code 0, or why others do not see it yet."""
    trail.flush()
    for remote in trail.ledger.log.remotes()[:1]:
        try:
            warn(push_trail(trail, remote))
        except MlopsError as error:
            console.show_error(error)
            return error.exit_code
    return 0
