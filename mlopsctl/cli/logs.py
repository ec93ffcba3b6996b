"""``mlopsctl logs``: what a step or a deployment wrote."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MlopsError
from . import console
from .project import open_project


def logs(
    address: Annotated[str, typer.Argument(help="A step, for example train.classifier, or a deployment.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on printing what is added.")] = False,
) -> int:
    """Print the log of the newest attempt of a step, or of a running deployment.

    Examples:

      mlopsctl logs train.classifier

      mlopsctl logs deployments.local -f
    """
    project = open_project()
    want = project.resource(address)
    path = project.log_file(want.address)
    if want.address.section == "deployments":
        logs = [project.state / "deployments" / name / "server.log" for name in project.trail.names(want.address)]
        path = next((log for log in logs if log.is_file()), logs[0])
    if not path.is_file():
        raise MlopsError(
            f"{want.address} has written no log in this clone",
            hint="logs stay on the machine that ran the step; mlopsctl apply runs what is outdated",
            code="MLO1014",
        )
    _print(path, follow)
    return 0


def _print(path: Path, follow: bool) -> None:
    with path.open(encoding="utf-8", errors="replace") as log:
        while True:
            line = log.readline()
            if line:
                console.out(line.rstrip("\n"))
            elif follow:
                time.sleep(0.2)
            else:
                return
