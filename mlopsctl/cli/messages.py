"""The full words of the newest failure of each step: kept on this machine, never in the trail."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..adapters.files import write_atomically
from ..serving.files import read_json
from ..types import Entry


def _file(state: Path, address: str) -> Path:
    return state / "logs" / f"{address}.failure.json"


def keep_message(state: Path, entry: Entry, message: str) -> None:
    """Keeps what a failure said beside its log; a full disk stops nothing."""
    import json

    with suppress(OSError):
        path = _file(state, entry.address)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"entry": entry.id, "message": message}).encode(), 0o600)


def in_full(entry: Entry | None, state: Path) -> Entry | None:
    """The entry of a failure with the words that this machine still has of it."""
    if entry is None or entry.kind != "failure" or not entry.address:
        return entry
    kept = read_json(_file(state, entry.address)) or {}
    if kept.get("entry") != entry.id:
        return entry
    return entry._replace(facts={**entry.facts, "message": str(kept.get("message", ""))})
