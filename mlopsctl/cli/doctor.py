"""``mlopsctl doctor``: is this machine and this project ready, and what would help where not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MlopsError, UsageError
from . import console
from .check import NOTE, OK, PROBLEM, Check
from .doctor_sharing import sharing

if TYPE_CHECKING:
    from ..adapters.git import Repo

_COLOUR = {OK: "green", NOTE: "yellow", PROBLEM: "red"}

# extra -> the module it brings, what it is for
EXTRAS = {
    "dvc": ("dvc", "DVC beside mlopsctl (dvc pull, dvc push)"),
    "parquet": ("pyarrow", "Parquet datasets"),
    "s3": ("boto3", "S3 clients in training code"),
    "docker": ("docker", "Docker clients in training code"),
    "schema": ("jsonschema", "checks of manifests against the JSON Schema"),
    "git": ("git", "GitPython in training code"),
    "logs": ("structlog", "structured logs in training code"),
    "templates": ("jinja2", "templates in training code"),
    "pkcs11": ("pkcs11", "signing keys in smart cards and HSMs"),
}
CORE = (
    "typer",
    "yaml",
    "numpy",
    "onnx",
    "onnxruntime",
    "cryptography",
    "model_signing",
    "uvloop",
    "httptools",
    "msgspec",
)
TOOLS = {"docker": "containers", "g++": "programs in C++", "strace": "tracing what a command touches"}
SANDBOX = {
    "landlock": "training sees named folders only (landlock)",
    "namespaces": "the project is hidden from training (namespaces)",
    "export": "training runs in a folder of its own and can read the rest of the machine",
}


def doctor(
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
) -> int:
    """Looks at this machine and this project and says what is missing, and how to get it. Changes nothing.

    Exit code 1 when something has to be mended.

    Examples:

      mlopsctl doctor

      mlopsctl doctor --format json
    """
    if format not in ("text", "json"):
        raise UsageError(f"--format {format} is not written here", hint="one of text, json", code="MLO6401")
    checks = list(everything())
    broken = [check for check in checks if check.state == PROBLEM]
    if format == "json":
        import json

        document = {"schema_version": 1, "ok": not broken, "checks": [asdict(check) for check in checks]}
        console.out(json.dumps(document, indent=2, ensure_ascii=False))
        return 1 if broken else 0
    width = max(len(check.name) for check in checks)
    for check in checks:
        console.out(f"{console.paint(f'{check.state:<7}', _COLOUR[check.state])}  {check.name:<{width}}  {check.text}")
        if check.fix:
            console.out(f"{'':<7}  {'':<{width}}  fix: {check.fix}")
    console.out("")
    console.out(f"{len(broken)} to mend" if broken else "ready")
    return 1 if broken else 0


def everything() -> Iterator[Check]:
    """All checks; one that fails unforeseen is itself a finding."""
    for look in (_python, _git, _packages, _extras, _sandbox, _tools, _compilers, _key):
        yield from _guarded(look)
    yield from _guarded(_project)


def _guarded(look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except MlopsError as error:
        yield Check(look.__name__.strip("_"), PROBLEM, error.message, error.hint)


def _python() -> Iterator[Check]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    # An old interpreter can start this file from a checkout.
    fine = tuple(sys.version_info) >= (3, 11)
    fix = "" if fine else "install Python 3.11 or newer and make a new virtual environment"
    yield Check("python", OK if fine else PROBLEM, f"{found} ({sys.executable})", fix)


def _git() -> Iterator[Check]:
    import re

    from ..adapters.git import git

    text = git(Path("/"), "--version").stdout.decode().strip()
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    fine = numbers >= (2, 30)
    yield Check("git", OK if fine else PROBLEM, text, "" if fine else "install git 2.30 or newer")
    identity = git(Path.cwd(), "var", "GIT_COMMITTER_IDENT", check=False).returncode == 0
    if not identity:
        fix = "git config --global user.name NAME && git config --global user.email ADDRESS"
        yield Check("git identity", PROBLEM, "git does not know who you are, so nothing can be committed", fix)


def _installed(module: str) -> bool:
    """Whether a package can be imported; finding it runs nothing of it."""
    from importlib.util import find_spec

    return find_spec(module) is not None


def _packages() -> Iterator[Check]:
    absent = [name for name in CORE if not _installed(name)]
    if absent:
        yield Check(
            "packages", PROBLEM, f"not installed: {', '.join(absent)}", "pip install --force-reinstall mlopsctl"
        )
    else:
        yield Check("packages", OK, "the core packages are installed")


def _extras() -> Iterator[Check]:
    have = [name for name, (module, _) in EXTRAS.items() if _installed(module)]
    yield Check("extras", OK, f"installed: {', '.join(have) or 'none'}")
    for name, (module, purpose) in EXTRAS.items():
        if not _installed(module):
            yield Check(f"extra {name}", NOTE, f"not installed; it is for {purpose}", f"pip install 'mlopsctl[{name}]'")


def _sandbox() -> Iterator[Check]:
    from ..adapters.sandbox import strongest_mode

    mode = strongest_mode()
    if mode == "export":
        yield Check("sandbox", NOTE, SANDBOX[mode], "a kernel with landlock (5.13 or newer), or user namespaces")
    else:
        yield Check("sandbox", OK, SANDBOX[mode])


def _tools() -> Iterator[Check]:
    for tool, purpose in TOOLS.items():
        found = shutil.which(tool)
        if found:
            yield Check(tool, OK, found)
        else:
            yield Check(tool, NOTE, f"not found; it is for {purpose}", "install it with your system's packages")


def _compilers() -> Iterator[Check]:
    from ..adapters.tools import TOOLS, find

    for name, tool in TOOLS.items():
        if place := find(name):
            yield Check(name, OK, f"{'installed' if tool.module else place}; {tool.purpose}")
        else:
            yield Check(name, NOTE, f"not installed; it is for {tool.purpose}", tool.install)


def _key() -> Iterator[Check]:
    from ..adapters.keys import default_key, load_signer
    from ..verifiers import asks_for_identity

    if asks_for_identity(chosen := os.environ.get("MLOPS_KEY", "")):
        yield Check("key", OK, f"none: this machine signs as an identity, by Sigstore (MLOPS_KEY={chosen})")
        return
    path = default_key()
    if path is None:
        yield Check("key", NOTE, "no signing key is chosen", "mlopsctl key new NAME, or set MLOPS_KEY to a key's name")
        return
    if not path.is_file():
        yield Check("key", PROBLEM, f"there is no key at {path}", "mlopsctl key new NAME, or correct MLOPS_KEY")
        return
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        yield Check("key", PROBLEM, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    else:
        signer = load_signer(path)
        yield Check("key", OK, f"{path} (mode {mode:o}): {signer.kind}; signs in {signer.scheme}")


def _project() -> Iterator[Check]:
    from .project import open_project

    try:
        project = open_project()
    except MlopsError as error:
        state = NOTE if error.code in ("MLO1004", "MLO1006") else PROBLEM
        place = f"{error.where}: " if error.where else ""
        yield Check("project", state, f"{place}{error.message}", error.hint)
        return
    yield Check("project", OK, f"{project.manifest.project.name}, {len(project.resources)} resources")
    if project.manifest.project.log:
        yield Check("trail", OK, f"log {project.manifest.project.log}")
    else:
        yield Check("trail", PROBLEM, "the manifest names no log, so nothing can be recorded", "mlopsctl init")
    yield from _remotes(project.repo)
    yield from sharing(project.repo)
    yield from _disk(project.state)


def _remotes(repo: Repo) -> Iterator[Check]:
    from ..adapters.notes import NotesLog, tracking_ref

    log = NotesLog(repo)
    names = repo.remotes()
    if not names:
        yield Check("remote", NOTE, "no git remote: the trail stays on this machine", "git remote add origin URL")
    for name in names:
        theirs = log.tip(tracking_ref(name))
        if not theirs:
            yield Check(f"remote {name}", NOTE, "its trail was not fetched yet", "mlopsctl pull --trail-only")
        elif theirs == log.tip():
            yield Check(f"remote {name}", OK, "has the same trail as this clone, at the last fetch")
        else:
            yield Check(f"remote {name}", NOTE, "has another trail than this clone", "mlopsctl pull && mlopsctl push")


def _disk(state: Path) -> Iterator[Check]:
    folder = next(path for path in (state, *state.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        yield Check("disk", PROBLEM, f"{folder} is not writable", "check its owner and mount")
    elif free < 1:
        yield Check("disk", PROBLEM, f"{free:.1f} GiB free in {folder}", "free some space: outputs are kept there")
    else:
        yield Check("disk", OK, f"{free:.0f} GiB free in {folder}")
