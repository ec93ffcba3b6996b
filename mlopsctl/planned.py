"""What can be asked of a finished plan: what a saved one is bound to, and whether anything is left to do; pure."""

from __future__ import annotations

from .canonical import digest_of
from .types import Action, Digest, Plan, Step


def digest(plan: Plan) -> Digest:
    """What a saved plan is bound to: the manifest and the steps; tips, commit, time and host are information."""
    return digest_of(
        {
            "manifest": plan.manifest_digest,
            "steps": [
                {
                    "address": str(step.address),
                    "action": step.action.name,
                    "made_from": step.made_from,
                    "relies_on": list(step.relies_on),
                }
                for step in plan.steps
            ],
        }
    )


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
