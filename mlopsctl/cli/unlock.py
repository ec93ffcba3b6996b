"""``mlopsctl unlock`` and ``mlopsctl cancel``: who is at work in this clone, and how to end it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..adapters.git import find_repo
from ..adapters.lock import Holder, break_lock, holder, terminate
from ..errors import MlopsError, StaleError
from . import console


def _lock() -> Path:
    return find_repo(Path.cwd()).common_dir / "mlops" / "lock"


def unlock(
    deployment: Annotated[
        str, typer.Argument(help="A deployment whose announced change came to no end; default: the lock of this clone.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Break a lock whose holder cannot be seen from this machine.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the trail; for a deployment.")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Neither fetch nor push the trail.")] = False,
) -> int:
    """Say who holds the lock of this clone or of a deployment, and break it where its holder is gone.

    The system frees the lock of a command that ended or was killed. Only a lock that is held from another machine, or
    from another container, may have to be broken by hand; that of a command that is at work here never is.

    A deployment that several clones can change is locked by an entry, which announces the change and stands until
    another one says how it ended. No time ends it. Where whoever announced it has gone, --force does, by an entry of
    yours.

    Examples:

      mlopsctl unlock

      mlopsctl unlock --force

      mlopsctl unlock production --force --reason "the runner is gone"
    """
    if deployment:
        return _unlock_deployment(deployment, force=force, reason=reason, offline=offline)
    path = _lock()
    found = holder(path)
    if found is None:
        console.out("The lock is free: no mlopsctl is at work in this clone.")
        return 0
    if found.lives():
        raise StaleError(
            f"the lock is held by {found}, which is at work",
            hint="wait until it is done, or end it in good order: mlopsctl cancel",
            code="MLO6012",
        )
    if not force:
        raise StaleError(
            f"the lock is held by {found}, and from here nobody can see whether it is at work",
            hint="look there; if it is gone for certain: mlopsctl unlock --force",
            code="MLO6013",
        )
    break_lock(path)
    console.out(f"Broke the lock of {found}.")
    return 0


def _unlock_deployment(name: str, *, force: bool, reason: str, offline: bool) -> int:
    """Ends what others announced and never finished. Raises StaleError where somebody may be at work, without --force."""
    from ..intents import INTENT
    from .announce import freshen
    from .announced import aged, open_intents
    from .project import open_project
    from .share import share_trail
    from .switch import deployment_of, refuse_review

    project = open_project()
    project.need_log()
    project.need_trail(offline=offline)
    want = deployment_of(project, name)
    refuse_review(str(want.address))
    if not offline:
        freshen(project)
    found = open_intents(project, want.address)
    if not found:
        console.out(f"Nobody is changing {want.address}, as far as this trail knows.")
        return 0
    said = "; ".join(f"{one}, {aged(one)} ago" for one in found)
    if not force:
        raise StaleError(
            f"{want.address} is being changed: {said}; from here nobody can see whether that is still at work",
            hint=f"ask there; if it has gone for certain: mlopsctl unlock {want.address.typed} --force",
            code="MLO6025",
        )
    facts = {"lifts": [one.entry for one in found], "reason": reason}
    project.trail.append(INTENT, address=str(want.address), facts=facts, commit=project.repo.rev("HEAD"))
    project.trail.flush()
    console.out(f"{want.address}: ended without knowing how far it came: {said}")
    console.note(f"look at what runs before the next apply: mlopsctl status {want.address.typed} --refresh")
    return 0 if offline else share_trail(project.trail, project.repo)


def cancel(
    wait: Annotated[float, typer.Option("--wait", min=0, help="How many seconds to wait for its end.")] = 30.0,
) -> int:
    """End the mlopsctl that is at work in this clone, as Ctrl-C would: nothing is left half-done.

    What it runs is ended too. What it finished stays, and the next apply goes on from there.

    Examples:

      mlopsctl cancel
    """
    path = _lock()
    found = holder(path)
    if found is None:
        console.out("Nothing to cancel: no mlopsctl is at work in this clone.")
        return 0
    if not found.lives():
        raise StaleError(
            f"{found} cannot be reached from here",
            hint=f"end it there: kill {found.pid}" if found.pid else "look for it with: ps ax | grep mlopsctl",
            code="MLO6014",
        )
    try:
        terminate(found)
    except PermissionError:
        raise MlopsError(
            f"{found} belongs to another user",
            hint=f"ask them, or as them: kill {found.pid}",
            code="MLO6015",
        ) from None
    _await_end(path, found, wait)
    console.out(f"Ended {found}.")
    return 0


def _await_end(path: Path, found: Holder, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (now := holder(path)) is not None and now.mark == found.mark:
        if time.monotonic() >= until:
            raise StaleError(
                f"{found} was asked to end and has not yet",
                hint="it waits for what it runs; mlopsctl unlock says when it is gone",
                code="MLO6016",
            )
        time.sleep(0.1)
