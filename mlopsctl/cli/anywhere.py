"""The trail around the current folder, also in a clone that has nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..adapters.git import Repo, find_repo
from ..audit.sharing import fetch_state, push_trail
from ..audit.trail import TrailLog
from ..errors import MlopsError
from . import console
from .project import open_project
from .trail import open_trail, warn


class Anywhere(NamedTuple):
    """``state`` is the clone's own folder of mlopsctl."""

    trail: TrailLog
    repo: Repo

    @property
    def state(self) -> Path:
        return self.repo.common_dir / "mlops"


def here() -> Anywhere:
    """The project's trail, or that of a clone with nothing but the trail. Raises MlopsError without one."""
    try:
        project = open_project()
        found = Anywhere(project.trail, project.repo)
    except MlopsError as error:
        if error.code not in ("MLO1006", "MLO1007"):
            raise
        repo = find_repo(Path.cwd())
        found = Anywhere(open_trail(repo, repo.common_dir / "mlops"), repo)
    if fetch_state(found.trail) == "missing":
        raise MlopsError("this clone has not fetched the trail yet", hint="mlopsctl pull --trail-only", code="MLO8005")
    return found


def share(place: Anywhere) -> int:
    """Writes the trail out and pushes it where git has a remote; exit code 0, or why others do not see it yet."""
    place.trail.flush()
    for remote in place.repo.remotes()[:1]:
        try:
            warn(push_trail(place.trail, remote))
        except MlopsError as error:
            console.show_error(error)
            return error.exit_code
    return 0
