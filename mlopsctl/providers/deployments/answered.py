"""Whether what a program deployed serves, and the way back where it does not: what never answered is not deployed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import EvidenceError, ProviderError
from ...provider import Context
from ...types import ADOPTION, Address, Digest, Entry, Input, Json, Need, Resource

PATIENCE = 10.0
"""Seconds that something has to come up, after its program said that it was deployed."""

Again = Callable[[Resource, Entry, Sequence[Input], Mapping[str, Any], Context], str]
"""Has the program of an entry deploy these inputs once more; why that does not serve, "" where it does."""


def unanswered(probe: Callable[[], Mapping[str, Json]], seconds: float) -> str:
    """Why nobody can say that it serves; "" where the program says so, or that it is halted."""
    until, why = time.monotonic() + min(seconds, PATIENCE), ""
    while True:
        try:
            state = str(probe().get("state"))
            if state in ("serving", "halted"):
                return ""
            why = f"its program says {state[:40]!r}"
        except ProviderError as error:
            why = error.message
        if time.monotonic() >= until:
            return why
        time.sleep(0.5)


def put_back(want: Resource, failed: Digest | None, ctx: Context, again: Again) -> str:
    """Has what ran before deployed once more, and says what became of that."""
    last = ctx.trail.latest(want.address, ("result", "destroy", ADOPTION))
    if last is None or last.kind != "result":
        return "no deployment of this trail was there before"
    if str(last.facts.get("location") or "") != str(want.spec.to or ""):
        return "what was deployed elsewhere before was not touched"
    digest = Digest(str(last.facts.get("artifact", "")))
    made = ctx.trail.with_output(digest, "targets")
    if made is None or digest == failed:
        return "there is no other artifact to go back to"
    output = next(name for name, value in made.outputs.items() if value == digest)
    artifact = Input(Need("artifact", Address.parse(made.address), output), made.observed())
    signature = Input(artifact.need._replace(role="signature", output=f"{output}.sig"), artifact.seen)
    said = {
        "halted": ctx.halted or None,
        "previous": dict(last.facts),
        # The place shall name again what the trail says of it, and not the attempt that failed.
        "label": str(last.facts.get("label") or last.facts.get("intent") or ""),
        "runs": ctx.label or None,
    }
    try:
        why = again(want, last, (artifact, signature), said, ctx)
    except (ProviderError, EvidenceError) as error:
        why = error.message
    return f"entry {last.id[:12]} could not be put back: {why}" if why else f"entry {last.id[:12]} serves again"


def not_serving(want: Resource, why: str, back: str) -> ProviderError:
    """The error of a deployment that does not count as one."""
    return ProviderError(
        f"what was deployed at {want.spec.to or want.address} does not serve, so that it counts for nothing: {why}; {back}",
        hint="let the program end only when it serves, and answer probe with facts.state; its log: "
        f"mlopsctl logs {want.address.typed}",
        code="MLO1519",
    )
