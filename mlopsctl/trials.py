"""Quick runs (samples, cheap gates first) and other values (--set): they make trials, and no deployment sees one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .canonical import plain
from .provider import Inputs
from .registry import provider
from .selection import is_named
from .types import Address, Entry, Json, LeftOut, Observed, Resource, Sample, Selection, Status, Verdict

SAMPLE = Sample(share=0.05, rows=500)

Last = Callable[[Address], Entry | None]
"""The last result of an address."""


def marked(want: Resource, parts: Mapping[str, Json] | None, selection: Selection) -> Mapping[str, Json] | None:
    """The ingredients of a step; those of a dataset that is sampled say so, and all that follows differs by its bytes."""
    if parts is None or not selection.quick or want.address.section != "data":
        return parts
    return {**parts, "sample": plain(SAMPLE._asdict())}


def chosen(
    resources: Sequence[Resource], left: Sequence[LeftOut], selection: Selection, last: Last
) -> tuple[tuple[Resource, ...], tuple[LeftOut, ...]]:
    """What of the chosen resources a trial makes: no deployment ever, and in a quick run only the targets that are named.

    A quick run's gates stand last, those first that took the least time the last time.
    """
    if not selection.trial:
        return tuple(resources), tuple(left)
    kept, out = [], list(left)
    for want in resources:
        section = want.address.section
        if section == "deployments":
            out.append(LeftOut(want.address, "a trial deploys nothing"))
        elif selection.quick and section == "targets" and not is_named(want.address, selection.targets):
            out.append(LeftOut(want.address, "a quick run compiles only what --target names"))
        elif any(need.address == one.address for need in want.needs for one in out):
            out.append(LeftOut(want.address, "a trial makes nothing of what it measures"))
        else:
            kept.append(want)
    if selection.quick:
        kept.sort(key=lambda want: seconds(last(want.address)) if want.address.section == "gates" else -1.0)
    return tuple(kept), tuple(out)


def seconds(entry: Entry | None) -> float:
    """How long a step took, by its entry; 0 where nobody knows."""
    usage = entry.facts.get("usage") if entry is not None else None
    try:
        return float(usage.get("seconds") or 0) if isinstance(usage, dict) else 0.0
    except (TypeError, ValueError):
        return 0.0


def judged(want: Resource, seen: Observed, inputs: Inputs, selection: Selection) -> Verdict:
    """The provider's verdict; that of a trial's gate says that it is one.

    A sample often cannot settle what the whole view can, so that only a bar that is missed stops a quick run.
    """
    verdict = provider(want.provider).judge(want, seen, inputs)
    if not selection.trial or want.address.section != "gates":
        return verdict
    open_ = selection.quick and verdict.status is Status.INCONCLUSIVE
    return verdict._replace(text=f"trial: {verdict.text}", blocks=verdict.blocks and not open_)
