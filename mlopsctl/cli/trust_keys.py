"""``mlopsctl trust revoke`` and ``rotate``: keys that sign no more, or another one in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..adapters.files import write_atomically
from ..audit.changes import Proposal, needed_policy, propose, rotated, without, would_lose
from ..audit.policy_text import policy_yaml
from . import console
from .project import Project
from .trust import TRUST, Out, Reason, Yes, differences, public_half, sign, writable


def revoke(
    name: Annotated[str, typer.Argument(help="The signer whose key is retired.")],
    last_good: Annotated[
        list[str] | None,
        typer.Option(
            "--last-good", metavar="ENTRY", help="The last entries to believe; default: all that is here now."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would stop counting.")] = False,
    reason: Reason = "",
    yes: Yes = False,
    out: Out = None,
) -> int:
    """Retire a signer's key: what it signed counts only up to the last good entry, wherever and whenever it turns up.

    Examples:

      mlopsctl trust revoke bob --reason "left the team"

      mlopsctl trust revoke ci --last-good 3f9a1c --dry-run
    """
    project = writable()
    policy = needed_policy(project.trail)
    good = [project.trail.find(entry).id for entry in last_good or ()] or project.trail.tips()
    content = without(policy, name, good, reason)
    lost = would_lose(project.trail, policy, name, good)
    for entry in lost:
        console.out(f"  stops counting: {entry.id[:12]}  {entry.at}  {entry.kind}  {entry.address}".rstrip())
    console.out(f"{len(lost)} entries by {name} stop counting")
    if dry_run:
        return 0
    given = propose(project.trail, content, project.signer(), reason, project.repo.rev("HEAD"))
    code = sign(project, given, differences(policy, given.policy), yes, out)
    _write(project, given)
    return code


def rotate(
    name: Annotated[str, typer.Argument(help="The signer who gets another key.")],
    key: Annotated[Path, typer.Option("--key", help="The new key's public half, for example bob.pub.")],
    yes: Yes = False,
    out: Out = None,
) -> int:
    """Give a signer a new key: a checkpoint first, so that all signed with the old one keeps counting, and no more of it.

    Examples:

      mlopsctl key new bob-2027 && mlopsctl trust rotate bob --key ~/.config/mlops/keys/bob-2027.pub
    """
    from ..audit.checkpoints import write_checkpoint

    project = writable()
    policy = needed_policy(project.trail)
    new = public_half(key)
    rotated(policy, name, new, ())  # refused before anything is signed
    checkpoint = write_checkpoint(project.trail, f"before the key of {name} is rotated", project.repo.rev("HEAD"))
    content = rotated(policy, name, new, [checkpoint.id])
    given = propose(project.trail, content, project.signer(), f"rotate {name}", project.repo.rev("HEAD"))
    code = sign(project, given, differences(policy, given.policy), yes, out)
    _write(project, given)
    return code


def _write(project: Project, given: Proposal) -> None:
    """Brings trust.yaml up to what was signed: it would propose the old key again otherwise."""
    place = project.root / TRUST if (project.root / TRUST).is_file() else project.repo.root / TRUST
    write_atomically(place, policy_yaml(given.policy.content).encode())
    console.note(f"{TRUST} was written anew")
