"""One opened project: repository, manifest, trail and store, wired together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..adapters.files import start_of
from ..adapters.git import CommitTree, Repo, WorkTree, find_repo
from ..adapters.keys import Signer
from ..adapters.store import LocalStore
from ..audit.trail import TrailLog
from ..errors import ManifestError, MlopsError
from ..manifest import Manifest, load_manifest
from ..manifest.yaml_positions import MAX_BYTES
from ..provider import NO_SCRATCH, Context, Tree
from ..types import Address, Resource
from . import console
from .trail import fetch_first, open_trail, signing_key

if TYPE_CHECKING:
    from ..adapters.keyless_signer import IdentitySigner

MANIFEST = "mlops.yaml"


def _silent(line: str) -> None:
    """Progress that nobody asked for."""


@dataclass
class Project:
    """``root`` is the manifest's folder; ``state`` is shared by all work trees of the repository."""

    repo: Repo
    root: Path
    tree: Tree
    manifest: Manifest

    @property
    def state(self) -> Path:
        return self.repo.common_dir / "mlops"

    @cached_property
    def trail(self) -> TrailLog:
        trail = open_trail(self.repo, self.state, self.manifest.project.log)
        moved = self.manifest.moved.items()
        trail.moved = {str(new): str(old) for new, old in moved if new.section == "deployments"}
        return trail

    def signer(self) -> Signer | IdentitySigner:
        """The key or identity that signs here. Raises EvidenceError where there is none."""
        return signing_key(self.manifest.project.log)

    @cached_property
    def store(self) -> LocalStore:
        return LocalStore(self.state / "store")

    @cached_property
    def mirror(self) -> LocalStore | None:
        """The shared store that the manifest's ``store:`` names."""
        return LocalStore((self.root / self.manifest.store).resolve()) if self.manifest.store else None

    def need_log(self) -> None:
        """Raises MlopsError where no trail was started: only ``init`` does that, never silently."""
        if not self.manifest.project.log:
            raise MlopsError(
                f"{MANIFEST} names no audit trail, and nothing is done unrecorded",
                hint="mlopsctl init, in this folder, starts the trail and makes a key",
                code="MLO1015",
            )

    def need_commit(self) -> None:
        """Raises MlopsError before the first commit: entries name the commit that they are about."""
        if not self.repo.rev("HEAD"):
            raise MlopsError(
                "this repository has no commit yet",
                hint='git add -A && git commit -m "start"',
                code="MLO1016",
            )

    def need_trail(self, *, offline: bool = False) -> None:
        """Fetches a trail that this clone never saw: without it everything would seem to be unmade."""
        if offline or self.trail.tips() or not self.manifest.project.log:
            return
        fetch_first(self.repo, self.trail, self.repo.remotes())

    def need_beginning(self) -> None:
        """Raises MlopsError where nothing that is made could be recorded: the trail that the manifest names is not here."""
        if not self.trail.tips():
            raise MlopsError(
                f"the trail that {MANIFEST} names is in this clone no more than in a remote, and nothing is made unrecorded",
                hint="whoever ran init pushes it: mlopsctl push; then here: mlopsctl pull --trail-only",
                code="MLO8023",
            )

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Every resource, each after those it needs."""
        return self.manifest.resources

    def resource(self, address: str) -> Resource:
        """The declared resource of this address; a bare deployment name is enough. Raises MlopsError."""
        for want in self.resources:
            if address in (str(want.address), want.address.bare):
                return want
        several = [
            want.address
            for want in self.resources
            if address in (want.address.name, f"{want.address.section}.{want.address.name}")
        ]
        if several:
            raise MlopsError(
                f"'{address}' is repeated: {', '.join(map(str, several[:10]))}{' …' if len(several) > 10 else ''}",
                hint=f"name one of them, in quotes: {several[0].typed}",
                code="MLO1059",
            )
        from difflib import get_close_matches

        names = [str(want.address) for want in self.resources]
        near = get_close_matches(address, names, 1)
        raise MlopsError(
            f"the manifest declares no '{address}'" + (f": did you mean '{near[0]}'?" if near else ""),
            hint="it has " + ", ".join(names),
            code="MLO1012",
        )

    def context(self, scratch: Path | None = None, tell: Callable[[str], None] = _silent) -> Context:
        """What providers may use; without ``scratch`` for reading only."""
        return Context(
            root=self.root,
            state=self.state,
            scratch=scratch or NO_SCRATCH,
            tree=self.tree,
            store=self.store,
            trail=self.trail,
            project=self.manifest.project.name,
            tell=tell,
            names=self.names,
        )

    def names(self, address: Address) -> list[Address]:
        """A deployment's address and those that it had before, newest first."""
        return [Address.parse(name) for name in self.trail.names(address)]

    def log_file(self, address: Address) -> Path:
        """Where the full log of the newest attempt of a step is kept."""
        return self.state / "logs" / f"{address}.log"


def find_manifest(start: Path, repo: Repo) -> Path:
    """The folder of the nearest mlops.yaml at or above ``start``, inside the repository. Raises MlopsError."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / MANIFEST).is_file():
            return folder
        if folder == repo.root:
            break
    raise MlopsError(
        f"there is no {MANIFEST} in {start} or above it in this repository",
        hint="mlopsctl init --from-existing proposes one; -C DIR names another folder",
        code="MLO1006",
    )


def prefix_of(repo: Repo) -> str:
    """The manifest's folder inside the repository, as git paths have it."""
    if repo.bare:
        return ""
    folder = find_manifest(Path.cwd(), repo)
    return "" if folder == repo.root else folder.relative_to(repo.root).as_posix() + "/"


def open_project(start: Path | None = None, settings: Sequence[str] = ()) -> Project:
    """The project around the current folder, as its files lie on disk; ``settings`` are those of ``--set``.

    Raises MlopsError, and UsageError for a setting that names nothing or does not fit.
    """
    start = start or Path.cwd()
    repo = find_repo(start)
    if repo.bare:
        raise MlopsError(
            "this is a bare repository, which has no working tree",
            hint="run this in a clone; mlopsctl diff A..B works here",
            code="MLO1007",
        )
    root = find_manifest(start, repo)
    tree = WorkTree(repo, root)
    text = start_of(root / MANIFEST, MAX_BYTES + 1)
    if settings:
        from ..manifest.overlay import load_overlaid

        return Project(repo, root, tree, load_overlaid(text, MANIFEST, tree.read, settings))
    return Project(repo, root, tree, load_manifest(text, MANIFEST, tree.read))


def open_readable() -> Project:
    """The project as it lies there, or as it was committed where its manifest is not valid: what was signed can be read
    while somebody edits, and which trail is expected is known all the same."""
    try:
        return open_project()
    except ManifestError as error:
        repo = find_repo(Path.cwd())
        try:
            found = open_commit(repo, "HEAD", prefix_of(repo))
        except MlopsError:
            raise error from None
        console.note(f"{MANIFEST} is not valid, and read as it was committed: {error.message.splitlines()[0]}")
        return found


def open_commit(repo: Repo, revision: str, prefix: str = "") -> Project:
    """The project as one commit has it; needs no working tree. Raises MlopsError."""
    commit = repo.commit(revision)
    tree = CommitTree(repo, commit, prefix)
    try:
        text = tree.read(MANIFEST)
    except FileNotFoundError:
        raise MlopsError(
            f"commit {commit[:12]} has no {prefix}{MANIFEST}", hint="git log -- mlops.yaml", code="MLO1008"
        ) from None
    return Project(repo, repo.root / prefix, tree, load_manifest(text, f"{revision}:{MANIFEST}", tree.read))
