"""Which resources a plan is about: those that --target names, with all they need, less those that --exclude names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import UsageError
from .types import Address, LeftOut, Resource, Selection


def is_named(address: Address, patterns: Iterable[str]) -> bool:
    return any(address.matches(pattern) for pattern in patterns)


def chosen(resources: Sequence[Resource], selection: Selection) -> tuple[tuple[Resource, ...], tuple[LeftOut, ...]]:
    """The resources of a plan in their order, and those left out with the reason.

    What a chosen resource needs is chosen too, its guards as well: a selection switches no gate off. Whatever needs
    an excluded resource is left out with it. Raises UsageError where nothing remains, or nothing that --replace names.
    """
    if not selection.targets and not selection.excluded:
        return tuple(resources), ()
    wanted = _with_needs(resources, selection.targets) if selection.targets else {one.address for one in resources}
    excluded = _with_followers(resources, selection.excluded)
    kept, left = [], []
    for want in resources:
        if want.address in excluded:
            left.append(LeftOut(want.address, excluded[want.address]))
        elif want.address not in wanted:
            left.append(LeftOut(want.address, "not named by --target"))
        else:
            kept.append(want)
    _refuse_nothing(kept, left, selection)
    return tuple(kept), tuple(left)


def _with_needs(resources: Sequence[Resource], patterns: Sequence[str]) -> set[Address]:
    wanted: set[Address] = set()
    for want in reversed(resources):
        if want.address in wanted or is_named(want.address, patterns):
            wanted |= {want.address, *(need.address for need in want.needs)}
    return wanted


def _with_followers(resources: Sequence[Resource], patterns: Sequence[str]) -> dict[Address, str]:
    """What is excluded, and why."""
    excluded: dict[Address, str] = {}
    for want in resources:
        if is_named(want.address, patterns):
            excluded[want.address] = "named by --exclude"
        else:
            behind = next((need.address for need in want.needs if need.address in excluded), None)
            if behind is not None:
                excluded[want.address] = f"needs {behind}"
    return excluded


def _refuse_nothing(kept: Sequence[Resource], left: Sequence[LeftOut], selection: Selection) -> None:
    """Raises UsageError for a pattern that has no effect because of another one."""
    asked = [("--target", pattern) for pattern in selection.targets]
    asked += [("--replace", pattern) for pattern in selection.replaced]
    for option, pattern in asked:
        if not any(want.address.matches(pattern) for want in kept):
            why = next((f"{one.address}: {one.reason}" for one in left if one.address.matches(pattern)), "")
            raise UsageError(
                f"{option} {pattern} names nothing that this plan is about ({why})",
                hint="choose patterns that leave it in the plan",
                code="MLO6004",
            )
    if not kept:
        raise UsageError(
            "--exclude leaves nothing to plan",
            hint="exclude less: mlopsctl graph shows what needs what",
            code="MLO6004",
        )
