"""Options that select what a plan is about, and what they name in a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ..errors import UsageError
from ..types import Address, Selection
from .project import Project

Globs = list[str] | None
Target = Annotated[
    Globs, typer.Option("--target", metavar="GLOB", help="Only this and what it needs, its gates too; repeatable.")
]
Exclude = Annotated[
    Globs, typer.Option("--exclude", metavar="GLOB", help="Leave this out, and all that needs it; repeatable.")
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A trial: samples of the data, cheap gates first; nothing of it is ever deployed."),
]
Replace = Annotated[Globs, typer.Option("--replace", metavar="ADDR", help="Make this anew on purpose; globs allowed.")]
Set = Annotated[
    Globs,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="A trial with another value than the manifest's, such as train.scorer.params.lr=0.01; repeatable.",
    ),
]

Refresh = Annotated[
    bool, typer.Option("--refresh", help="Ask the running deployments, and look for outputs that are lost.")
]


def selection(
    project: Project,
    target: Globs,
    exclude: Globs,
    replace: Globs,
    *,
    refresh: bool = False,
    refresh_only: bool = False,
    quick: bool = False,
    settings: Globs = None,
) -> Selection:
    """What the options ask for. Raises MlopsError for a pattern that names nothing."""
    if refresh_only and (replace or quick or settings):
        extra = "--replace" if replace else "--quick" if quick else "--set"
        message = f"--refresh-only makes nothing, so {extra} has nothing to say"
        raise UsageError(message, hint=f"leave {extra} out", code="MLO6005")
    refresh = refresh or refresh_only
    given = tuple(settings or ())
    if not (target or exclude or replace):
        return Selection(refresh=refresh, refresh_only=refresh_only, quick=quick, settings=given)
    declared = [want.address for want in project.resources]
    # What left the manifest can be left alone, but not be made.
    removed = [address for address, _ in project.trail.deployments()] if exclude else []
    return Selection(
        _patterns(project, target or (), declared),
        _patterns(project, exclude or (), declared + removed),
        _patterns(project, replace or (), declared),
        refresh,
        refresh_only,
        quick,
        given,
    )


def _patterns(project: Project, patterns: Sequence[str], known: Sequence[Address]) -> tuple[str, ...]:
    """The patterns, bare names as addresses; that of a repeated resource means all of its instances."""
    repeated = {one.name: f"{one.section}.{one.name}" for one in known if one.instance}

    def whole(pattern: str) -> str:
        # A glob may leave the section out as a name may: 'local*' as well as local.
        for form in (pattern, f"*.{pattern}" if "*" in pattern or "?" in pattern else pattern):
            if any(one.matches(form) for one in known):
                return form
        return repeated.get(pattern) or str(project.resource(pattern).address)

    return tuple(map(whole, patterns))
