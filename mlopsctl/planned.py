"""What can be asked of a finished plan: what a saved one is bound to, and whether anything is left to do; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .canonical import digest_of
from .types import Action, Address, Cost, Digest, Plan, Step


def digest(plan: Plan) -> Digest:
    """What a saved plan is bound to: the manifest and the steps; tips, commit, time and host are information."""
    return bound_to(
        plan.manifest_digest,
        [(str(step.address), step.action.name, step.made_from, list(step.relies_on)) for step in plan.steps],
    )


def bound_to(manifest: str, steps: Iterable[tuple[str, str, str | None, list[str]]]) -> Digest:
    """The digest of steps, each as its address, action, fingerprint and the entries relied on."""
    names = ("address", "action", "made_from", "relies_on")
    return digest_of({"manifest": manifest, "steps": [dict(zip(names, step, strict=True)) for step in steps]})


def settled(plan: Plan) -> bool:
    """Whether there is nothing to do, and of no step anything to say but that it stands."""
    return all(
        step.action is Action.NOOP
        and not (step.blocked_by or step.held_by)
        and not (step.verdict is not None and step.verdict.blocks)
        for step in plan.steps
    )


def pending(plan: Plan) -> tuple[Step, ...]:
    """The steps that change something, that nothing blocks and that wait for nobody."""
    still = (Action.NOOP, Action.READ)
    return tuple(step for step in plan.steps if step.action not in still and not step.blocked_by and not step.waits_for)


def drifted(plan: Plan) -> tuple[Step, ...]:
    """The steps of a refreshed plan that found something else than was attested."""
    return tuple(step for step in plan.steps if step.action is Action.READ)


_LONG = (Cost.PIN, Cost.RETRAIN, Cost.REEVALUATE, Cost.RECOMPILE)


class Work(NamedTuple):
    """What an apply of the plan is in for; what is blocked, or waits for people, is not part of it.

    ``costs`` counts the steps by the word for their cost. ``seconds`` is what they took the last time, all together, and
    ``chain`` the longest of those that have to follow each other; ``untimed`` steps have no time yet, deployments aside, which take seconds.
    """

    costs: Mapping[str, int]
    seconds: float
    chain: float
    untimed: int


def work(plan: Plan) -> Work:
    """Adds up the steps that would run."""
    steps = pending(plan)
    ends: dict[Address, float] = {}
    # Steps stand in an order in which each follows what it needs.
    for step in steps:
        ends[step.address] = (step.took or 0) + max((ends.get(need.address, 0.0) for need in step.needs), default=0.0)
    return Work(
        Counter(step.cost.value for step in steps if step.cost.value),
        sum(step.took or 0 for step in steps),
        max(ends.values(), default=0.0),
        sum(step.took is None and step.cost in _LONG for step in steps),
    )
