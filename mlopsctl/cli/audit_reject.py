"""``mlopsctl audit reject``: puts a line aside that was merged and never was valid."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..audit.rejecting import reject as sign_rejection
from ..errors import UsageError
from . import console
from .options import Format, check_format
from .project import open_project


def reject(
    entry: Annotated[
        str, typer.Argument(help="The entry's id, the sha256 of its line, or NOTE:LINE; how it begins is enough.")
    ],
    reason: Annotated[str, typer.Option(help="Why; everybody who reads the trail sees it.")],
    format: Format = "text",
) -> int:
    """Put a line aside that never was valid, so that the trail verifies again; it stays, and is named as a warning.

    A valid entry cannot be rejected, and what is missing is brought back instead. Needs the role govern.

    Examples:

      mlopsctl audit reject 3f2a9c01 --reason "pushed with a key that was never admitted"
    """
    check_format(format)
    if not reason.strip():
        raise UsageError("a rejection says why", hint='--reason "…"', code="MLO6400")
    project = open_project()
    project.need_trail()
    finding, made = sign_rejection(project.trail, entry, reason.strip(), project.repo.rev("HEAD"))
    if format == "json":
        shown = {"schema_version": 1, "rejected": finding.as_json(), "entry": made.id}
        console.out(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    console.out(f"rejected {finding.entry[:12]} ({finding.code}: {finding.message})")
    console.out(f"signed by {made.signer} as entry {made.id[:12]}; mlopsctl push shares it")
    return 0
