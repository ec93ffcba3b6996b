"""``mlopsctl import``: takes what exists into the trail: a model, or what a deployment's place runs already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..adapters.lock import locked
from ..adapters.origin import BY_HAND
from ..errors import UsageError
from . import console
from .adoption import adopt_result
from .project import Project, open_project
from .queue import sign_queued
from .share import push_after_apply


def import_(
    address: Annotated[
        str, typer.Argument(metavar="ADDR", help="The resource, for example train.classifier.", show_default=False)
    ] = "",
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The file or folder that it made elsewhere; of a deployment its place, as in to:, or HOST:PORT.",
            show_default=False,
        ),
    ] = "",
    from_dvc: Annotated[
        bool, typer.Option("--from-dvc", help="Take over all that dvc.lock says was made from today's files.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Where it comes from, for the trail.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of a result that stands.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Neither fetch nor push the trail.")] = False,
) -> int:
    """Take over a model that was made elsewhere, or what a deployment's place runs already.

    A model counts as made from today's code, data and settings.

    Nothing is run. The bytes go into the store and are signed with your key; gates measure them like any other model. The
    entry says that they were imported, and no deployment with approvals: runs what nobody verified.

    Of a deployment with use: command its program is asked what runs. An artifact of this trail, good enough for an apply
    today, is taken over; anything else is recorded as unverified, and the next apply replaces it.

    A use: local deployment takes the place of a server on this machine that mlopsctl serve or another clone started: ours is
    started from the attested bytes, both are asked the same rows, and where they answer alike ours takes the port.

    Examples:

      mlopsctl import train.classifier ~/models/model.onnx --reason "trained before we had mlopsctl"

      mlopsctl import train.classifier model.onnx --replace

      mlopsctl import deployments.production

      mlopsctl import deployments.local 127.0.0.1:8080

      mlopsctl import --from-dvc
    """
    running = address.startswith("deployments.")
    if from_dvc == bool(address or source) or bool(address) != bool(source or running):
        raise UsageError(
            "import takes ADDR and SOURCE, or --from-dvc alone",
            hint="mlopsctl import train.classifier model.onnx",
            code="MLO6404",
        )
    project = open_project()
    project.need_log()
    project.need_commit()
    project.need_trail(offline=offline)
    if address and project.resource(address).address.section == "deployments":
        if project.resource(address).provider == "deployments/local":
            from .adopt_local import adopt_local

            return adopt_local(address, source, reason, replace=replace)
        from .adopt_running import adopt_running

        return adopt_running(address, source, reason, replace=replace, offline=offline)
    with locked(project.state / "lock", "mlopsctl import"):
        sign_queued(project)
        if from_dvc:
            from .from_dvc import take_over

            console.out(f"{take_over(project)} result(s) of DVC taken over")
            return 0 if offline else push_after_apply(project)
        want = project.resource(address)
        origin = {"how": BY_HAND, "source": _named(project, Path(source)), **({"reason": reason} if reason else {})}
        made = adopt_result(project, want, {"model": Path(source)}, origin, replace=replace)
    console.out(f"{want.address}: imported as entry {made.entry[:12]}")
    console.note("mlopsctl plan shows what follows from it")
    return 0 if offline else push_after_apply(project)


def _named(project: Project, source: Path) -> str:
    """The source as an entry may name it: no path of this machine."""
    try:
        return source.resolve().relative_to(project.repo.root.resolve()).as_posix()
    except ValueError:
        return source.name
