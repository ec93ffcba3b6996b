"""``mlopsctl validate``: is the manifest right, and where not. Needs nothing but the light core; runs nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..adapters.files import reader, start_of
from ..errors import ManifestError
from ..manifest import Manifest, check_views, load_manifest
from ..manifest.yaml_positions import MAX_BYTES
from ..types import Json
from . import console
from .write import ReportFormat, Write, reports, written

if TYPE_CHECKING:
    from ..render.report import Report


@written("validate")
def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Manifests or their folders; without one, the nearest mlops.yaml.")
    ] = None,
    format: ReportFormat = "text",
    write: Write = None,
) -> int:
    """Checks manifests without running or importing anything of the project.

    Examples:

      mlopsctl validate

      mlopsctl validate services/*/mlops.yaml --format json
    """
    findings: list[ManifestError] = []
    warnings: list[str] = []
    good = 0
    asked = files or [nearest()]
    for path in asked:
        try:
            manifest = _read(path)
        except ManifestError as error:
            findings += [error, *error.others]
            continue
        good += 1
        warnings += manifest.warnings
        if format == "text":
            console.out(f"{manifest.path}: valid, {len(manifest.resources)} resources")
    document = _json(findings, warnings)

    def report() -> Report:
        from ..render.reports import validate_report

        return validate_report([str(path) for path in asked], findings, warnings, document)

    reports(report)
    if format == "json":
        console.out(json.dumps(document, indent=2, ensure_ascii=False))
    elif format == "text":
        _text(findings, warnings)
    return ManifestError.exit_code if findings else 0


def nearest() -> Path:
    """The mlops.yaml of the current folder or of the nearest folder above it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "mlops.yaml").is_file():
            return Path(os.path.relpath(folder / "mlops.yaml"))
    return Path("mlops.yaml")


def _read(path: Path) -> Manifest:
    if path.is_dir():
        path = path / "mlops.yaml"
    try:
        text = start_of(path, MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "mlopsctl init --template quickstart my-project"
        raise ManifestError(f"there is no manifest at {path}", hint=hint, code="MLO3032") from None
    manifest = load_manifest(text, str(path), reader(path.parent))
    check_views(manifest.resources)
    return manifest


def _text(findings: list[ManifestError], warnings: list[str]) -> None:
    for warning in warnings:
        console.note(f"{console.paint('warning', 'yellow', sys.stderr)}: {warning}")
    for item in findings:
        # Each is shown by itself: the list is flat already.
        alone = ManifestError(item.message, hint=item.hint, where=item.where, code=item.code, line=item.line)
        console.show_error(alone)
    if findings:
        many = f"{len(findings)} findings" if len(findings) > 1 else "1 finding"
        console.note(f"{many}; `mlopsctl explain {findings[0].code}` says more")


def _json(findings: list[ManifestError], warnings: list[str]) -> Json:
    """What ``--format json`` prints; see schemas/validate.schema.json."""
    rows = [
        {
            "code": item.code,
            "message": item.message,
            "hint": item.hint,
            "file": item.where.file if item.where else None,
            "line": item.where.line if item.where else None,
            "column": item.where.column if item.where else None,
        }
        for item in findings
    ]
    return {"schema_version": 1, "ok": not findings, "findings": rows, "warnings": warnings}
