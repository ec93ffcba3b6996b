"""How many models were measured on the same rows: each look tells something about them, and in the end fits to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ..provider import MEANING
from ..types import Digest, Json, Observed
from .forward import skim
from .statement import MEMBER
from .trail import TrailLog

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
        f"measured on {view} {own}", lambda: _models(trail, _same_rows(trail, data, view, own, meaning))
    )
    return found


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


def _models(trail: TrailLog, views: list[str]) -> tuple[str, ...]:
    marks = ",".join("?" * len(views))
    where = (
        # A trial that measures on these rows tells its author as much about them as a result does.
        "state IN ('valid', 'local') AND kind IN ('result', 'trial') AND status != 'crashed' AND address GLOB 'gates.*'"  # noqa: S608 - marks only
        f" AND id IN (SELECT id FROM inputs WHERE digest IN ({marks})) ORDER BY seq, id"
    )
    rows = trail.ledger.index.members(where, views, (f"$.predicate.{MEMBER}.ingredients.inputs",))
    given = [json.loads(row[-1])[0] or {} for row in rows]
    # A gate that asks for other inputs than a model and rows looks at the same rows with each of its models.
    return tuple(dict.fromkeys(digest for inputs in given for digest in inputs.get("model", ())))
