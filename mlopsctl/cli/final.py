"""Datasets that are ``final: true``: which models their rows judged, and which deployments ended a release."""

from __future__ import annotations

from ..audit.looks import Meaning, deployed, looks_at
from ..errors import EvidenceError
from ..looks import Release, since_release
from ..types import Address, Entry, Observed
from .names import names_of
from .project import Project
from .sites import Sites


def release(project: Project, sites: Sites, address: Address, data: Observed, meaning: Meaning) -> Release:
    """The models that the rows have judged, ever and since the last deployment that a gate on them guards."""
    trail = project.trail
    looks = looks_at(trail, data, meaning)
    names = {str(one) for one in names_of(project, address)}
    ends = [
        (model, entry.seq)
        for model, entry in deployed(trail, [look.model for look in looks])
        if _guarded_by(sites, entry, names)
    ]
    return since_release(looks, ends)


def _guarded_by(sites: Sites, entry: Entry, names: set[str]) -> bool:
    """Whether a gate on the dataset guarded the deployment, by the controls that it went through."""
    try:
        found = sites.in_force(entry)
    except EvidenceError:
        # Nobody can say here, so that it ends nothing.
        return False
    guards = [found["of"].get(gate, {}) for gate in found["guards"]] if found else []
    return any(role == "data" and data in names for gate in guards for role, data, _ in gate.get("needs", ()))
