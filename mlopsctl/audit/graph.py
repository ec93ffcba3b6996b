"""The Merkle graph of entries: tips, places, and which trust policy is in force where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .trust import Policy


class Place(NamedTuple):
    """What must be known of an entry to judge its children; ``policy`` is the one in force after it."""

    seq: int
    at: str
    policy: str
    valid: bool


class Known(Protocol):
    """What was judged before."""

    def place(self, entry_id: str) -> Place | None: ...

    def policy(self, digest: str) -> Policy | None: ...


def new_tips(tips: Iterable[str], added: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The tips after entries (id, parents) came in, sorted."""
    found = set(tips) | {entry for entry, _ in added}
    for _, parents in added:
        found.difference_update(parents)
    return sorted(found)


def chain(digest: str, policies: Mapping[str, Policy]) -> list[str]:
    """A policy's digest and those of all that went before it, newest first."""
    found: list[str] = []
    while digest and digest not in found:
        found.append(digest)
        digest = policies[digest].previous if digest in policies else ""
    return found


def in_force(candidates: Iterable[str], policies: Mapping[str, Policy]) -> tuple[str, bool]:
    """The policy in force after parents that saw ``candidates``, and whether they agree.

    The newest of one chain wins. Of two concurrent changes neither is in force: their last common one is.
    """
    chains = sorted((chain(digest, policies) for digest in set(candidates)), key=len, reverse=True)
    if not chains:
        return "", True
    longest = chains[0]
    if all(other[0] in longest for other in chains):
        return longest[0], True
    common = next((digest for digest in longest if all(digest in other for other in chains)), "")
    return common, False
