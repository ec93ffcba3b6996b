"""The lines of chosen entries as they were signed, and the keys that they verify with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from ..types import Entry
from ..verifiers import key_id, pem
from .dsse import BadLine, pae
from .entry import Record, proofs, read_line
from .statement import EMPTY_TREE
from .trail import TrailLog


def signed_lines(trail: TrailLog, entries: Iterable[Entry]) -> dict[str, bytes]:
    """Entry id -> its line, in the order of ``entries``; those that never leave this machine have none.

    Anybody may hang another line with the same entry into the notes: one whose signature holds is chosen.
    """
    wanted = {entry.id: entry for entry in entries}
    notes = trail.ledger.index.notes()
    blobs = [notes[name] for name in {entry.commit or EMPTY_TREE for entry in wanted.values()} if name in notes]
    found: dict[str, bytes] = {}
    for line in _all(trail, blobs):
        with suppress(BadLine):
            record = read_line(line)
            if record.id in wanted and record.id not in found and _holds(trail, record):
                found[record.id] = line
    return {entry_id: found[entry_id] for entry_id in wanted if entry_id in found}


def _all(trail: TrailLog, blobs: list[str]) -> Iterator[bytes]:
    journal = trail.ledger.journal
    yield from journal.read(journal.shared)[0]
    for _, body in trail.ledger.log.blobs(blobs):
        yield from filter(None, body.split(b"\n"))


def _holds(trail: TrailLog, record: Record) -> bool:
    message = pae(record.payload)
    keys = _keys(trail, record.id, str(record.fields["signer"]))
    return any(trail.ledger.check(key, message, proof) for _, proof in proofs(record) for _, key in keys)


def _keys(trail: TrailLog, entry_id: str, signer: str) -> list[tuple[str, str]]:
    """(name, key) of whoever may have signed the entry: its signer, or for changes of trust the root keys."""
    place = trail.ledger.place(entry_id)
    policy = trail.ledger.policy_at(place) if place is not None else None
    if policy is None:
        return []
    rule = policy.signers.get(signer)
    return [*([(signer, rule.key)] if rule else []), *(("root", key) for key in policy.root_keys)]


def key_files(trail: TrailLog, entries: Iterable[Entry]) -> dict[str, str]:
    """``NAME-KEYID.pub`` -> the public key of everybody who signed one of these entries, and the root keys."""
    pairs = [pair for entry in entries for pair in _keys(trail, entry.id, entry.signer)]
    # A root key that signs entries too goes by its signer's name.
    names = {key: name for name, key in sorted(pairs, key=lambda pair: pair[0] != "root")}
    return {f"{name}-{key_id(key)[:12]}.pub": pem(key) for key, name in sorted(names.items(), key=lambda pair: pair[1])}
