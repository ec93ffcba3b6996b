"""``init --from-existing``: a manifest proposed out of what a repository has; nothing of it is run or changed."""

from __future__ import annotations

from pathlib import Path

from ..adapters.git import Repo, WorkTree, find_repo
from ..adopt.proposal import Proposal
from ..adopt.repository import Found, read_repository
from ..adopt.text import manifest_text
from ..errors import ManifestError, MlopsError, UsageError
from ..manifest import Manifest, load_manifest
from .existing_report import Proposed
from .project import MANIFEST


def propose_manifest(folder: Path, name: str, run_notebooks: bool = False) -> Proposed:
    """Reads the repository around ``folder`` and proposes. Raises MlopsError where there is nothing to go by."""
    repo = _repository(folder)
    if (folder / MANIFEST).exists():
        raise MlopsError(
            f"{folder} has an {MANIFEST} already, and nothing is overwritten",
            hint=f"move it away (git mv {MANIFEST} {MANIFEST}.old), or let `mlopsctl init` add what it lacks",
            code="MLO1080",
        )
    tree = WorkTree(repo, folder)
    found = read_repository(tree)
    text, manifest = _manifest(folder, name, found)
    ran: tuple[str, ...] = ()
    if run_notebooks and found.files:
        from .rehearse import rehearse

        rehearsal = rehearse(found, manifest, tree, repo, folder)
        ran = rehearsal.ran
        if rehearsal.failed:
            found = read_repository(tree, rehearsal.failed)
            text, _ = _manifest(folder, name, found)
    elif found.files:
        ran = ("The notebooks were not run: --run-notebooks does that first, from top to bottom.",)
    return Proposed(
        text,
        {path: body.encode() for path, body in found.files.items()},
        tuple(_lines(found.proposal)),
        found.proposal.unknown,
        tuple(_next_steps(found)),
        ran,
    )


def _manifest(folder: Path, name: str, found: Found) -> tuple[bytes, Manifest]:
    """The text of the proposal, and what it says. Raises MlopsError where that is nothing."""
    if not found.proposal.entries:
        said = "".join(f"\n  {text}" for text in found.proposal.unknown)
        raise MlopsError(
            f"{folder} has nothing to propose a manifest from"
            + (": of what was found nothing can be taken over" if said else ""),
            hint="it reads dvc.yaml, .dvc files, MLproject, and scripts and notebooks that write files; "
            "to begin by hand: mlopsctl add train 'python train.py'" + said,
            code="MLO1082",
        )
    text = manifest_text(name, found.proposal, found.read).encode()
    try:
        return text, load_manifest(text)
    except ManifestError as error:
        raise MlopsError(
            f"the proposal would be no valid manifest: {error.message}",
            hint="nothing was written; take the file that this is about out of git's sight, or write mlops.yaml by hand: "
            + (error.line or error.hint).strip(),
            code="MLO1083",
        ) from None


def _repository(folder: Path) -> Repo:
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="mlopsctl init --from-existing DIR", code="MLO6405")
    try:
        repo = find_repo(folder)
    except MlopsError:
        raise MlopsError(
            f"{folder} is in no git repository, and git says what belongs to a project and what is ignored",
            hint='git init && git add -A && git commit -m "as it was"',
            code="MLO1081",
        ) from None
    if repo.bare:
        raise MlopsError(
            "this is a bare repository, which has no working tree", hint="run this in a clone", code="MLO1007"
        )
    return repo


def _lines(proposal: Proposal) -> list[str]:
    width = max(len(f"{entry.section}.{entry.name}") for entry in proposal.entries)
    return [f"{entry.section + '.' + entry.name:<{width}}  {entry.why[0]}" for entry in proposal.entries]


def _next_steps(found: Found) -> list[str]:
    stages = any(" of dvc.yaml:" in taken.stage.origin for taken in found.proposal.taken)
    return ["mlopsctl import --from-dvc   # what DVC has made already need not run again"] if stages else []
