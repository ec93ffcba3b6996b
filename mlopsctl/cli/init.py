"""``mlopsctl init``: a project from a template, or the trail and keys for a manifest that is there already."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from ..adapters.files import reader, write_atomically
from ..adapters.git import Repo, find_repo, git
from ..adapters.gitconfig import safe_refspec, set_safe_refspec
from ..adapters.keys import Signer, default_key, key_file, load_signer, new_key
from ..errors import MlopsError, UsageError
from ..manifest import load_manifest
from ..manifest.edit import insert_line
from ..resources import ci_job, schema_text, template_dir
from ..verifiers import asks_for_identity
from . import console
from .existing_report import Proposed, say_proposed
from .project import MANIFEST
from .trail import ROOTS, init_trail, new_log_id


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The project's folder; made where it is missing.")
    ] = Path(),
    template: Annotated[str, typer.Option("--template", metavar="NAME", help="Start from this template.")] = "",
    name: Annotated[str, typer.Option("--name", help="The project's name; default: the folder's name.")] = "",
    ci: Annotated[str, typer.Option("--ci", help="Write a CI job: github, gitlab or none.")] = "github",
    existing: Annotated[
        bool,
        typer.Option(
            "--from-existing", help="Propose a manifest for a repository that has DVC, MLproject, scripts or notebooks."
        ),
    ] = False,
    run_notebooks: Annotated[
        bool, typer.Option("--run-notebooks", help="With --from-existing: first run each notebook from top to bottom.")
    ] = False,
) -> int:
    """Start a project: files, git repository, signing key, trust policy, audit trail and CI job.

    Without --template the folder must hold an mlops.yaml, which gets what it lacks. Nothing is overwritten.

    With --from-existing it proposes an mlops.yaml: it reads dvc.yaml, .dvc files, MLproject, Python scripts and
    notebooks, and runs none of them.

    Examples:

      mlopsctl init --template quickstart my-project

      mlopsctl init --from-existing

      mlopsctl init
    """
    if ci not in ("github", "gitlab", "none"):
        raise UsageError(f"--ci {ci} is not known", hint="github, gitlab or none", code="MLO6404")
    folder = folder.resolve()
    proposed = _proposed(folder, template, name, run_notebooks) if existing else None
    if run_notebooks and not existing:
        raise UsageError(
            "--run-notebooks goes with --from-existing",
            hint="mlopsctl init --from-existing --run-notebooks",
            code="MLO6404",
        )
    manifest = proposed.manifest if proposed else _manifest(folder, template, name)
    log = new_log_id()
    named = insert_line(manifest, "project", f"log: {log}")
    load_manifest(named, read=reader(template_dir(template) if template else folder))
    files = {**_files(folder, template, ci), **(proposed.files if proposed else {})}
    _refuse_overwriting(folder, [*files, "trust.yaml"], template)
    _refuse_links(folder, files)
    repo = _repository(folder)
    _refuse_links(repo.root, (ROOTS,))
    signer = _signer()
    _, root, trust = init_trail(repo, repo.common_dir / "mlops", log, signer)
    for path, body in {**files, MANIFEST: named, "trust.yaml": trust.encode()}.items():
        write_atomically(folder / path, body)
    _name_root(repo, log, root.id)
    for remote in set_safe_refspec(repo):
        console.note(f"git config --add remote.{remote}.fetch '{safe_refspec(remote)}': git fetch brings the trail too")
    if proposed:
        say_proposed(proposed)
    _say(folder, repo, signer, log, root.id, proposed)
    return 0


def _proposed(folder: Path, template: str, name: str, run_notebooks: bool) -> Proposed:
    if template:
        raise UsageError(
            "--from-existing starts from what is there, and --template from a template",
            hint="take one of them",
            code="MLO6404",
        )
    from .existing import propose_manifest

    return propose_manifest(folder, name or _slug(folder.name), run_notebooks)


def _manifest(folder: Path, template: str, name: str) -> bytes:
    """The manifest without a log id: the template's, or the one that is there. Raises MlopsError."""
    if template:
        text = (template_dir(template) / MANIFEST).read_text(encoding="utf-8")
        return text.replace("{{ name }}", name or _slug(folder.name)).encode()
    try:
        found = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"there is no {MANIFEST} in {folder}",
            hint="propose one from what is here: mlopsctl init --from-existing; an example to start from: "
            "mlopsctl init --template quickstart my-project",
            code="MLO6405",
        ) from None
    if load_manifest(found, read=reader(folder)).project.log:
        raise MlopsError(
            f"{MANIFEST} has its trail already", hint="in a fresh clone: mlopsctl pull --trail-only", code="MLO1017"
        )
    return found


def _files(folder: Path, template: str, ci: str) -> dict[str, bytes]:
    """Everything else to write, by path below the folder; what is there already is left as it is without a template."""
    files: dict[str, bytes] = {".mlops/schema.json": schema_text().encode()}
    if ci == "github":
        files[".github/workflows/mlops.yml"] = ci_job("github").encode()
    elif ci == "gitlab":
        files[".gitlab-ci.yml"] = ci_job("gitlab").encode()
    if template:
        source = template_dir(template)
        found = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
        files |= {path: place.read_bytes() for path, place in found.items() if path != MANIFEST}
        return files
    return {path: body for path, body in files.items() if not (folder / path).exists()}


def _refuse_overwriting(folder: Path, paths: list[str], template: str) -> None:
    there = [path for path in (*paths, *([MANIFEST] if template else [])) if (folder / path).exists()]
    if there:
        raise MlopsError(
            f"{folder} already has {', '.join(sorted(there)[:5])}",
            hint="take an empty folder: mlopsctl init --template quickstart my-project",
            code="MLO1018",
        )


def _refuse_links(folder: Path, paths: Iterable[str]) -> None:
    """Raises MlopsError where a link in the repository would lead what is written out of it."""
    for path in paths:
        link = next((place for place in PurePosixPath(path).parents if (folder / place).is_symlink()), None)
        if link is not None and str(link) != ".":
            raise MlopsError(
                f"{folder / link} is a link, and {path} would be written to where it leads",
                hint=f"put a folder in its place: rm {link} && mkdir {link}",
                code="MLO1085",
            )


def _repository(folder: Path) -> Repo:
    """The repository that the folder belongs to, or a new one; a folder that an outer repository ignores gets its own."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        repo = find_repo(folder)
    except MlopsError:
        repo = None
    if repo is None or git(folder, "check-ignore", "--quiet", str(folder), check=False).returncode == 0:
        git(folder, "init", "--quiet", "-b", "main")
        return find_repo(folder)
    return repo


def _signer() -> Signer:
    """The user's key, made now where there is none yet. Raises UsageError where an identity is asked for."""
    if asks_for_identity(os.environ.get("MLOPS_KEY", "")):
        raise UsageError(
            "a trail begins with a key: the root of trust must hold without Sigstore",
            hint="unset MLOPS_KEY for init, then let the root key admit the identity: see docs/keyless.md",
            code="MLO7156",
        )
    path = default_key()
    if path is None:
        path = key_file(_slug(getpass.getuser()))
    return load_signer(path) if path.is_file() else new_key(path)


def _slug(text: str) -> str:
    """A name as manifests and keys take it."""
    words = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return words if re.match(r"[a-z]", words) else f"project-{words}".rstrip("-")


def _name_root(repo: Repo, log: str, root: str) -> None:
    """Adds the root entry to those that the repository names: on the default branch, clones believe it."""
    path = repo.root / ROOTS
    before = path.read_bytes() if path.is_file() else b""
    write_atomically(path, before + f"{log} {root}\n".encode())


def _say(folder: Path, repo: Repo, signer: Signer, log: str, root: str, proposed: Proposed | None = None) -> None:
    here = Path.cwd()
    inside = "" if folder == repo.root else f" (part of the repository {repo.root}, whose notes hold the trail)"
    console.out(f"Project ready in {folder}{inside}")
    console.out(f"  trail      log {log[:12]}, root entry {root[:12]}, signed by '{signer.name}'")
    console.out(f"  key        {signer.path} (keep it safe; it is not in the repository)")
    console.out("  policy     trust.yaml: who may attest what")
    console.out("")
    console.out("Next:")
    if folder != here:
        shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
        console.out(f"  cd {shown}")
    console.out('  git add -A && git commit -m "Start with mlopsctl"')
    for line in proposed.next_steps if proposed else ():
        console.out(f"  {line}")
    console.out("  mlopsctl plan")
    console.out("  mlopsctl apply")
