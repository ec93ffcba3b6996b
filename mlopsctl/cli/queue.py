"""Records of what was done before it could be signed: kept in the clone until a verb with a key signs them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any

from ..adapters.files import write_atomically
from ..errors import EvidenceError, MlopsError
from ..render.text import printable
from ..types import Address, Json
from . import console
from .project import Project

NO_ROLE = "MLO7105"
"""What the trail says to a key that may not sign such an entry."""


@dataclass(frozen=True)
class Queued:
    """One record that still has to be signed."""

    path: Path
    kind: str
    address: str
    facts: Mapping[str, Json]


def queue(state: Path, kind: str, address: str, facts: Mapping[str, Json]) -> Path:
    """Keeps a record, durably. Raises OSError."""
    # Names say the order, so that they never go back where a clock does.
    last = max((int(path.name.partition("-")[0]) for path in (state / "queued").glob("*.json")), default=0)
    path = state / "queued" / f"{max(time_ns(), last + 1):020}-{kind}.json"
    write_atomically(path, json.dumps({"kind": kind, "address": address, "facts": dict(facts)}).encode(), 0o600)
    return path


def queued(state: Path) -> list[Queued]:
    """The records that wait for a signature, oldest first."""
    found = []
    for path in sorted((state / "queued").glob("*.json"), key=lambda path: int(path.name.partition("-")[0])):
        try:
            record: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            continue  # another verb signed it just now
        found.append(Queued(path, record["kind"], record["address"], record["facts"]))
    return found


def sign_queued(project: Project) -> list[Queued]:
    """Signs every record that waits, in order, and says what this key may not sign; those are left, and stop nobody.

    A halt needs no key, so that one may lie here of somebody without the role: it acts until it is resumed, and is
    believed once a signer with the role says so. Raises MlopsError where this clone cannot sign at all.
    """
    waiting, left = queued(project.state), []
    for record in waiting:
        try:
            project.trail.append(
                record.kind,
                address=record.address,
                facts=dict(record.facts),
                commit=project.repo.rev("HEAD"),
                location=str(record.facts.get("location", "")),
            )
        except EvidenceError as error:
            if error.code != NO_ROLE:
                raise
            left.append(record)
            _tell_left(record, error)
            continue
        record.path.unlink(missing_ok=True)
    if len(waiting) > len(left):
        project.trail.flush()
    return left


def drop(records: Iterable[Queued]) -> None:
    """Forgets records, once an entry says what became of them."""
    for record in records:
        record.path.unlink(missing_ok=True)


def _tell_left(record: Queued, error: MlopsError) -> None:
    name = Address.parse(record.address).typed
    reason = f" ({record.facts['reason']})" if record.facts.get("reason") else ""
    console.note(
        printable(
            f"{record.address}: {record.kind} was done here{reason} and is signed by nobody: {error.message}; it acts, and "
            f"is no part of the trail until a signer with the role runs a verb here; mlopsctl resume {name} ends it"
        )
    )


def try_to_sign(project: Project) -> bool:
    """``sign_queued``; False, with a line that says why, where this clone cannot sign all of it now."""
    try:
        return not sign_queued(project)
    except MlopsError as error:
        console.note(f"not signed yet: {error.message}")
        return False
