"""Options that many verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError

Format = Annotated[str, typer.Option("--format", help="text or json.")]


def check_format(format: str, known: tuple[str, ...] = ("text", "json")) -> None:
    """Raises UsageError for a format this verb does not write."""
    if format not in known:
        raise UsageError(f"--format {format} is not written here", hint="one of " + ", ".join(known), code="MLO6401")
