"""``mlopsctl audit adopt``: own results that a key without the role made, signed again now that it has the role."""

from __future__ import annotations

from typing import Annotated

import typer

from ..audit.changes import needed_policy
from ..audit.code import CodeTree
from ..audit.trail import TrailLog
from ..audit.trust import role_of
from ..errors import EvidenceError
from ..types import Address, Entry
from . import console
from .project import open_project


def adopt(
    address: Annotated[str, typer.Argument(help="Only results of this address; globs allowed.")] = "*",
) -> int:
    """Sign results of this machine again, which until now counted here only.

    A grant counts from the entry on that made it. What was made before is vouched for anew, by whoever made it.

    Examples:

      mlopsctl audit adopt

      mlopsctl audit adopt 'train.*'
    """
    project = open_project()
    project.need_log()
    trail = project.trail
    policy = needed_policy(trail)
    own = [
        entry
        for entry in trail.entries(kinds=("result",))
        if not entry.trusted and Address.parse(entry.address).matches(address)
    ]
    done = 0
    for entry in own:
        standing = trail.result(entry.made_from)
        if standing is not None and standing.trusted:
            continue
        if not policy.may(policy.name_of(project.signer().key), role_of("result", entry.address)):
            raise EvidenceError(
                f"the key has no role for {entry.address} yet",
                hint="a holder of the root key grants it: trust.yaml, then mlopsctl trust apply",
                code="MLO7105",
            )
        new = trail.append(
            "result",
            address=entry.address,
            status=entry.status,
            made_from=entry.made_from,
            ingredients=entry.ingredients,
            outputs=entry.outputs,
            facts={**entry.facts, "adopts": entry.id},
            made_with=entry.made_with,
            commit=entry.commit,
            code=_code(trail, entry),
            supersedes=entry.supersedes,
        )
        console.out(f"adopted: {entry.address}  {entry.id[:12]} -> {new.id[:12]}")
        done += 1
    trail.flush()
    console.out(f"{done} results adopted")
    return 0


def _code(trail: TrailLog, entry: Entry) -> CodeTree | None:
    """The code tree of the old entry, which git still has. Raises EvidenceError where it was collected."""
    if not entry.tree:
        return None
    if not trail.code_files(entry.tree):
        raise EvidenceError(
            f"the code of {entry.address} is gone from this clone, and a result without it cannot be shared",
            hint=f"make it again: mlopsctl apply --replace {entry.address}",
            code="MLO7219",
        )
    return CodeTree(entry.tree, ())
