"""Steps about names alone: a resource that has another name now, and one that left the manifest. Pure."""

from __future__ import annotations

from collections.abc import Collection

from .types import Action, Address, Cost, Digest, Entry, Reason, Step


def renamed(step: Step, old: Address) -> Step:
    """The step of a resource that was called otherwise: MOVE where nothing else is to be done."""
    if step.action is Action.NOOP:
        return step._replace(action=Action.MOVE, cost=Cost.METADATA, reason=Reason(f"was {old}"))
    return step._replace(notes=(*step.notes, f"was {old}"))


def forgotten(last: Entry, in_use: Collection[Digest]) -> Step | None:
    """The step of a resource that left the manifest; None where its result lives on under another name."""
    if last.made_from in in_use:
        return None
    return Step(
        Address.parse(last.address),
        str(last.ingredients.get("provider", "")),
        Action.FORGET,
        Cost.METADATA,
        Reason("no longer in the manifest; its results stay in the trail"),
        last.made_from or None,
        (),
        (last.id,),
    )
