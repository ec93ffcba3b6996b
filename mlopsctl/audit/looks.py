"""How many models were measured on the same rows: each look tells something about them, and in the end fits to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from ..looks import Look
from ..provider import MEANING
from ..types import Digest, Entry, Json, Observed
from .forward import made_with, skim
from .statement import MEMBER
from .trail import TrailLog

# A trial that measures on these rows tells its author as much about them as a result does.
_LOOKS = (
    "state IN ('valid', 'local') AND kind IN ('result', 'trial') AND status != 'crashed' AND address GLOB 'gates.*'"
)

Meaning = Callable[[Digest], Mapping[str, Json] | None]
"""What a dataset's entry leaves out, by the digest of that; None where it is not at hand."""


def measured_on(trail: TrailLog, data: Observed, view: str, meaning: Meaning) -> tuple[str, ...]:
    """The digests of the models that gates measured on the rows of a view, in the order in which that was first done.

    Rows are the same where the view has the same bytes, or, as far as that is at hand, the same keys: a label that was
    corrected makes no new rows.
    """
    own = data.outputs.get(view)
    if own is None:
        return ()
    found: tuple[str, ...] = trail.remembered(
        f"measured on {view} {own}",
        lambda: tuple(look.model for look in _looks(trail, _same_rows(trail, data, view, own, meaning))),
    )
    return found


Alike = Callable[[Digest], bool]
"""Whether a view of another version, or of another dataset, holds rows of this one; asked only of what was measured on."""

NEWEST = 32
"""So many other views that gates measured on are looked at, the newest of them."""


def looks_at(trail: TrailLog, data: Observed, meaning: Meaning, alike: Alike) -> tuple[Look, ...]:
    """The first measurement of each model on the rows of any view of a dataset, oldest first; also under another name."""
    views = {view: own for view, own in data.outputs.items() if view != MEANING}
    same = {other for view, own in views.items() for other in _same_rows(trail, data, view, own, meaning)}
    others = [other for other in _measured_views(trail) if other not in same]
    return _looks(trail, sorted(same | {other for other in others[:NEWEST] if alike(Digest(other))}))


def _measured_views(trail: TrailLog) -> list[str]:
    """The views that gates measured on, the newest look first."""
    where = f"{_LOOKS} ORDER BY seq DESC, id DESC"
    rows = trail.ledger.index.members(where, (), (f"$.predicate.{MEMBER}.ingredients.inputs",))
    return list(dict.fromkeys(view for row in rows for view in (json.loads(row[-1])[0] or {}).get("data", ())))


def deployed(trail: TrailLog, models: Iterable[str]) -> list[tuple[str, Entry]]:
    """Each deployment of what was made of these models, with the model, oldest first; by trusted entries alone."""
    found = []
    for model in models:
        made = made_with(trail, [model])
        artifacts = {out for one in made if one.address.startswith("targets.") for out in one.outputs.values()}
        found += [
            (model, one)
            for one in made_with(trail, sorted(artifacts))
            if one.trusted and one.kind == "result" and one.address.startswith("deployments.")
        ]
    return sorted(found, key=lambda one: (one[1].seq, one[1].id))


def _same_rows(trail: TrailLog, data: Observed, view: str, own: Digest, meaning: Meaning) -> list[str]:
    found = {str(own)}
    members = _membership(data, view, meaning)
    for other in skim(trail, "data.*", ("result",), inputs_only=True) if members else ():
        digest = other.outputs.get(view)
        if digest and digest not in found and _membership(other.observed(), view, meaning) == members:
            found.add(digest)
    return sorted(found)


def _membership(data: Observed, view: str, meaning: Meaning) -> str:
    known = meaning(data.outputs[MEANING]) if MEANING in data.outputs else None
    return str((known or {}).get("membership", {}).get(view, ""))


def _looks(trail: TrailLog, views: list[str]) -> tuple[Look, ...]:
    marks = ",".join("?" * len(views))
    where = f"{_LOOKS} AND id IN (SELECT id FROM inputs WHERE digest IN ({marks})) ORDER BY seq, id"  # noqa: S608 - marks only
    rows = trail.ledger.index.members(where, views, (f"$.predicate.{MEMBER}.ingredients.inputs",))
    found: dict[str, Look] = {}
    for _, seq, at, signer, _, address, _, _, text in rows:
        # A gate that asks for other inputs than a model and rows looks at the same rows with each of its models.
        for model in (json.loads(text)[0] or {}).get("model", ()):
            found.setdefault(model, Look(Digest(model), address, at, signer, seq))
    return tuple(found.values())
