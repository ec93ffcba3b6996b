"""Keys that every deployment has: who must agree, and whose work counts."""

from __future__ import annotations

from dataclasses import dataclass

from ...provider import policy

BRANCH = (
    "The branch, or a glob of branches, that this is deployed from; left out: the default branch, any for use: local."
)

VERSION = (
    "The artifact of its target that it stays on: how its digest begins (sha256:… or dirhash:…), or the id of the entry "
    "that made or deployed it; left out: the newest."
)


@dataclass(frozen=True)
class Approvals:
    """How many people must agree to a release, each neither its author nor its trainer."""

    count: int = policy(1, doc="How many different people.", minimum=1, looser="lower")
    valid: float | None = policy(
        None, doc="How long an approval counts; left out: for ever.", quantity="duration", looser="higher"
    )
