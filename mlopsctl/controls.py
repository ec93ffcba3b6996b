"""What governs a deployment: whose work counts, who must agree, and what else has to hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .adapters.times import lasting
from .approvals import People, Quorum, able, count, others_made, release_digest, removal_digest, waits
from .canonical import digest_of, plain
from .provider import Inputs, result_fields
from .registry import DEFAULT_USE, provider
from .site import Site
from .types import Address, Digest, Entry, Resource, Rule, Verdict

_NAMED = 5


class Asked(Protocol):
    """What is asked of the world here; see ``world.World``."""

    def last_result(self, address: Address) -> Entry | None: ...

    def people(self, want: Resource, inputs: Inputs) -> People: ...

    def under_review(self) -> str: ...

    def reviewed(self) -> str: ...

    def root_pinned(self) -> bool: ...

    def unverified(self, inputs: Inputs) -> Sequence[str]: ...


class Governed(NamedTuple):
    """What blocks a deployment because of who made it, which approvals it waits for, and by which rules."""

    blocked: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def settings(want: Resource) -> Digest:
    """A digest of all that decides how a deployment is made, its artifact aside.

    Beside the fields that make another result: what its provider says that a program is handed, such as variables.
    """
    handed = {name: plain(getattr(want.spec, name)) for name in getattr(provider(want.provider), "HANDED", ())}
    return digest_of({"provider": want.provider, "spec": result_fields(want.spec), "handed": handed})


def same_settings(want: Resource, entry: Entry) -> bool:
    """Whether a deployment was made as the manifest says now; an entry of an early version does not tell all of it."""
    said = entry.facts.get("settings")
    if said is not None:
        return bool(said == settings(want))
    made = (entry.ingredients.get("provider"), entry.ingredients.get("spec"))
    return made == (want.provider, result_fields(want.spec))


def unapproved(want: Resource, site: Site, world: Asked) -> tuple[str, ...]:
    """What a protected deployment that goes to an older artifact would bring along besides: approvals name settings too."""
    last = world.last_result(want.address) if site.quorum(want) is not None else None
    if last is None or same_settings(want, last):
        return ()
    return (f"settings that nobody approved: mlopsctl unhold {want.address.typed}, then approve",)


def controls_on(
    want: Resource,
    inputs: Inputs,
    verdicts: Mapping[Address, Verdict | None],
    world: Asked,
    site: Site,
    removes: str = "",
) -> Governed:
    """What blocks the deployment because of who made it, and which approvals it waits for."""
    quorum = site.quorum(want)
    built_by = getattr(want.spec, "built_by", ())
    blocked, rules = _here(want, world)
    if not built_by and quorum is None:
        return Governed(blocked, (), rules)
    people = world.people(want, inputs)
    if built_by:
        strangers = others_made(want.spec, people.makers)
        blocked += strangers
        rules += (_built_by(built_by, strangers, inputs),)
    if quorum is None:
        return Governed(blocked, (), rules)
    if people.dirty:
        blocked += ("uncommitted changes",)
    rules += (Rule("committed", "a release that can be found again: git commit first", not people.dirty),)
    # What nobody vouches for is no matter for approvals: it is barred.
    blocked += (barred := tuple(world.unverified(inputs)))
    rules += tuple(Rule("origin", line, False) for line in barred)
    removed = removal_digest(want, removes) if removes else None
    release = removed or release_digest(want, inputs, verdicts, site.weakens)
    rules += (_approvals(quorum, release, people),)
    return Governed(blocked, waits(want, release, people, quorum), rules)


def _here(want: Resource, world: Asked) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
    """What has to hold of the place that deploys: its root of trust, and that no stranger's change is at work."""
    blocked: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    if want.provider != f"deployments/{DEFAULT_USE['deployments']}":
        # Whoever can swap the root for one of their own decides what is trusted: elsewhere that is not risked.
        pinned = world.root_pinned()
        blocked += () if pinned else ("the root of the trail, which nobody pinned here",)
        rules += (Rule("root", "a root of trust that this clone pinned: mlopsctl trust pin", pinned),)
    if review := world.under_review():
        blocked += (f"{review}, which nobody merged yet",)
    if review := world.reviewed():
        rules += (Rule("review", f"a merged change: {review} deploys nothing", False),)
    return blocked, rules


def _built_by(names: Sequence[str], strangers: Sequence[str], inputs: Inputs) -> Rule:
    """Of what is not made yet nobody knows who will have made it; what is made stays as it is."""
    known = all(item.seen is not None for item in inputs)
    met = False if strangers else True if known else None
    return Rule("built_by", f"models, gates and artifacts by {' or '.join(names)} only", met)


def _approvals(quorum: Quorum, release: Digest | None, people: People) -> Rule:
    """How many must agree, for how long that counts, and who could."""
    many = f"{quorum.needed} approval{'s' * (quorum.needed != 1)}"
    role = f" by the role {quorum.role}, because a control is loosened" if quorum.role else ""
    valid = f", each good for {lasting(quorum.valid)}" if quorum.valid is not None else ""
    text = f"{many}{role}{valid}, of others than author and trainer; {_who(able(quorum, people), quorum.needed)}"
    met = len(count(quorum, release, people).approvers) >= quorum.needed if release is not None else None
    return Rule("approvals", text, met)


def _who(names: Sequence[str], needed: int) -> str:
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    if len(names) >= needed:
        return f"{listed} can"
    return f"{f'only {listed}' if listed else 'nobody'} can, so add signers to trust.yaml: mlopsctl trust apply"
