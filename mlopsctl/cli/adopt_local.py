"""A server on this machine that another clone, or ``serve``, started, taken over as a ``use: local`` deployment of this one."""

from __future__ import annotations

from ..adapters.table import Table, feature_names, read_table
from ..errors import ProviderError
from ..provider import MEANING, with_meaning
from ..providers.deployments import local_takeover
from ..swap import swapping
from ..types import Action, Digest, Json, Resource
from . import console
from .adopt_running import as_ours, refuse_standing
from .switch import lacks, record_running, switching
from .workshop import ProjectWorkshop


def adopt_local(name: str, source: str, reason: str, *, replace: bool) -> int:
    """Looks what a server of ours serves, and lets this deployment take its place; nothing is pushed, for it is this clone's."""
    with switching(name, "import") as (want, workshop):
        return _take_over(workshop, want, source, reason, replace=replace)


def _take_over(workshop: ProjectWorkshop, want: Resource, source: str, reason: str, *, replace: bool) -> int:
    refuse_standing(workshop, want, replace)
    running = local_takeover.find(want, source, workshop.project.context())
    taken = as_ours(workshop, want, running.digest)
    if isinstance(taken, str):
        raise local_takeover.refused(want, running, taken)
    rows = _rows(workshop, want, running.digest)
    if lacking := lacks(workshop, taken):
        raise local_takeover.refused(want, running, f"its {lacking} is in no store")
    with swapping(want, None, workshop.context(want.address, taken)) as context:
        if context.halted:
            raise local_takeover.refused(want, running, f"{want.address} is halted: {context.halted}")
        outcome = local_takeover.take_over(want, taken, running, rows, context)
    adopted: dict[str, Json] = {"state": "taken over", "artifact": running.digest, "rows": rows[0].rows}
    adopted |= {"reason": reason} if reason else {}
    observed = record_running(workshop, want, taken, outcome._replace(facts={**outcome.facts, "adopted": adopted}), {})
    console.out(
        f"{Action.IMPORT.value} {want.address}: taken over as entry {observed.entry[:12]}, with artifact "
        f"{running.digest[:19]}, which answered {rows[0].rows} rows the same; at {outcome.facts['endpoint']}"
    )
    console.note(local_takeover.started_by(running))
    return 0


def _rows(workshop: ProjectWorkshop, want: Resource, digest: str) -> tuple[Table, list[str]]:
    """The rows that the artifact was compared with its model on when it was compiled, and which columns a model is given.

    Raises ProviderError where there are none that can be had: without rows nobody knows what a server answers.
    """
    made = workshop.project.trail.with_output(Digest(digest), "targets")
    behind = workshop.world.inputs_of(made.id, want) if made is not None else None
    data = next((item for item in behind or () if item.role == "data" and item.digest), None)
    if data is None or data.digest is None or not workshop.here(data.digest):
        raise ProviderError(
            f"there are no rows to compare on what runs with {want.address}: "
            + (
                f"those of {data.need.address} are in no store"
                if data is not None
                else "its target was made without data"
            ),
            hint="mlopsctl pull fetches them"
            if data is not None
            else f"end what runs, and mlopsctl apply --target {want.address}",
            code="MLO1518",
        )
    if data.seen is not None and MEANING in data.seen.outputs:
        workshop.here(data.seen.outputs[MEANING])
    (data,) = with_meaning((data,), workshop.project.store)
    facts = data.seen.facts if data.seen is not None else {}
    table = read_table(workshop.project.store.path(Digest(str(data.digest))), str(facts.get("format")))
    most = min(table.rows, local_takeover.MOST_ROWS)
    return Table({name: column[:most] for name, column in table.columns.items()}, most), feature_names(table, facts)
