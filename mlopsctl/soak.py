"""``after:`` of a deployment: another one must have run the artifact first, and long enough. Pure.

How long is what somebody else than the signer witnessed, a time-stamping authority or a transparency log; where nobody
did, it is the time that the signer claims, and a plan says so. The clock begins anew where a halt or another hold was lifted: nobody
can tell from the trail what was answered before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from .adapters.times import lasting
from .holds import LIFTING
from .types import Address, Entry, Input, Json, Observed, Resource

KINDS = ("result", "destroy", *LIFTING)


class Running(NamedTuple):
    """What a deployment runs by the trail: the artifact, "" for none, since when, and what keeps it from counting."""

    artifact: str = ""
    since: str = ""
    held: str = ""
    by: str = ""
    """Who witnessed that moment; "" where the signer alone says it."""


class Wait(NamedTuple):
    """Why a deployment does not go out yet, "" where it may; and the moment from which it may where only time is missing."""

    why: str = ""
    free_at: str = ""


def artifact_of(ingredients: Mapping[str, Json]) -> str:
    """The digest of the artifact that a deployment was made from, "" where there is none."""
    found = (ingredients.get("inputs") or {}).get("artifact") or [""]
    return str(found[0])


Witnessed = Callable[[Entry], tuple[str, str]]
"""By which moment somebody else than its signer saw an entry, and who; ("", "") where nobody did."""


def by_nobody(entry: Entry) -> tuple[str, str]:
    """Of a trail whose times nobody witnessed."""
    return "", ""


def running(newest_first: Iterable[Entry], held: str, witnessed: Witnessed = by_nobody) -> Running:
    """What runs after these entries of one deployment, of KINDS; ``held`` says what holds it now."""
    lifted: Entry | None = None
    since: Entry | None = None
    runs: tuple[str, str] | None = None
    for entry in newest_first:
        if entry.kind in LIFTING:
            lifted = lifted or entry
        elif entry.kind == "destroy" or not entry.trusted:
            break
        elif runs in (None, there := (artifact_of(entry.ingredients), entry.location)):
            # Somewhere else it is another deployment, which has served nobody yet.
            runs, since = there, entry
        else:
            break
    moments = [(at or one.at, by) for one in (since, lifted) if one is not None for at, by in [witnessed(one)]]
    at, by = max(moments, key=lambda one: _moment(one[0]), default=("", ""))
    return Running(runs[0] if runs else "", at, held, by)


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)


def wait(
    other: Address,
    seconds: float,
    inputs: Iterable[Input],
    there: Running,
    verdicts: Mapping[Address, object],
    now: str,
) -> Wait:
    """Whether the artifact among the inputs has run there for so many seconds."""
    artifact = next((item.digest for item in inputs if item.role == "artifact"), None)
    about_to_change = verdicts.get(other) is None
    if artifact is not None and there.artifact == artifact and not there.held:
        free = _moment(there.since) + timedelta(seconds=seconds)
        if _moment(now) >= free:
            return Wait()
        at = f"{free:%Y-%m-%dT%H:%M:%SZ}"
        who = f"witnessed by {there.by}" if there.by else "claimed by its signer"
        since = f"{there.since}, {who},"
        return Wait(f"{other}, which runs it since {since} and has to for {lasting(seconds)}: free at {at}", at)
    if there.held:
        return Wait(f"{other}, which counts as not running: {there.held}")
    if about_to_change or artifact is None:
        # Made in this very apply, it is looked at again afterwards.
        return Wait(f"{other}, which has to run it for {lasting(seconds)} first" if seconds else "")
    return Wait(f"{other}, which runs {'another artifact' if there.artifact else 'nothing'}")


class Asked(Protocol):
    """What is asked of the world here; see ``world.World``."""

    def running(self, address: Address) -> Running: ...

    def now(self) -> str: ...


def comes_after(want: Resource, inputs: Iterable[Input], verdicts: Mapping[Address, object], world: Asked) -> Wait:
    """Whether the deployment that ``after:`` names has run the artifact, and for long enough."""
    after = getattr(want.spec, "after", None)
    if after is None:
        return Wait()
    other = Address.of("deployments", after.deployment)
    return wait(other, after.for_, inputs, world.running(other), verdicts, world.now())


def ran(observed: Observed | None, inputs: Iterable[Input]) -> bool:
    """Whether the deployment itself runs this artifact already: to start it again it waits for nobody."""
    artifact = next((item.digest for item in inputs if item.role == "artifact"), None)
    return observed is not None and artifact is not None and artifact_of(observed.ingredients) == artifact
