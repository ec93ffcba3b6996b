"""Walking forward through the trail: from data, code or a key to everything that was made with it and where it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import MlopsError
from ..types import Address, Entry, Json
from ..withdrawals import KIND, Withdrawal, inputs_of
from .dsse import BadLine
from .entry import Record, read_line
from .forward import Brief, briefs, load, makers, signer_key_id, standing
from .ledger import no_collector
from .trail import TrailLog

_DIGEST = r"(sha256|dirhash|gitoid):[0-9a-f]{40,64}"
_HEX = r"[0-9a-f]{4,64}"
_TRUST = ("root", "trust")


@dataclass(frozen=True)
class Start:
    """What was asked about: the roots that a withdrawal of it names, its entries, and bytes besides theirs."""

    what: str
    roots: tuple[str, ...]
    entries: tuple[Entry, ...]
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reached:
    """One entry that follows; ``parents`` are the ids of the entries that it follows from, ``depth`` the steps between."""

    entry: Brief
    depth: int
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Period:
    """One deployment that runs what was reached, or ran it; ``until`` is empty where nothing followed it there."""

    entry: Entry
    until: str = ""
    judged_by: tuple[str, ...] = ()
    """Addresses of gates asked about that had measured it; where it was not made from what was asked about."""
    address: str = ""
    """What the deployment is called now."""


@dataclass(frozen=True)
class Impact:
    """Everything that follows from a start, nearest first, and the withdrawals in force that name it."""

    start: Start
    reached: tuple[Reached, ...]
    deployments: tuple[Period, ...]
    withdrawn: tuple[Withdrawal, ...]


# --- What was asked about ----------------------------------------------------------------------------------------


def resolve(trail: TrailLog, what: str, *, every_version: bool = False) -> Start:
    """An address, digest, entry, commit, ``signer:NAME`` or key. Raises MlopsError where it is none or several."""
    for known in (_address, _digest, _signer, _hex):
        found = known(trail, what, every_version)
        if found is not None:
            return found
    raise _nothing(what, "is no address, digest, entry, commit, signer:NAME or key")


def _nothing(what: str, why: str) -> MlopsError:
    return MlopsError(
        f"'{what}' {why}",
        hint="mlopsctl audit log shows addresses, entries and signers; in front of hex digits "
        "entry:, commit: or key: says what they are",
        code="MLO7251",
    )


def _address(trail: TrailLog, what: str, every_version: bool) -> Start | None:
    try:
        address = str(Address.parse(what))
    except ValueError:
        return None
    found = trail.entries(address, ("result", "import"), newest_first=True, limit=-1 if every_version else 1)
    if not found:
        raise _nothing(what, "has no result in this trail")
    return of_entries(what, found)


def of_entries(what: str, entries: Sequence[Entry]) -> Start:
    """Entries with their bytes: made again to the same bytes, they are the same thing."""
    digests = [digest for entry in entries for digest in _own(entry)]
    return Start(what, tuple(dict.fromkeys([*digests, *(f"entry:{entry.id}" for entry in entries)])), tuple(entries))


def _own(entry: Entry) -> list[str]:
    return [digest for name, digest in entry.outputs.items() if not name.endswith(".sig")]


def _digest(trail: TrailLog, what: str, every_version: bool) -> Start | None:
    if not re.fullmatch(_DIGEST, what):
        return None
    if what.startswith("gitoid:"):
        found = _of_commit(trail, what[7:]) + _of_tree(trail, what)
        return Start(what, (what,), tuple(found), (what,))
    return Start(what, (what,), tuple(makers(trail, what)), (what,))


def _signer(trail: TrailLog, what: str, every_version: bool) -> Start | None:
    name = what.removeprefix("signer:")
    if name == what:
        return None
    found = trail.entries(signer=name)
    if not found:
        raise _nothing(what, "signed nothing in this trail")
    return Start(what, (what,), tuple(found))


def _hex(trail: TrailLog, what: str, every_version: bool) -> Start | None:
    sort, _, digits = what.rpartition(":")
    if sort not in ("", "entry", "commit", "key") or not re.fullmatch(_HEX, digits):
        return None
    trail.sync()
    found: list[tuple[str, str]] = []
    if sort in ("", "entry"):
        found += [("entry", one) for one in trail.ledger.index.ids_like(digits) if trail.entry(one) is not None]
    if sort in ("", "commit") and len(digits) <= 40:
        found += [("commit", one) for one in commits(trail) if one.startswith(digits)]
    if sort in ("", "key"):
        found += [("key", one) for one in sorted(_keys(trail)) if one.startswith(digits)]
    if len(found) != 1:
        named = ", ".join(f"{kind}:{one[:12]}" for kind, one in found[:4])
        raise _nothing(what, f"may mean {named}" if found else "begins no entry, commit or key of this trail")
    return _of(trail, what, *found[0])


def _of(trail: TrailLog, what: str, kind: str, full: str) -> Start:
    if kind == "commit":
        return Start(what, (f"gitoid:{full}",), tuple(_of_commit(trail, full)), (f"gitoid:{full}",))
    if kind == "key":
        names = _keys(trail)[full]
        # Changes of trust are signed by root keys, and stand under the policy that they made.
        found = [one for name in sorted(names) for one in trail.entries(signer=name) if one.kind not in _TRUST]
        return Start(what, (f"key:{full}",), tuple(one for one in found if signer_key_id(trail, one) == full))
    entry = trail.entry(full)
    if entry is not None and entry.kind == KIND and entry.facts.get("roots"):
        return of_roots(trail, what, [str(root) for root in entry.facts["roots"]])
    return of_entries(what, [entry] if entry is not None else [])


def of_roots(trail: TrailLog, what: str, roots: Sequence[str]) -> Start:
    """What a withdrawal names, as this trail has it."""
    known = []
    for root in roots:
        try:
            known.append(resolve(trail, root))
        except MlopsError:
            known.append(Start(root, (root,), ()))
    entries = {entry.id: entry for start in known for entry in start.entries}
    return Start(what, tuple(roots), tuple(entries.values()), tuple(one for start in known for one in start.digests))


def commits(trail: TrailLog) -> list[str]:
    """Every commit that an entry is about."""
    return sorted({*trail.ledger.index.notes(), *(record.commit for record in _waiting(trail))})


def _waiting(trail: TrailLog) -> Iterator[Record]:
    """The entries of the journal, which hang on no note yet."""
    journal = trail.ledger.journal
    yield from _records(b"\n".join(journal.read(journal.shared)[0]))


def _records(body: bytes) -> Iterator[Record]:
    for line in filter(None, body.split(b"\n")):
        with suppress(BadLine):
            yield read_line(line)


def _of_commit(trail: TrailLog, commit: str) -> list[Entry]:
    """The valid entries that are about one commit."""
    trail.sync()
    blob = trail.ledger.index.notes().get(commit)
    records = [one for one in _waiting(trail) if one.commit == commit]
    for _, body in trail.ledger.log.blobs([blob] if blob else []):
        records += _records(body)
    found = {entry.id: entry for one in records if (entry := trail.entry(one.id)) is not None}
    return sorted(found.values(), key=lambda entry: (entry.seq, entry.id))


def _of_tree(trail: TrailLog, tree: str) -> list[Entry]:
    """The entries made with this code."""
    query = "id IN (SELECT id FROM code WHERE tree = ?) ORDER BY seq, id"
    return trail.select(query, (tree.removeprefix("gitoid:"),))


def _keys(trail: TrailLog) -> Mapping[str, set[str]]:
    """Ids of the keys that any policy of this trail ever listed -> the names that had them."""
    from ..verifiers import key_id

    found: dict[str, set[str]] = {}
    seen: set[str] = set()
    for entry in trail.select("kind IN ('root', 'trust')"):
        place = trail.ledger.place(entry.id)
        policy = trail.ledger.policy_at(place) if place else None
        if policy is None or policy.digest in seen:
            continue
        seen.add(policy.digest)
        for rule in policy.signers.values():
            found.setdefault(key_id(rule.key), set()).add(rule.name)
    return found


# --- What follows ------------------------------------------------------------------------------------------------


def impact(trail: TrailLog, start: Start) -> Impact:
    """Everything made from a start, transitively, from the trail alone."""
    with no_collector():
        return _impact(trail, start)


def _impact(trail: TrailLog, start: Start) -> Impact:
    reached = _closure(trail, start.entries, start.digests)
    below = load(trail, [one.entry.id for one in reached if _deploys(one.entry)])
    direct = [*(entry for entry in start.entries if _deploys(entry)), *below]
    judged = _judged(trail, [entry for entry in start.entries if entry.address.startswith("gates.")])
    known = {entry.id for entry in direct}
    periods = [*((entry, ()) for entry in direct), *(pair for pair in judged if pair[0].id not in known)]
    return Impact(start, tuple(reached), tuple(_periods(trail, periods)), _naming(trail, start))


def _deploys(entry: Entry | Brief) -> bool:
    return entry.kind == "result" and entry.address.startswith("deployments.")


def _naming(trail: TrailLog, start: Start) -> tuple[Withdrawal, ...]:
    roots = {*start.roots, *start.digests}
    return tuple(one for one in standing(trail) if one.roots & roots)


def _closure(trail: TrailLog, entries: Sequence[Entry], digests: Sequence[str]) -> list[Reached]:
    """Breadth first, by the index alone: no entry is read for it."""
    trail.sync()
    inputs, outputs = trail.ledger.index.edges()
    users, made = _listed(inputs), _listed((entry, digest) for digest, entry in outputs)
    source: dict[str, list[str]] = {digest: [] for digest in digests}
    for entry in entries:
        for digest in _own(entry):
            source.setdefault(digest, []).append(entry.id)
    known = {entry.id for entry in entries}
    found: list[Reached] = []
    fresh, depth = list(source), 1
    while fresh:
        level = briefs(
            trail, [*dict.fromkeys(one for digest in fresh for one in users.get(digest, ()) if one not in known)]
        )
        known |= {one.id for one in level}
        fresh = []
        for one in level:
            for digest in made.get(one.id, ()):
                if digest not in source:
                    fresh.append(digest)
                source.setdefault(digest, []).append(one.id)
        # Sources of a level may stand in it: an artifact is made of the model, and of the data that this was made of.
        given = _by_entry(inputs, level)
        found += [Reached(item, depth, _sources(item.id, given.get(item.id, ()), source)) for item in level]
        depth += 1
    return found


def _listed(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _by_entry(inputs: Sequence[tuple[str, str]], some: Sequence[Brief]) -> dict[str, list[str]]:
    wanted = {one.id for one in some}
    return _listed((entry, digest) for digest, entry in inputs if entry in wanted)


def _sources(own: str, given: Sequence[str], source: Mapping[str, list[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for digest in given for one in source.get(digest, ()) if one != own))


def _judged(trail: TrailLog, gates: Sequence[Entry]) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """Deployments made after one of these gates had measured their model or artifact."""
    found: dict[str, Entry] = {}
    by: dict[str, set[str]] = {}
    for gate in gates:
        measured = [digest for section, digest in inputs_of(gate) if section in ("train", "targets")]
        for one in _closure(trail, (), measured):
            if _deploys(one.entry) and one.entry.seq > gate.seq and (entry := trail.entry(one.entry.id)) is not None:
                found[entry.id] = entry
                by.setdefault(entry.id, set()).add(gate.address)
    for entry_id, entry in found.items():
        yield entry, tuple(sorted(by[entry_id]))


def _periods(trail: TrailLog, deployed: Sequence[tuple[Entry, tuple[str, ...]]]) -> Iterator[Period]:
    """When each ran: until the next deployment at the same place, under any name, or until it was taken down."""
    until: dict[str, str] = {}
    asked: set[str] = set()
    for entry, judged_by in sorted(deployed, key=lambda pair: (pair[0].seq, pair[0].id)):
        if entry.address not in asked:
            asked.add(entry.address)
            newer: dict[str, str] = {}
            names = (entry.address, trail.called().today(entry.address))
            found = {one.id: one for name in names for one in trail.entries(name, ("result", "destroy"))}
            for one in sorted(found.values(), key=lambda one: (one.seq, one.id), reverse=True):
                until[one.id] = newer.get(one.location, "")
                newer[one.location] = one.at
        yield Period(entry, until.get(entry.id, ""), judged_by, trail.called().today(entry.address))


# --- As JSON -----------------------------------------------------------------------------------------------------


def impact_json(found: Impact) -> dict[str, Json]:
    """As ``audit impact --format json`` prints it; see schemas/audit-impact.schema.json."""
    start = found.start
    return {
        "schema_version": 1,
        "what": start.what,
        "roots": list(start.roots),
        "entries": [_brief(entry) for entry in start.entries],
        "reached": [{**_short(one.entry), "depth": one.depth, "from": list(one.parents)} for one in found.reached],
        "deployments": [_period(one) for one in found.deployments],
        "withdrawn": [
            {"entry": one.entry, "by": one.by, "since": one.since, "reason": one.reason, "roots": sorted(one.roots)}
            for one in found.withdrawn
        ],
    }


def _brief(entry: Entry) -> dict[str, Json]:
    return {**_short(entry), "commit": entry.commit, "outputs": dict(entry.outputs)}


def _short(entry: Entry | Brief) -> dict[str, Json]:
    return {
        "id": entry.id,
        "kind": entry.kind,
        "address": entry.address,
        "status": entry.status,
        "at": entry.at,
        "signer": entry.signer,
        "trusted": entry.trusted,
    }


def _period(one: Period) -> dict[str, Json]:
    entry = one.entry
    return {
        "address": entry.address,
        "location": entry.location,
        "entry": entry.id,
        "signer": entry.signer,
        "artifact": str(entry.facts.get("artifact", "")),
        "since": entry.at,
        "until": one.until or None,
        "judged_by": list(one.judged_by),
    }
