"""What others announced to do to a deployment; asked by every plan, so that it imports little."""

from __future__ import annotations

import time
from datetime import datetime
from typing import cast

from ..adapters import watch
from ..adapters.times import lasting
from ..intents import KINDS, LOOKED_AT, Intent, standing
from ..plan import Assessment
from ..provider import Deployment
from ..registry import provider
from ..types import Address
from .project import Project


def is_shared(name: str) -> bool:
    """Whether others can reach the deployments of this provider: not where every clone has one of its own."""
    return not cast(Deployment, provider(name)).PER_CLONE


def open_intents(project: Project, address: Address) -> tuple[Intent, ...]:
    """Announced changes of a deployment that nobody ended, as far as this trail knows."""
    return standing(project.trail.entries(str(address), KINDS, newest_first=True, limit=LOOKED_AT))


def announcements(project: Project, found: Assessment) -> tuple[str, ...]:
    """One line for each announced change of a deployment, with its age by the clock of this machine."""
    if not is_shared(found.step.provider):
        return ()
    return tuple(f"{one}, {aged(one)} ago" for one in open_intents(project, found.step.address))


def aged(intent: Intent) -> str:
    """How long ago it was announced, going by what its author's clock said."""
    watch.needs("the clock")
    return lasting(time.time() - datetime.fromisoformat(intent.since).timestamp())


def foreign_intents(project: Project, address: Address) -> tuple[Intent, ...]:
    """Those of others: what was announced in this clone is taken up by its next verb."""
    own = set(announced_here(project))
    return tuple(one for one in open_intents(project, address) if one.entry not in own)


def announced_here(project: Project) -> list[str]:
    try:
        return (project.state / "intents").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
