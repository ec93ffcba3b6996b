"""Keys that every deployment has: who must agree, and whose work counts."""

from __future__ import annotations

from dataclasses import dataclass

from ...provider import policy


@dataclass(frozen=True)
class Approvals:
    """How many people must agree to a release, each neither its author nor its trainer."""

    count: int = policy(1, doc="How many different people.", minimum=1)
    valid: float | None = policy(None, doc="How long an approval counts; left out: for ever.", quantity="duration")
