"""Instances of one resource that a plan treats alike, as one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from ..types import Reason, Step

FEW = 4
"""From so many on they are one line."""


def lines(steps: Sequence[Step]) -> Iterator[tuple[str, Step]]:
    """What each line of a plan is headed by, and the step it tells of: ``gates.accuracy[*] × 12`` for twelve alike.

    A step that blocks or is blocked, waits, is held or weakens a control always has a line of its own.
    """
    keys = [_alike(step) for step in steps]
    count, told = Counter(keys), set()
    for step, key in zip(steps, keys, strict=True):
        if count[key] < FEW:
            yield str(step.address), step
        elif key not in told:
            told.add(key)
            yield f"{step.address._replace(instance='*')} × {count[key]}", _common(step)


def _alike(step: Step) -> Hashable:
    """Equal for steps of which one line can say all there is to say; a step that stands alone has its own."""
    verdict = step.verdict
    own = step.blocked_by or step.waits_for or step.held_by or step.weakens or (verdict and verdict.blocks)
    if not step.address.instance or own:
        return step.address
    about = step.address.section, step.address.name, step.provider, step.action, step.cost
    said = _general(step.reason.text, step), tuple(_general(note, step) for note in step.notes), step.rules
    return about, said, verdict.status if verdict else None


def _common(step: Step) -> Step:
    reason = Reason(_general(step.reason.text, step), step.reason.changes)
    notes = tuple(_general(note, step) for note in step.notes)
    # Each has figures of its own, which --why and JSON show.
    verdict = step.verdict._replace(text="each of them") if step.verdict and step.verdict.text else step.verdict
    return step._replace(reason=reason, notes=notes, verdict=verdict)


def _general(text: str, step: Step) -> str:
    return text.replace(f"[{step.address.instance}]", "[*]")
