"""What others get of the trail: an in-toto bundle, and the files of a folder that can be verified without a repository.

Source of the bundle's form: https://github.com/in-toto/attestation/blob/main/spec/v1/bundle.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

from ..canonical import canonical
from ..types import Digest, Entry, Json
from ..verifiers import is_identity, is_ssh, key_id, pem
from .dsse import BadLine, pae
from .entry import Record, proofs, read_line
from .folder_text import README
from .past import lines_of
from .trace import Node, trace
from .trail import TrailLog, read_payload
from .trust import Policy

FORMAT = 1
Read = Callable[[Digest], bytes | None]
"""The bytes of an output, None where they are not here."""


# --- The bundle ------------------------------------------------------------------------------------------------


def rests_on(trail: TrailLog, entry: Entry) -> list[Entry]:
    """What an entry rests on, oldest first: all of its trace, the approvals for it, and who was trusted up to there."""
    found = {one.id: one for one in _entries(trace(trail, entry))}
    for one in trail.entries("", ("root", "trust")):
        if one.seq <= entry.seq:
            found[one.id] = one
    for one in trail.entries(entry.address, ("approval",)):
        if one.seq <= entry.seq:
            found[one.id] = one
    return sorted(found.values(), key=lambda one: (one.seq, one.id))


def _entries(node: Node) -> Iterator[Entry]:
    if node.entry is not None:
        yield node.entry
    yield from node.gates
    for below in node.inputs:
        yield from _entries(below)


def bundle(trail: TrailLog, wanted: Collection[str] | None = None) -> Iterator[bytes]:
    """The DSSE envelopes of the trail's valid entries, or of those ``wanted``, one a line, oldest first."""
    valid = {entry.id for entry in trail.each() if entry.trusted and (wanted is None or entry.id in wanted)}
    found: dict[bytes, Record] = {}
    for _, line in lines_of(trail.ledger):
        with suppress(BadLine):
            record = read_line(line)
            if record.id in valid:
                found[line] = record
    keys: dict[str, list[str]] = {}
    for line, record in sorted(found.items(), key=lambda pair: (pair[1].seq, pair[1].id, pair[0])):
        # Anybody may hang another signature on an entry; only lines that hold by themselves are handed on.
        if _holds(trail, record, keys):
            yield canonical(json.loads(line)["dsse"])


def _holds(trail: TrailLog, record: Record, known: dict[str, list[str]]) -> bool:
    """Whether a key of the policy there signed the line; ``known`` remembers keys by policies."""
    place = trail.ledger.place(record.id)
    if place is None:
        return False
    if place.policy not in known:
        policy = trail.ledger.policy_at(place)
        known[place.policy] = [*(rule.key for rule in policy.signers.values()), *policy.root_keys] if policy else []
    message, keys = pae(record.payload), known[place.policy]
    named = [(key, proof) for hint, proof in proofs(record) for key in keys if key_id(key) == hint]
    return any(trail.ledger.check(key, message, proof) for key, proof in dict.fromkeys(named))


# --- The folder ------------------------------------------------------------------------------------------------


def folder_files(trail: TrailLog, read: Read) -> Iterator[tuple[str, bytes, bool]]:
    """(path, bytes, executable) of every file of the folder but the artifacts themselves; equal trails give equal bytes."""
    trail.sync()
    yield from ((name, body, False) for name, body in derived_files(trail).items())
    notes: dict[str, list[bytes]] = {}
    for note, line in lines_of(trail.ledger):
        notes.setdefault(note, []).append(line)
    for note, lines in notes.items():
        yield f"notes/{note}", b"".join(line + b"\n" for line in dict.fromkeys(lines)), False
    yield from _code(trail)
    missing = []
    for digest in signature_digests(trail):
        body = read(digest)
        if body is None:
            missing.append(digest)
        else:
            yield f"signatures/{digest[7:]}.sig", body, False
    yield "trail.json", _pretty({**summary(trail), "missing": missing}), False


def derived_files(trail: TrailLog) -> dict[str, bytes]:
    """Path -> bytes of the files that only say again, for people and other tools, what is in the entries."""
    chain = policies(trail)
    named = {f"policies/{digest[7:]}.json": policy_file(policy) for digest, policy in chain.items()}
    return {"README.md": README.encode(), **named, **key_files(chain.values())}


def summary(trail: TrailLog) -> dict[str, Any]:
    """What ``trail.json`` says of the trail itself."""
    roots = trail.entries("", ("root",))
    row = trail.ledger.index.one("id = ?", (roots[0].id,)) if roots else None
    return {
        "format": FORMAT,
        "log": str(read_payload(row[0])["log"]) if row else "",
        "root": roots[0].id if roots else "",
        "tips": trail.tips(),
        "policies": list(policies(trail)),
    }


def policies(trail: TrailLog) -> dict[str, Policy]:
    """Every policy that was ever in force by its digest, in the order in which they were signed."""
    found: dict[str, Policy] = {}
    for entry in trail.entries("", ("root", "trust")):
        place = trail.ledger.place(entry.id)
        for digest in place.policy.split(",") if place else ():
            policy = trail.ledger.policy(digest)
            if policy is not None:
                found.setdefault(digest, policy)
    return found


def policy_file(policy: Policy) -> bytes:
    """A policy and those that it replaced; its digest is computed from both."""
    return _pretty({"content": dict(policy.content), "previous": list(policy.previous)})


def key_files(chain: Collection[Policy]) -> dict[str, bytes]:
    """Path -> what verifies signatures of that key or identity."""
    named = {rule.key: rule.name for policy in chain for rule in policy.signers.values()}
    keys = {**{key: "root" for policy in chain for key in policy.root_keys}, **named}
    return {f"keys/{name}-{key_id(key)[:12]}.{_suffix(key)}": pem(key).encode() for key, name in keys.items()}


def _suffix(key: str) -> str:
    return "identity" if is_identity(key) else "pub" if is_ssh(key) else "pem"


def signature_digests(trail: TrailLog) -> list[Digest]:
    """The signatures of artifacts that valid results name, each once."""
    found = (
        digest
        for entry in trail.entries("", ("result", "import"))
        for name, digest in entry.outputs.items()
        if name.endswith(".sig") and digest.startswith("sha256:")
    )
    return list(dict.fromkeys(found))


def artifact_digests(entries: Collection[Entry]) -> list[Digest]:
    """What these results made besides signatures. Datasets are left out: they travel by git and DVC only."""
    found = (
        digest
        for entry in entries
        if entry.kind in ("result", "import") and not entry.address.startswith("data.")
        for name, digest in entry.outputs.items()
        if not name.endswith(".sig") and digest.startswith(("sha256:", "dirhash:"))
    )
    return list(dict.fromkeys(found))


def _code(trail: TrailLog) -> Iterator[tuple[str, bytes, bool]]:
    log = trail.ledger.log
    kept = log.code_names(log.tip())
    for _, tree in sorted(trail.ledger.index.code_trees(), key=lambda pair: pair[1]):
        files = log.code_files(tree) if tree in kept else {}
        bodies = dict(log.blobs([file.oid for file in files.values()]))
        for name, file in files.items():
            yield f"code/{tree}/{name}", bodies[file.oid], file.mode == "100755"


def _pretty(value: Json) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
