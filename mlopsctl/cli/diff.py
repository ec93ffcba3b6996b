"""``mlopsctl diff``: what changed, in ML terms; works in a bare clone for ``A..B``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..adapters.git import Repo, find_repo, git
from ..diff import Difference, compare
from ..errors import MlopsError
from ..plan import Assessment, survey
from ..types import Address
from . import console
from .diff_details import detailed
from .project import Project, open_commit, open_project, prefix_of
from .world import ProjectWorld
from .write import ReportFormat, Write, reports, written

if TYPE_CHECKING:
    from ..render.report import Report


@written("diff")
def diff(
    revisions: Annotated[str, typer.Argument(metavar="[REV | A..B | A...B]")] = "HEAD",
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not fetch the trail, even when it is missing.")
    ] = False,
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """What changed between two revisions: data, code, parameters, measured figures, artifacts, deployments.

    One revision is compared with the working tree; A...B starts at the common ancestor.

    Examples:

      mlopsctl diff

      mlopsctl diff main..feature --format markdown
    """
    repo = find_repo(Path.cwd())
    prefix = prefix_of(repo)
    old_name, dots, new_name = _split(revisions)
    if dots == "...":
        old_name = _fork(repo, old_name, new_name)
    before = open_commit(repo, old_name, prefix)
    after = open_commit(repo, new_name, prefix) if dots else open_project()
    after.need_trail(offline=offline)
    old, new = _survey(before), _survey(after)
    loosened = _loosened(before, after)
    found = detailed(
        compare(old, new, after.manifest.moved, loosened), (before, _by_address(old)), (after, _by_address(new))
    )
    new_name = new_name if dots else "working tree"

    def report() -> Report:
        from ..render.diff import diff_report

        return diff_report(found, old_name, new_name)

    reports(report)
    _print(found, old_name, new_name, format)
    return 0


def _split(revisions: str) -> tuple[str, str, str]:
    for dots in ("...", ".."):
        if dots in revisions:
            old, _, new = revisions.partition(dots)
            return old or "HEAD", dots, new or "HEAD"
    return revisions, "", ""


def _fork(repo: Repo, old: str, new: str) -> str:
    """The commit at which two revisions went apart. Raises MlopsError where they have none in common."""
    done = git(repo.root, "merge-base", repo.commit(old), repo.commit(new), check=False)
    if done.returncode != 0:
        raise MlopsError(
            f"{old} and {new} have no commit in common",
            hint=f"compare them as they are: mlopsctl diff {old}..{new}; in a shallow clone: git fetch --unshallow",
            code="MLO1003",
        )
    return done.stdout.decode().strip()


def _survey(project: Project) -> list[Assessment]:
    return survey(project.resources, ProjectWorld(project))


def _loosened(old: Project, new: Project) -> dict[Address, tuple[str, ...]]:
    """What each deployment of the old side has of controls that the new side loosens or takes away."""
    from ..ratchet import controls, weakenings

    now = {want.address: want for want in new.resources}
    names = {str(old): str(new) for new, old in new.manifest.moved.items()}
    found: dict[Address, tuple[str, ...]] = {}
    for want in old.resources:
        if want.address.section != "deployments":
            continue
        after = now.get(want.address)
        if after is None:
            found[want.address] = (f"{want.address} is taken down",)
        elif lines := weakenings(controls(want, old.resources), controls(after, new.resources), names):
            found[want.address] = lines
    return found


def _by_address(survey: list[Assessment]) -> dict[Address, Assessment]:
    return {one.step.address: one for one in survey}


def _print(found: tuple[Difference, ...], old: str, new: str, format: str) -> None:
    from ..render.diff import diff_json, diff_text

    if format == "json":
        import json

        console.out(json.dumps(diff_json(found, old, new), indent=2))
    if format == "text":
        for line in diff_text(found, console.paint):
            console.out(line)
