"""The Merkle graph of entries: tips, places, and which trust policy is in force where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .trust import Policy


class Place(NamedTuple):
    """What must be known of an entry to judge its children.

    ``policy`` names the newest policies after it, joined by commas: several where concurrent changes met.
    """

    seq: int
    at: str
    policy: str
    valid: bool


class Known(Protocol):
    """What was judged before."""

    def nothing(self) -> bool:
        """Whether it is nothing at all."""

    def place(self, entry_id: str) -> Place | None: ...

    def policy(self, digest: str) -> Policy | None: ...


def new_tips(tips: Iterable[str], added: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The tips after entries (id, parents) came in, sorted."""
    found = {*tips, *(entry for entry, _ in added)}
    for _, parents in added:
        found.difference_update(parents)
    return sorted(found)


def heads(seen: Iterable[str], policies: Mapping[str, Policy]) -> tuple[str, ...]:
    """The newest of the policies that an entry's parents saw, sorted: several after concurrent changes of trust.

    ``seen`` are policies as places have them: digests joined by commas.
    """
    digests = {digest for some in seen for digest in some.split(",") if digest}
    older = {before for digest in digests for before in _closure(digest, policies) if before != digest}
    return tuple(sorted(digests - older))


def in_force(newest: Sequence[str], policies: Mapping[str, Policy]) -> str:
    """The policy in force where these are the newest, "" for none.

    Of concurrent changes neither is in force, until a third names them: the last one that all of them build on is.
    """
    if len(newest) < 2:
        return newest[0] if newest else ""
    common = set.intersection(*(_closure(digest, policies) for digest in newest))
    return max(heads(common, policies), default="")


def _closure(digest: str, policies: Mapping[str, Policy]) -> set[str]:
    """A policy and all that went before it."""
    found: set[str] = set()
    waiting = [digest]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += policies[one].previous if one in policies else ()
    return found
