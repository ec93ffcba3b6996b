"""Results that exist already, taken into the trail: made elsewhere, signed here, and marked as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..adapters.origin import UNVERIFIED
from ..errors import MlopsError, ProviderError
from ..plan import Assessment, survey
from ..provider import with_meaning
from ..registry import provider
from ..selection import chosen
from ..types import GUARD, Action, Json, Observed, Outcome, Resource, Selection
from . import console
from .project import Project
from .workshop import ProjectWorkshop
from .world import ProjectWorld

_WHY_NOT = {
    "data": "a dataset is pinned where it lies",
    "gates": "figures are measured here and never taken over",
    "targets": "an artifact is compiled here and compared with its model",
    "train": "its manifest block says where it comes from",
    "deployments": "nothing here can say what its place runs",
}


def adopt_result(
    project: Project,
    want: Resource,
    outputs: Mapping[str, Path],
    origin: Mapping[str, Json],
    *,
    replace: bool = False,
) -> Observed:
    """Records existing bytes as what ``want`` would make from today's inputs; nothing is run.

    ``origin`` says where they come from and becomes part of the entry. Whoever calls holds the lock of the clone.
    Raises MlopsError where inputs are not made yet or a result stands (unless ``replace``), ProviderError where the
    bytes are not what the step would have to leave.
    """
    adopt = _taker(want, outputs)
    with ProjectWorkshop(project, lambda address, line: console.note(f"{address}: {line}")) as workshop:
        found = _assessed(project, want)
        _check(want, found, replace)
        for item in found.inputs:
            for digest in item.seen.outputs.values() if item.seen and item.role != GUARD else ():
                workshop.here(digest)
        workshop.admit(want, found.sources)
        context = workshop.context(want.address, found.inputs)
        taken = adopt(want, with_meaning(found.inputs, context.store), outputs["model"], context)
        kept = workshop.keep(taken.outputs)
        facts = {**taken.facts, "origin": {"state": UNVERIFIED, **(taken.facts.get("origin") or {}), **origin}}
        if found.seen is not None:
            facts["supersedes"] = found.seen.entry
        return workshop.record(
            "result",
            want,
            status="done",
            made_from=found.step.made_from,
            parts=found.parts,
            outputs=kept,
            outcome=Outcome(kept, facts),
            sources=found.sources,
        )


def standing(project: Project, want: Resource) -> Observed | None:
    """The result of ``want`` that is in force; None where it would be made anew."""
    found = _assessed(project, want)
    return found.seen if found.step.action is Action.NOOP else None


def _assessed(project: Project, want: Resource) -> Assessment:
    """The resource as a plan about it alone sees it."""
    closure, _ = chosen(project.resources, Selection((str(want.address),)))
    return next(one for one in survey(closure, ProjectWorld(project)) if one.step.address == want.address)


def _check(want: Resource, found: Assessment, replace: bool) -> None:
    """Raises MlopsError where this is no moment to take anything over."""
    if found.parts is None:
        waits = sorted({str(item.need.address) for item in found.inputs if item.role != GUARD and item.digest is None})
        raise MlopsError(
            f"{want.address} needs {', '.join(waits)}, which {'has' if len(waits) == 1 else 'have'} no result yet",
            hint="mlopsctl apply " + " ".join(f"--target {name}" for name in waits),
            code="MLO1030",
        )
    if found.step.action is Action.NOOP and found.seen is not None and not replace:
        raise MlopsError(
            f"{want.address} has a result already: entry {found.seen.entry[:12]}",
            hint="--replace puts this one in its place, on every clone",
            code="MLO1031",
        )


def _taker(want: Resource, outputs: Mapping[str, Path]) -> Callable[..., Outcome]:
    """The provider's function that takes existing bytes over. Raises ProviderError where there is none."""
    adopt: Callable[..., Outcome] | None = getattr(provider(want.provider), "adopt", None)
    if adopt is None or set(outputs) != {"model"}:
        raise not_taken(want)
    return adopt


def not_taken(want: Resource) -> ProviderError:
    return ProviderError(
        f"{want.address} cannot be imported: {_WHY_NOT[want.address.section]}",
        hint=f"mlopsctl apply --target {want.address}",
        code="MLO1032",
    )
