"""What a deployment's place runs already, taken into the trail: as one of ours where it provably may be, else as unverified."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ..canonical import digest_of
from ..errors import ApprovalError, GateError, MlopsError, StaleError, UsageError
from ..provider import Context, Inputs, ingredients
from ..registry import provider
from ..soak import comes_after
from ..types import (
    ADOPTION,
    GUARD,
    Action,
    Address,
    Digest,
    Entry,
    Input,
    Json,
    Need,
    Observed,
    Outcome,
    Resource,
    Verdict,
    is_unverified,
)
from . import console
from .adoption import not_taken
from .switch import judge, record_running, refuse_blocked, shared, switching
from .withdrawn import refuse_inputs
from .workshop import ProjectWorkshop

Adopting = Callable[[Resource, Context], AbstractContextManager[Outcome]]


def adopt_running(name: str, source: str, reason: str, *, replace: bool, offline: bool) -> int:
    """Asks what runs at the place of a deployment and signs the answer; nothing is changed there."""
    with switching(name, "import", offline=offline) as (want, workshop):
        adopting: Adopting | None = getattr(provider(want.provider), "adopting", None)
        if adopting is None:
            raise not_taken(want)
        _check_place(want, source)
        refuse_standing(workshop, want, replace)
        with (
            tempfile.TemporaryDirectory(prefix="mlopsctl-") as scratch,
            adopting(want, workshop.project.context(Path(scratch), console.note)) as found,
        ):
            observed = _record(workshop, want, found, reason)
    said = observed.facts["adopted"]
    glyph, entry = Action.IMPORT.value, observed.entry[:12]
    if is_unverified(observed):
        console.out(f"{glyph} {want.address}: adopted as entry {entry}, unverified: {said['why']}")
        console.note("no switch goes by it, and the next mlopsctl apply replaces it")
    else:
        console.out(f"{glyph} {want.address}: taken over as entry {entry}, with artifact {said['artifact'][:19]}")
    return shared(workshop.project, want, offline=offline)


def _check_place(want: Resource, source: str) -> None:
    place = str(want.spec.to)
    if source and source != place:
        raise UsageError(
            f"{want.address} is deployed to {place or 'no place that to: names'}, and not to {source}",
            hint="write the place as to: in the manifest, where it is reviewed",
            code="MLO6483",
        )


def refuse_standing(workshop: ProjectWorkshop, want: Resource, replace: bool) -> None:
    """Raises MlopsError where this is no moment to take anything over; before any program runs."""
    seen = workshop.world.read(want, None)
    site = workshop.world.site(want, seen)
    if site.quorum(want) is not None:
        raise ApprovalError(
            f"{want.address} is protected, and nobody approved what runs there",
            hint="mlopsctl apply deploys an approved release in its place",
            code="MLO5004",
        )
    if site.announced:
        raise StaleError(
            f"{want.address} is being changed by somebody else: {'; '.join(site.announced)}",
            hint=f"wait until that is done; if whoever it is has gone: mlopsctl unlock {want.address.typed}",
            code="MLO6022",
        )
    if replace or (seen is not None and not is_unverified(seen)):
        what = f"entry {seen.entry[:12]}" if seen is not None else "--replace is about results"
        raise MlopsError(
            f"{want.address} was deployed from here: {what}" if seen is not None else f"{want.address}: {what}",
            hint=f"once you looked at what runs: mlopsctl apply --replace {want.address}",
            code="MLO1031",
        )


def _record(workshop: ProjectWorkshop, want: Resource, found: Outcome, reason: str) -> Observed:
    taken = as_ours(workshop, want, str(found.facts.get("artifact", "")))
    kept = workshop.keep(found.outputs)
    adopted: dict[str, Json] = {"reason": reason} if reason else {}
    if isinstance(taken, str):
        facts = {**found.facts, "adopted": {**adopted, "state": "unverified", "why": taken[:300]}}
        # It stands for nothing that could be made, so that nothing else has its fingerprint.
        runs = digest_of({"adopted": str(want.address), **{key: str(facts.get(key, "")) for key in _IDENTITY}})
        return workshop.record(
            ADOPTION, want, status="unverified", made_from=runs, outputs=kept, outcome=Outcome(kept, facts)
        )
    (artifact,) = (item for item in taken if item.role != GUARD)
    adopted |= {"state": "taken over", "artifact": str(artifact.digest)}
    facts = {**found.facts, "target": str(artifact.need.address), "adopted": adopted}
    return record_running(workshop, want, taken, Outcome(kept, facts), kept)


_IDENTITY = ("location", "label", "artifact")


def as_ours(workshop: ProjectWorkshop, want: Resource, digest: str) -> Inputs | str:
    """What the place runs as inputs of ours, where an apply could deploy that today; else why it stays unverified."""
    if not digest:
        return "its program does not say which artifact runs"
    made = workshop.project.trail.with_output(Digest(digest), "targets")
    output = next((need.output for need in want.needs if need.role == "artifact"), "")
    if made is None or made.kind != "result" or made.outputs.get(output) != digest:
        return f"no target of this trail made what it says runs, {digest[:19]}"
    if not made.trusted:
        return f"{made.address} is untrusted: {made.signer} may not compile"
    inputs = (
        Input(Need("artifact", Address.parse(made.address), output), made.observed()),
        *(Input(need, None) for need in want.needs if need.role == GUARD),
    )
    try:
        return _barred(workshop, want, made, inputs) or inputs
    except GateError as error:
        return error.message


def _barred(workshop: ProjectWorkshop, want: Resource, made: Entry, inputs: Inputs) -> str:
    """Why apply would not deploy it, "" where it would. Raises GateError likewise."""
    refuse_inputs(workshop.project.trail, inputs, f"what {want.address} runs")
    refuse_blocked(workshop, want, inputs)
    passed = {one.address: Verdict() for one in workshop.project.resources}
    if why := comes_after(want, inputs, passed, workshop.world).why:
        return f"apply would wait: {why}"
    unmeasured = judge(workshop, want, made._replace(ingredients=ingredients(want, {}, inputs) or {}, facts={}), inputs)
    return f"{', '.join(unmeasured)} never measured its model" if unmeasured else ""
