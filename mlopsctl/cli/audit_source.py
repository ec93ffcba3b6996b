"""Whose trail an audit verb reads: the project's, that of a clone with nothing but the trail, or an exported folder's."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..adapters.git import find_repo
from ..adapters.signatures import verify_signature
from ..adapters.trail_index import TrailIndex
from ..audit.fixed_log import FixedLog, fixed_trail
from ..audit.offline import stated
from ..audit.past import as_of
from ..audit.sharing import adopt_fetched, fetch_state
from ..audit.trail import TrailLog
from ..audit.verify import Expected
from ..errors import MlopsError, UsageError
from .project import Project, open_readable
from .trail import open_trail, warn

if TYPE_CHECKING:
    from ..adapters.folder import Folder

Offline = Annotated[
    Path | None,
    typer.Option("--offline", metavar="FOLDER", help="Read a folder made by audit export; needs no repository."),
]
Root = Annotated[str, typer.Option("--root", metavar="ID", help="The root entry to expect in that folder.")]
At = Annotated[
    str, typer.Option("--at", metavar="TIME|ENTRY", help="As the trail stood then: a day, a UTC moment or an entry.")
]

_DAY = r"\d{4}-\d\d-\d\d"


def audit_trail(offline: Path | None = None, root: str = "", at: str = "") -> TrailLog:
    """The trail that the options name. Raises MlopsError where there is none, UsageError for malformed options."""
    if root and offline is None:
        raise UsageError(
            "--root goes with --offline",
            hint="a clone pins its root: mlopsctl trust pin ID, or MLOPS_TRUST_ROOT=ID",
            code="MLO7242",
        )
    when = at if not at or re.fullmatch(r"[0-9a-f]{4,64}", at) else day_end(at, "--at")
    trail = folder_trail(offline, root)[0] if offline is not None else here()[0]
    return as_of(trail, when, TrailIndex(None)) if when else trail


def here() -> tuple[TrailLog, Path, Project | None]:
    """The trail around the current folder, the clone's own folder of mlopsctl, and the project where there is one."""
    project = None
    try:
        project = open_readable()
        trail, state = project.trail, project.state
    except MlopsError as error:
        if error.code not in ("MLO1006", "MLO1007"):
            raise
        repo = find_repo(Path.cwd())
        state = repo.common_dir / "mlops"
        trail = open_trail(repo, state)
    if fetch_state(trail) == "missing":
        warn(adopt_fetched(trail))
    if fetch_state(trail) == "missing":
        raise MlopsError("this clone has not fetched the trail yet", hint="mlopsctl pull --trail-only", code="MLO8005")
    return trail, state, project


def folder_trail(path: Path, root: str = "") -> tuple[TrailLog, Folder]:
    """The trail in an exported folder, and the folder as it was read.

    Its root is trusted only where ``root`` or MLOPS_TRUST_ROOT names it.
    """
    from ..adapters.folder import read_folder, tree_files
    from ..gitobjects import tree_oid

    if root and not re.fullmatch(r"[0-9a-f]{64}", root):
        raise UsageError(f"--root {root} is no entry's id", hint="64 hexadecimal digits", code="MLO7242")
    folder = read_folder(path)
    bodies = {name: file.read_bytes() for name, file in folder.below("notes").items()}
    code: dict[str, dict[str, Path]] = {}
    for name, file in folder.below("code").items():
        tree, _, rest = name.partition("/")
        code.setdefault(tree, {})[rest] = file
    listed = {tree: tree_files(files) for tree, files in code.items()}
    kept = frozenset(tree for tree, files in listed.items() if tree_oid(files) == tree)
    log = FixedLog(bodies, kept, lambda oid: listed.get(oid, {}))
    pinned = root or os.environ.get("MLOPS_TRUST_ROOT", "")
    named = str(stated(folder.read("trail.json")).get("log", ""))
    return fixed_trail(log, Expected(named, pinned), verify_signature, TrailIndex(None)), folder


def day_start(text: str, option: str) -> str:
    """The first moment of a day, or the UTC moment itself. Raises UsageError."""
    return _moment(text, option, "00:00:00")


def day_end(text: str, option: str) -> str:
    """The last moment of a day, or the UTC moment itself. Raises UsageError."""
    return _moment(text, option, "23:59:59")


def _moment(text: str, option: str, clock: str) -> str:
    from datetime import datetime

    whole = f"{text}T{clock}Z" if re.fullmatch(_DAY, text) else text
    try:
        if not re.fullmatch(_DAY + r"T\d\d:\d\d:\d\dZ", whole):
            raise ValueError
        datetime.strptime(whole, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise UsageError(
            f"{option} {text} is no time",
            hint="a day such as 2026-11-01, or a UTC moment such as 2026-11-01T12:00:00Z",
            code="MLO7240",
        ) from None
    return whole
