"""Where trials are made and recorded: entries of a kind of their own, which nothing but another trial reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import GateError
from ..manifest.overlay import path_of
from ..provider import Context, Inputs
from ..trials import SAMPLE
from ..types import Address, Digest, Entry, Observed, Outcome, Resource, Selection
from .project import Project
from .workshop import ProjectWorkshop
from .world import ProjectWorld

KIND = "trial"
CRASHED = "crashed"
"""The status of a trial that came to no end: it is history, and tried again."""


class TrialWorld(ProjectWorld):
    """Knows earlier trials beside the results; what is deployed does not concern it."""

    def __init__(self, project: Project, selection: Selection):
        super().__init__(project)
        self._quick = selection.quick

    def read(self, want: Resource, made_from: Digest | None) -> Observed | None:
        if found := super().read(want, made_from):
            return found
        entry = self._trail.trial(made_from) if made_from else None
        return entry.observed() if entry else None

    def last(self, address: Address) -> Entry | None:
        entry = self._trail.latest(address, (KIND,))
        return entry._replace(kind="failure") if entry is not None and entry.status == CRASHED else entry

    def last_result(self, address: Address) -> Entry | None:
        """A quick run is compared with the last one, another value with what the manifest's own made."""
        return self._trail.latest(address, (KIND,)) if self._quick else super().last_result(address)

    def undeclared(self, declared: frozenset[Address]) -> Sequence[tuple[Resource, Observed]]:
        return ()


class TrialWorkshop(ProjectWorkshop):
    """Makes samples where the run is quick, and signs everything as a trial."""

    def __init__(self, project: Project, tell: Callable[[Address, str], None], selection: Selection):
        super().__init__(project, tell)
        self.world: ProjectWorld = TrialWorld(project, selection)
        self._set = [path_of(setting) for setting in selection.settings]
        self._sample = SAMPLE if selection.quick else None

    def context(self, address: Address, inputs: Inputs = ()) -> Context:
        if address.section == "deployments":
            raise GateError("a trial deploys nothing", hint="mlopsctl apply, without --quick and --set", code="MLO1052")
        return super().context(address, inputs)._replace(sample=self._sample)

    def record(self, kind: str, want: Resource, *, status: str = "", **parts: Any) -> Observed:
        facts = dict(parts.pop("facts", None) or {})
        outcome: Outcome | None = parts.pop("outcome", None)
        if outcome is not None:
            facts = {**outcome.facts, **facts}
            parts["outcome"] = outcome._replace(facts={})
        # A trial replaces nothing: of several the newest counts, for other trials.
        facts.pop("supersedes", None)
        # The paths alone: a value stands among the ingredients where an entry may hold it.
        facts |= {"set": self._set} if self._set else {}
        return super().record(KIND, want, status=CRASHED if kind == "failure" else status, facts=facts, **parts)
