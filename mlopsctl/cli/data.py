"""``mlopsctl data``: add, ls, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..adapters.git import find_repo
from ..errors import EvidenceError, MlopsError, UsageError
from ..plan import Assessment, survey
from ..registry import provider
from . import console
from .options import Format, check_format
from .project import Project, open_project
from .world import ProjectWorld


def add(paths: Annotated[list[Path], typer.Argument(help="Data files or folders that git does not track.")]) -> int:
    """Pin files or folders as DVC datasets: a small .dvc file for git, the bytes in DVC's cache.

    Examples:

      mlopsctl data add data/images
    """
    from ..adapters.dvcadd import add as pin

    for path in paths:
        repo = find_repo(path.parent)
        if repo.bare:
            raise MlopsError("a bare repository holds no data files", hint="run this in a clone", code="MLO1123")
        done = pin(repo, path, console.note)
        count = f"{done.pin.nfiles:,} files, " if done.pin.nfiles is not None else ""
        if done.changed:
            console.out(f"pinned {path} ({count}{readable(done.pin.size)}) in {path}.dvc")
            here = Path.cwd()
            names = [str(one.relative_to(here)) if one.is_relative_to(here) else str(one) for one in done.to_commit]
            console.note("  next: git add " + " ".join(names))
        else:
            console.out(f"{path} is pinned already and did not change")
    return 0


def ls(format: Format = "text") -> int:
    """The datasets: rows, views, size, digest, and whether the recorded version is the one that lies here.

    Examples:

      mlopsctl data ls

      mlopsctl data ls --format json
    """
    check_format(format)
    project = open_project()
    project.need_trail()
    found = _datasets(project)
    if format == "json":
        import json

        rows = [_json(one) for one in found]
        console.out(json.dumps({"schema_version": 1, "datasets": rows}, indent=2))
        return 0
    if not found:
        console.note("the manifest declares no data: mlopsctl add data")
        return 0
    lines = [_line(one) for one in found]
    for line in console.table(lines, ("DATASET", "ROWS", "VIEWS", "SIZE", "DIGEST", "STATE")):
        console.out(line)
    return 0


def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Datasets; default: all.")] = None, format: Format = "text"
) -> int:
    """Re-hash every copy of the datasets on this machine and compare with what the trail attests.

    A difference is exit 7.

    Examples:

      mlopsctl data verify

      mlopsctl data verify digits --format json
    """
    check_format(format)
    project = open_project()
    project.need_trail()
    rows, report, bad = [], [], []
    for want, outputs, copies in _checked(project, names or []):
        if not outputs:
            rows.append((want, "", "not recorded yet: mlopsctl apply"))
            report.append({"address": want, "place": None, "state": "unrecorded", "found": None, "wanted": None})
        for copy in copies:
            rows.append((want, copy.place, copy.state))
            report.append(
                {"address": want, "place": copy.place, "state": copy.state, "found": copy.found, "wanted": copy.wanted}
            )
            if copy.state == "differs":
                bad.append(f"{want}: {copy.place}")
    if format == "json":
        import json

        console.out(json.dumps({"schema_version": 1, "ok": not bad, "copies": report}, indent=2))
    else:
        for line in console.table(rows):
            console.out(line)
    if bad:
        raise EvidenceError(
            f"{len(bad)} of {len(rows)} copies are not what the trail attests: " + "; ".join(bad),
            hint="a change made on purpose: mlopsctl apply records it; otherwise bring the bytes back: git checkout or dvc checkout",
            code="MLO1124",
        )
    return 0


def _datasets(project: Project) -> list[Assessment]:
    return [one for one in survey(project.resources, ProjectWorld(project)) if one.step.address.section == "data"]


def _checked(project: Project, names: list[str]) -> Any:
    """(address, attested outputs, copies) of each dataset."""
    from ..providers.data.check import copies

    wanted = [project.resource(name) for name in names] or [
        want for want in project.resources if want.address.section == "data"
    ]
    for want in wanted:
        if want.address.section != "data":
            hint = "mlopsctl data ls names them; mlopsctl audit verify checks everything else"
            raise UsageError(f"{want.address} is no dataset", hint=hint, code="MLO6407")
        entry = project.trail.latest(want.address)
        path = getattr(want.spec, "path", "")
        if entry is None or "all" not in entry.outputs or not path:
            yield str(want.address), {}, ()
            continue
        sources = provider(want.provider).sources(want, project.tree)
        outputs = entry.outputs
        yield str(want.address), outputs, copies(path, sources, outputs, project.root, project.tree, project.store)


def _line(one: Assessment) -> tuple[str, ...]:
    seen = one.seen
    state = "current" if seen else one.step.reason.text
    if seen is None:
        return (str(one.step.address), "-", "-", "-", "-", state)
    rows = seen.facts.get("rows") or {}
    views = " ".join(f"{name} {rows[name]:,}" if name in rows else name for name in seen.outputs if name != "all")
    size = readable(int(seen.facts.get("size") or 0))
    digest = seen.outputs.get("all", "")[:19]
    return (str(one.step.address), f"{rows['all']:,}" if "all" in rows else "-", views or "-", size, digest, state)


def _json(one: Assessment) -> dict[str, Any]:
    seen = one.seen
    return {
        "address": str(one.step.address),
        "state": "current" if seen else "pending",
        "reason": one.step.reason.text,
        "rows": dict(seen.facts.get("rows") or {}) if seen else {},
        "size": seen.facts.get("size") if seen else None,
        "outputs": dict(seen.outputs) if seen else {},
    }


def readable(size: int) -> str:
    """Bytes in the largest unit that keeps the number at least 1."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
