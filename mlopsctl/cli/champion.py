"""The champion of a gate with ``against:``: the last other model that a deployment ran, as the trail has it."""

from __future__ import annotations

from collections.abc import Iterator

from ..audit.trail import TrailLog
from ..soak import artifact_of
from ..types import CHAMPION, CHAMPION_ROWS, Address, Digest, Entry, Input, Need
from .withdrawn import withdrawn

_DEEPEST = 32
"""Training steps that a model may build on, one upon the other."""


def champion(trail: TrailLog, candidate: Digest | None, releases: Iterator[Entry]) -> tuple[Input, ...]:
    """The champion among these releases, the newest first, and the rows that it was trained on; () where there is none.

    What was withdrawn is no measure of anything, and neither is what only this machine believes.
    """
    for release in releases:
        made = trail.with_output(Digest(artifact_of(release.ingredients)), "targets") if release.trusted else None
        models: list[str] = list(made.ingredients.get("inputs", {}).get("model", ())) if made else []
        model = trail.with_output(Digest(models[0]), "train") if models and models[0] != candidate else None
        if model is None or withdrawn(trail, own=release.observed()):
            continue
        found = _input(CHAMPION, model, Digest(models[0]))
        if not withdrawn(trail, (found,)):
            return (found, *_rows(trail, model))
    return ()


def _rows(trail: TrailLog, model: Entry) -> Iterator[Input]:
    """Every view that the model's training, or one that it builds on, was given."""
    done: set[str] = set()
    waiting = [(model, 0)]
    while waiting:
        step, depth = waiting.pop(0)
        for digests in step.ingredients.get("inputs", {}).values():
            for digest in (one for one in digests if one not in done):
                done.add(digest)
                data = trail.with_output(digest, "data", before=step.seq)
                if data is not None:
                    yield _input(CHAMPION_ROWS, data, digest)
                elif depth < _DEEPEST and (base := trail.with_output(digest, "train", before=step.seq)):
                    waiting.append((base, depth + 1))


def _input(role: str, entry: Entry, digest: Digest) -> Input:
    output = next(name for name, value in entry.outputs.items() if value == digest)
    return Input(Need(role, Address.parse(entry.address), output), entry.observed())
