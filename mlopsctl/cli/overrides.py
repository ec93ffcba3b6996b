"""Which halts, rollbacks and pins hold a deployment as it is looked at from this clone."""

from __future__ import annotations

from functools import partial
from typing import cast

from ..audit.order import builds_on
from ..audit.trail import TrailLog
from ..holds import KINDS, Hold, holds
from ..provider import Context, Deployment
from ..registry import provider
from ..types import Entry, Resource


def overrides(trail: TrailLog, want: Resource, ctx: Context) -> tuple[Hold, ...]:
    """The overrides in force, oldest first; where each clone has a deployment of its own, those of this one only."""
    entries = trail.entries(str(want.address), KINDS)
    if not entries:
        return ()
    module = cast(Deployment, provider(want.provider))
    if module.PER_CLONE:
        here = module.lives_at(want.address, ctx)
        entries = [entry for entry in entries if _location(entry) in ("", here)]
    return holds(entries, partial(builds_on, trail.ledger))


def _location(entry: Entry) -> str:
    return entry.location or str(entry.facts.get("location", ""))
