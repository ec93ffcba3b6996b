"""Rows of one dataset that are also in another one which the model was made with: found by their keys, at measuring.

The views of one dataset share no rows (ADR 0009). Of another dataset nobody has said so: it may be a copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ...provider import Context, Inputs
from ...types import Digest, Entry, Input

if TYPE_CHECKING:
    from ...adapters.table import Table
    from ...measures.metrics import Array

_DEEPEST = 32
"""Training steps that a model may build on, one upon the other."""


class Given(NamedTuple):
    """One view of another dataset that training was given; ``format`` is "" where nobody knows it any more."""

    digest: Digest
    format: str
    key: str


def given_elsewhere(inputs: Inputs, ctx: Context) -> tuple[Given, ...]:
    """The views that the model's training was given and that are no other side of the measured dataset."""
    model = next((item for item in inputs if item.role == "model" and item.seen), None)
    data = next((item for item in inputs if item.role == "data" and item.seen), None)
    entry = ctx.trail.entry(model.seen.entry) if model and model.seen and model.seen.entry else None
    if entry is None or data is None or data.seen is None:
        return ()
    sides = {digest for digest in data.seen.outputs.values() if digest != data.digest}
    found: dict[Digest, Given] = {}
    for role, digest, made in _views(entry, ctx):
        # Whoever asks for it may look at what models are chosen by; no gate of the manifest does.
        if digest in sides or (role == "validation" and ctx.looks and digest == data.digest):
            continue
        facts = made.facts if made else {}
        found.setdefault(digest, Given(digest, str(facts.get("format", "")), str(facts.get("key") or "")))
    return tuple(found.values())


def _views(model: Entry, ctx: Context) -> Iterator[tuple[str, Digest, Entry | None]]:
    """Each view that the model's training, or one that it builds on, was given: role, digest, and who made it."""
    waiting, done = [(model, 0)], {model.id}
    while waiting:
        step, depth = waiting.pop(0)
        for role, digests in step.ingredients.get("inputs", {}).items():
            for digest in map(Digest, digests):
                if role in ("data", "validation"):
                    yield role, digest, ctx.trail.with_output(digest, "data")
                    continue
                base = ctx.trail.with_output(digest, "train")
                if base is not None and base.id not in done and depth < _DEEPEST:
                    done.add(base.id)
                    waiting.append((base, depth + 1))


def fresh(table: Table, measured: Input, given: tuple[Given, ...], ctx: Context) -> tuple[Array, bool]:
    """True for each row that training was given in none of these views [rows], and whether all could be looked at."""
    import numpy as np

    from ...adapters.table import read_table

    keep, known = np.ones(table.rows, dtype=bool), True
    facts = measured.seen.facts if measured.seen else {}
    for view in given:
        if view.digest == measured.digest:
            return np.zeros(table.rows, dtype=bool), known
        if view.format in ("csv", "parquet") and ctx.store.has(view.digest):
            other = read_table(ctx.store.path(view.digest), view.format)
            keep &= _new(table, other, {str(facts.get("key") or ""), view.key} - {""}, str(facts.get("label") or ""))
        else:
            known = known and view.format not in ("", "csv", "parquet")
    return keep, known


def _new(table: Table, other: Table, keys: Collection[str], label: str) -> Array:
    """True for each row that is not in the other table, by a key that both have or by all the rest [rows].

    Whoever numbers the rows of a copy anew leaves the rest of them as it was.
    """
    import numpy as np

    from .overlap import unseen

    keep = np.ones(table.rows, dtype=bool)
    for key in keys:
        if key in table.columns and key in other.columns:
            keep &= unseen(table, key, [other])
    rest = {name: cells for name, cells in table.columns.items() if name not in keys}
    if (rest.keys() & other.columns.keys()) - {label}:
        keep &= unseen(replace(table, columns=rest), "", [other])
    return keep


def only(table: Table, keep: Array) -> Table:
    """The rows of the table that are marked."""
    return replace(table, columns={name: cells[keep] for name, cells in table.columns.items()}, rows=int(keep.sum()))
