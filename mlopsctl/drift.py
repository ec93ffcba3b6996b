"""What a look at the world finds beside what a plan would do: outputs that are gone, deployments that differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .types import Action, Cost, Observed, Reason, Step


def looked(
    step: Step, seen: Observed | None, lost: Sequence[str], *, only: bool, uncached: Sequence[str] = ()
) -> Step | None:
    """The step of a refreshed plan: a READ where what stands is not what was attested.

    ``uncached`` are files of DVC whose data is neither in the working folder nor in DVC's cache.
    With ``only`` nothing else is planned, and None is answered where nothing stands that could have drifted.
    """
    if only and seen is None:
        return None
    if only:
        step = step._replace(blocked_by=(), waits_for=(), notes=(), rules=(), took=None, budget=None)
    found = f"outputs lost: {', '.join(lost)}; made again and compared when a step needs them" if lost else ""
    if uncached:
        gone = f"neither DVC's cache nor the working folder has what {', '.join(uncached)} pins: dvc pull"
        found = "; ".join(filter(None, (found, gone)))
    if only and seen is not None:
        found = "; ".join(filter(None, (seen.drift, found)))
    if found and (only or step.action is Action.NOOP):
        return step._replace(action=Action.READ, cost=Cost.NOTHING, reason=Reason(found))
    if only:
        return step._replace(action=Action.NOOP, cost=Cost.NOTHING, reason=Reason("as it was attested"))
    return step
