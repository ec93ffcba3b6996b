"""Datasets that are ``final: true``: which models their rows judged, and which deployments ended a release."""

from __future__ import annotations

from collections.abc import Iterable

from ..audit.looks import Alike, Meaning, deployed, looks_at
from ..errors import EvidenceError
from ..looks import Release, since_release
from ..types import Address, Digest, Entry, Observed, Resource
from .names import names_of
from .project import Project
from .sites import Sites


def release(project: Project, sites: Sites, address: Address, data: Observed, meaning: Meaning) -> Release:
    """The models that the rows have judged, ever and since the last deployment that a gate on them guards."""
    trail = project.trail
    looks = looks_at(trail, data, meaning, _alike(project, data))
    names = {str(one) for one in names_of(project, address)}
    ends = [
        (model, entry.seq)
        for model, entry in deployed(trail, [look.model for look in looks])
        if _guarded_by(sites, entry, names)
    ]
    return since_release(looks, ends)


ENOUGH = 0.5
"""The share of the smaller of two views that makes one a copy of the other: nobody draws so many of the same rows anew."""


def _alike(project: Project, data: Observed) -> Alike:
    """Whether another view holds rows that judge here, as far as both are at hand."""
    from ..adapters.sketch import Rows, read_rows, shared

    key, store = str(data.facts.get("key") or ""), project.store

    def rows(view: Digest, format: object) -> Rows | None:
        at_hand = format in ("csv", "parquet") and store.has(view)
        return read_rows(store.path(view), str(format), key) if at_hand else None

    # What training learns from judges nothing.
    judging = [name for name in ("test", "val") if name in data.outputs] or ["all"]
    mine: list[Rows] = []

    def alike(view: Digest) -> bool:
        made = project.trail.with_output(view, "data")
        other = rows(view, made.facts.get("format")) if made else None
        if other is None:
            return False
        if not mine:
            mine.extend(filter(None, (rows(data.outputs[name], data.facts.get("format")) for name in judging)))
        return any(shared(one, other) >= ENOUGH for one in mine)

    return alike


def finals(resources: Iterable[Resource]) -> frozenset[Address]:
    """The datasets that are final, and those that are read from the same place as one of them."""
    from ..providers.gates.exposure import one_place, place_of

    data = [one for one in resources if one.address.section == "data"]
    places = [place_of(one.spec) for one in data if getattr(one.spec, "final", False)]
    return frozenset(
        one.address for one in data if places and any(one_place(place_of(one.spec), place) for place in places)
    )


def _guarded_by(sites: Sites, entry: Entry, names: set[str]) -> bool:
    """Whether a gate on the dataset guarded the deployment, by the controls that it went through."""
    try:
        found = sites.in_force(entry)
    except EvidenceError:
        # Nobody can say here, so that it ends nothing.
        return False
    guards = [found["of"].get(gate, {}) for gate in found["guards"]] if found else []
    return any(role == "data" and data in names for gate in guards for role, data, _ in gate.get("needs", ()))
