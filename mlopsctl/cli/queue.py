"""Records of what was done before it could be signed: kept in the clone until a verb with a key signs them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any

from ..adapters.files import write_atomically
from ..errors import MlopsError
from ..types import Json
from . import console
from .project import Project


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


def sign_queued(project: Project) -> None:
    """Signs every record that waits, in order. Raises MlopsError where this clone cannot sign."""
    waiting = queued(project.state)
    for record in waiting:
        project.trail.append(
            record.kind,
            address=record.address,
            facts=dict(record.facts),
            commit=project.repo.rev("HEAD"),
            location=str(record.facts.get("location", "")),
        )
        record.path.unlink(missing_ok=True)
    if waiting:
        project.trail.flush()


def try_to_sign(project: Project) -> bool:
    """``sign_queued``; False, with a line that says why, where this clone cannot sign now."""
    try:
        sign_queued(project)
    except MlopsError as error:
        console.note(f"not signed yet: {error.message}")
        return False
    return True
