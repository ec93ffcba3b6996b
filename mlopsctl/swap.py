"""Compare-and-swap of what a place runs: it is changed only while it still runs what was seen there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from .errors import StaleError
from .intents import INTENT
from .provider import Context, Deployment, Inputs
from .registry import provider
from .types import ADOPTION, Mark, Observed, Outcome, Resource


@contextmanager
def swapping(want: Resource, seen: Observed | None, ctx: Context) -> Iterator[Context]:
    """The place of a deployment, alone, for a change that builds on what was ``seen``.

    Raises StaleError where it runs something else, unless ``ctx.over`` says that somebody looked and wants that replaced.
    """
    module = cast(Deployment, provider(want.provider))
    with module.changing(want, seen, ctx) as there:
        if not (ctx.over or _accounted(there, want, seen, ctx)):
            raise _foreign(want, there, seen)
        yield ctx._replace(runs=there)


def make(want: Resource, inputs: Inputs, seen: Observed | None, ctx: Context) -> Outcome:
    """``apply`` of any provider; a deployment's under ``swapping``."""
    module = provider(want.provider)
    if want.address.section != "deployments":
        return module.apply(want, inputs, ctx)
    with swapping(want, seen, ctx) as alone:
        return module.apply(want, inputs, alone)


def take_down(want: Resource, seen: Observed, ctx: Context) -> Outcome:
    """``remove`` of a deployment, under ``swapping``."""
    with swapping(want, seen, ctx) as alone:
        return provider(want.provider).remove(seen, alone)


def _accounted(there: Mark | None, want: Resource, seen: Observed | None, ctx: Context) -> bool:
    """Whether this trail knows how what runs came there: as it was seen, or by a later attempt that came to no end."""
    if there is None or (seen is not None and seen.mark is not None and there.same(seen.mark)):
        return True
    by = ctx.trail.entry(there.entry) if there.entry else None
    last = ctx.trail.latest(want.address, ("result", "destroy", ADOPTION))
    attempt = by is not None and by.kind == INTENT and by.address in map(str, ctx.names(want.address))
    return attempt and by is not None and (last is None or by.seq > last.seq)


def _foreign(want: Resource, there: Mark | None, seen: Observed | None) -> StaleError:
    was = str(seen.mark) if seen is not None and seen.mark is not None else "nothing that is known here"
    return StaleError(
        f"{want.address} runs {there} and no longer {was}: somebody else deployed there, so nothing was changed",
        hint="mlopsctl pull fetches what others signed; once you looked at what runs: "
        f"mlopsctl apply --replace {want.address}",
        code="MLO6021",
    )
