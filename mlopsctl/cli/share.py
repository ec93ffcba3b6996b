"""``mlopsctl push`` and ``pull``: the trail over git, the outputs over the project's shared store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from ..adapters.git import Repo
from ..audit.sharing import Pulled, pull_trail, push_trail, recover, unpushed, waiting
from ..audit.trail import TrailLog
from ..errors import EvidenceError, MlopsError, NotSharedError, UsageError
from ..types import Digest
from . import console
from .options import Format, check_format
from .project import Project, open_project
from .trail import allow_programs, refuse_programs, warn


def push(
    address: Annotated[str, typer.Argument(help="Only the outputs of this address; default: all.")] = "",
    trail_only: Annotated[bool, typer.Option("--trail-only", help="Only the trail, no outputs.")] = False,
    remote: Annotated[str, typer.Option(help="The git remote; default: origin, or the only one.")] = "",
    format: Format = "text",
) -> int:
    """Share what is signed here: entries with the git remote, outputs with the manifest's `store:`.

    Examples:

      mlopsctl push

      mlopsctl push --trail-only
    """
    check_format(format)
    project = open_project()
    name = _remote(project, remote) if remote or project.repo.remotes() or trail_only else ""
    outputs = 0 if trail_only else _push_outputs(project, address)
    if name:
        allow_programs(project.repo, name)
    before = unpushed(project.trail, name) if name else 0
    pulled = push_trail(project.trail, name) if name else Pulled()
    if not name and (trail_only or project.mirror is None):
        raise _nowhere()
    _tell(
        {"remote": name, "entries": before, "outputs": outputs},
        f"pushed {before} entries and {outputs} outputs",
        format,
    )
    warn(pulled)
    return 0


def pull(
    address: Annotated[str, typer.Argument(help="Only the outputs of this address; default: all.")] = "",
    trail_only: Annotated[bool, typer.Option("--trail-only", help="Only the trail, no outputs.")] = False,
    remote: Annotated[str, typer.Option(help="The git remote; default: origin, or the only one.")] = "",
    format: Format = "text",
) -> int:
    """Fetch what others signed: entries are verified before they are taken in, outputs before they are used.

    Examples:

      mlopsctl pull

      mlopsctl pull --trail-only
    """
    check_format(format)
    project = open_project()
    name = _remote(project, remote) if remote or project.repo.remotes() else ""
    if name:
        allow_programs(project.repo, name)
    pulled = pull_trail(project.trail, name) if name else Pulled(recovered=recover(project.trail))
    outputs = 0 if trail_only else _pull_outputs(project, address)
    if not name and project.mirror is None and not pulled.recovered:
        raise _nowhere()
    shown = {
        "remote": name,
        "entries": pulled.new,
        "recovered": pulled.recovered,
        "outputs": outputs,
        "refused": [finding.as_json() for finding in pulled.refused],
    }
    _tell(shown, f"fetched {pulled.new} new entries and {outputs} outputs", format)
    warn(pulled)
    return 7 if pulled.refused else 0


def push_after_apply(project: Project) -> int:
    """Shares what an apply recorded, where there is a remote or a store; the exit code of what did not arrive."""
    return share_trail(project.trail, project.repo, lambda: _push_outputs(project, ""))


def share_trail(trail: TrailLog, repo: Repo, first: Callable[[], object] = lambda: None) -> int:
    """Does something first, then pushes the trail where git has a remote: others wait for what was signed.

    0, or the exit code of what did not arrive, which is shown.
    """
    try:
        first()
        trail.flush()
        for remote in repo.remotes()[:1]:
            refuse_programs(repo, remote)
            warn(push_trail(trail, remote))
    except MlopsError as error:
        console.show_error(error)
        tell_unpushed(trail)
        return error.exit_code if error.exit_code == EvidenceError.exit_code else NotSharedError.exit_code
    return 0


def tell_unpushed(trail: TrailLog) -> None:
    """Says on stderr what this clone has and its remotes don't."""
    for remote, count in waiting(trail):
        if count:
            console.note(f"not shared: {count} entries are not on '{remote}' yet; mlopsctl push")


def _remote(project: Project, name: str) -> str:
    known = project.repo.remotes()
    if name and name not in known:
        raise UsageError(f"git knows no remote '{name}'", hint="git remote -v shows them", code="MLO6413")
    if not known:
        raise _nowhere()
    return name or known[0]


def _nowhere() -> MlopsError:
    return MlopsError(
        "there is nowhere to share with: git has no remote",
        hint="git remote add origin URL; for outputs set store: in mlops.yaml",
        code="MLO8006",
    )


def _wanted(project: Project, address: str) -> list[Digest]:
    """Outputs of every result in the trail, or of one address, each once; datasets travel by git and DVC only."""
    chosen = str(project.resource(address).address) if address else ""
    found = project.trail.entries(chosen, ("result", "import"))
    entries = [entry for entry in found if not entry.address.startswith("data.")]
    return list(dict.fromkeys(digest for entry in entries for digest in entry.outputs.values()))


def _push_outputs(project: Project, address: str) -> int:
    if project.mirror is None:
        return 0
    done = 0
    for digest in project.mirror.missing(_wanted(project, address)):
        if project.store.has(digest):
            project.store.copy_to(project.mirror, digest)
            done += 1
    return done


def _pull_outputs(project: Project, address: str) -> int:
    if project.mirror is None:
        return 0
    done = 0
    for digest in project.store.missing(_wanted(project, address)):
        if project.mirror.has(digest):
            project.mirror.copy_to(project.store, digest)
            done += 1
    return done


def _tell(shown: dict[str, object], text: str, format: str) -> None:
    console.out(json.dumps({"schema_version": 1, **shown}, indent=2) if format == "json" else text)
