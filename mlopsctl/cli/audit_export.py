"""``mlopsctl audit export``: the trail for others, as an in-toto bundle or as a folder that verifies without the repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..adapters.files import write_atomically
from ..adapters.store import LocalStore
from ..audit.checks import verify as verify_trail
from ..audit.export import artifact_digests, bundle, folder_files, rests_on
from ..audit.trace import trace
from ..audit.trail import TrailLog
from ..audit.vsa import summary_line
from ..errors import MlopsError, UsageError
from ..types import Digest, Entry
from . import console
from .audit_source import here
from .project import Project


def export(
    what: Annotated[
        str, typer.Argument(help="Only what this rests on: an address such as deployments.local, or an entry's id.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where the bundle goes; default: stdout.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Write a folder that verifies without the repository instead."),
    ] = None,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="With --folder: the models and artifacts too, all or those of WHAT.")
    ] = False,
    vsa: Annotated[
        bool, typer.Option("--vsa", help="Add a SLSA verification summary of WHAT, signed by you, to the bundle.")
    ] = False,
) -> int:
    """Hand the trail to others: an in-toto bundle (one DSSE envelope a line), or a folder for an auditor.

    The folder holds every entry, since one counts only with all before it, the policies, keys, code and signatures.
    `mlopsctl audit verify --offline DIR` checks it anywhere. Datasets are never exported.

    Examples:

      mlopsctl audit export deployments.local -o deployment.intoto.jsonl

      mlopsctl audit export targets.cpu --vsa -o artifact.intoto.jsonl

      mlopsctl audit export --folder ../for-the-auditor --artifacts
    """
    if folder is not None and output is not None:
        raise UsageError("a bundle (-o) or a folder (--folder), not both", hint="run it twice", code="MLO7242")
    if artifacts and folder is None:
        raise UsageError("--artifacts goes with --folder", hint="a bundle holds entries only", code="MLO7242")
    if vsa and (folder is not None or not what):
        raise UsageError(
            "--vsa goes with a bundle for one WHAT", hint="audit export deployments.local --vsa", code="MLO7242"
        )
    trail, state, project = here()
    _warn(trail)
    if folder is not None:
        _folder(trail, _stores(state, project), folder, _about(trail, what) if artifacts else [])
        return 0
    wanted = {entry.id for entry in rests_on(trail, named(trail, what))} if what else None
    lines = list(bundle(trail, wanted))
    if vsa:
        valid = verify_trail(trail.ledger).ok
        lines.append(summary_line(trail, trace(trail, named(trail, what)), lines, valid=valid))
    text = b"".join(line + b"\n" for line in lines)
    if output is None:
        sys.stdout.write(text.decode())
        return 0
    write_atomically(output, text)
    console.out(f"{output}: {len(lines)} attestations")
    return 0


def named(trail: TrailLog, what: str) -> Entry:
    """The newest result of an address, or the entry whose id begins so. Raises MlopsError."""
    entry = trail.latest(what) if "." in what else trail.find(what)
    if entry is None:
        raise MlopsError(
            f"the trail has no result for '{what}'", hint="mlopsctl audit log shows addresses", code="MLO7115"
        )
    return entry


def _about(trail: TrailLog, what: str) -> list[Entry]:
    return rests_on(trail, named(trail, what)) if what else trail.entries("", ("result", "import"))


def _warn(trail: TrailLog) -> None:
    found = trail.problems()
    if found:
        console.note(f"warning: the trail has {len(found)} findings, and a folder carries them along: audit verify")


def _stores(state: Path, project: Project | None) -> list[LocalStore]:
    mirror = project.mirror if project is not None else None
    return [store for store in (LocalStore(state / "store"), mirror) if store is not None]


def _folder(trail: TrailLog, stores: list[LocalStore], destination: Path, entries: list[Entry]) -> None:
    from ..adapters.folder import new_folder, put, sums_digest

    def read(digest: Digest) -> bytes | None:
        store = next((store for store in stores if store.has(digest)), None)
        return store.path(digest).read_bytes() if store is not None else None

    missing = 0
    with new_folder(destination) as place:
        for name, body, executable in folder_files(trail, read):
            put(place, name, body, executable)
        for digest in artifact_digests(entries):
            store = next((store for store in stores if store.has(digest)), None)
            if store is None:
                missing += 1
                console.note(f"  not here: {digest}")
                continue
            store.checkout(digest, place / "artifacts" / digest.replace(":", "-"), synced=True)
    console.out(f"{destination}: the whole trail, root entry {trail.entries('', ('root',))[0].id}")
    console.out(f"  SHA256SUMS  {sums_digest(destination)}")
    console.note(f"  check it anywhere: mlopsctl audit verify --offline {destination} --root ID")
    if missing:
        raise MlopsError(
            f"{missing} artifacts are in no store here, and the folder goes without them",
            hint="mlopsctl pull fetches what was pushed",
            code="MLO7244",
        )
