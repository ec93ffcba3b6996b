"""An entry between the line and the noun: fields to payload, payload to fields, fields to ``types.Entry``."""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..canonical import canonical
from ..types import ADDRESS, Digest, Entry, Json
from .dsse import BadLine, Envelope, decode, entry_id, strict_json
from .statement import EMPTY_TREE, MEMBER, STATEMENT_TYPE, predicate_type, subjects

_HEX_IDS = r"[0-9a-f]{64}(?:,[0-9a-f]{64})*"
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_KIND = r"[a-z][a-z_-]{0,31}"
_OID = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"

_REQUIRED: Mapping[str, type] = {
    "log": str, "seq": int, "parents": list, "at": str, "signer": str, "trust": str, "kind": str,
}  # fmt: skip
_OPTIONAL: Mapping[str, type] = {
    "address": str, "status": str, "made_from": str, "ingredients": dict, "outputs": dict, "facts": dict,
    "made_with": dict, "tree": str, "location": str, "supersedes": list,
}  # fmt: skip
_MEMBERS = {**_REQUIRED, **_OPTIONAL}


class Record(NamedTuple):
    """A well-formed entry whose signature, role and place are not judged yet."""

    id: str
    fields: Mapping[str, Any]
    commit: str
    """The object id that names the note: the commit, or the empty tree before the first one."""
    predicate_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    material: Json = None
    row: int = 0
    """Where the index keeps the payload."""
    slim: bool = False
    """Whether fields were cut down to what placing and finding the entry needs; its fingerprint is that of its ingredients."""
    scheme: tuple[str, ...] = ()
    """What a usual entry says of its signer, kind and address, the same object for all that say the same."""

    @property
    def seq(self) -> int:
        return int(self.fields["seq"])

    @property
    def parents(self) -> list[str]:
        return list(self.fields["parents"])

    @property
    def kind(self) -> str:
        return str(self.fields["kind"])

    @property
    def address(self) -> str:
        return str(self.fields.get("address", ""))


def read_line(line: bytes) -> Record:
    """Decodes and checks one line of the trail. Raises BadLine."""
    return read_envelope(decode(line))


def read_envelope(envelope: Envelope) -> Record:
    """Checks the statement inside an envelope. Raises BadLine (MLO7005, MLO7006, MLO7028)."""
    try:
        value = strict_json(envelope.payload)
    except ValueError as error:
        raise BadLine("MLO7005", f"the payload is no canonical JSON: {error}") from None
    fields, commit = _checked(value)
    return Record(envelope.id, fields, commit, value["predicateType"], *envelope[1:])


def proofs(record: Record) -> list[tuple[str, bytes]]:
    """Pairs of key id and what ``Check`` is given as the signature.

    That is the signature, or where the line carries a Sigstore bundle, ``{"bundle": …, "sig": base64}`` as JSON.
    """
    bundle = record.material.get("sigstore") if record.material else None
    if bundle is None:
        return list(record.signatures)
    return [
        (hint, canonical({"bundle": bundle, "sig": b2a_base64(sig, newline=False).decode()}))
        for hint, sig in record.signatures
    ]


def _checked(value: Any) -> tuple[dict[str, Any], str]:
    if not isinstance(value, dict) or value.keys() != {"_type", "subject", "predicateType", "predicate"}:
        raise BadLine("MLO7006", "the payload is no in-toto statement")
    if value["_type"] != STATEMENT_TYPE:
        raise BadLine("MLO7006", f"the statement has the type {value['_type']!r}, not {STATEMENT_TYPE}")
    predicate = value["predicate"]
    fields = predicate.get(MEMBER) if isinstance(predicate, dict) else None
    if not isinstance(fields, dict) or not isinstance(value["predicateType"], str):
        raise BadLine("MLO7006", f"the predicate has no member {MEMBER}")
    _check_types(fields)
    commit = _first_subject(value["subject"])
    try:
        expected = subjects(commit, fields.get("outputs", {}))
    except (ValueError, AttributeError) as error:
        raise BadLine("MLO7006", f"the outputs are malformed: {error}") from None
    if value["subject"] != expected:
        raise BadLine("MLO7028", "the subjects are other than the commit and the outputs")
    return fields, commit


def _check_types(fields: dict[str, Any]) -> None:
    wrong = _wrong_member(tuple(fields), tuple(map(type, fields.values())))
    if wrong:
        raise BadLine("MLO7006", wrong)
    parents = fields["parents"]
    if not are_ids([*parents, *fields.get("supersedes", ())]):
        raise BadLine("MLO7006", "parents and supersedes hold ids of entries only")
    if not once_each(parents) or not is_moment(fields["at"]):
        raise BadLine("MLO7006", "a parent is named twice, or 'at' is no UTC moment")
    kind, address = fields["kind"], fields.get("address", "")
    if not well_named(kind, address):
        raise BadLine("MLO7006", f"{kind!r} is no kind, or {address!r} no address")


def are_ids(given: Sequence[Any]) -> bool:
    """Whether these are ids of entries, every one."""
    try:
        ids = ",".join(given)
    except TypeError:
        return False
    return not given or bool(patterns()[0](ids))


def once_each(parents: Sequence[str]) -> bool:
    return len(parents) < 2 or len(set(parents)) == len(parents)


def is_moment(text: str) -> bool:
    """Whether this is a UTC moment as entries have it."""
    return bool(patterns()[1](text))


@lru_cache(maxsize=1)
def patterns() -> tuple[Callable[[str], object], ...]:
    # Asking ``re`` for an expression that it remembers takes longer than matching it.
    return tuple(re.compile(text).fullmatch for text in (_HEX_IDS, _MOMENT, _OID))


@lru_cache(maxsize=1024)
def _wrong_member(names: tuple[str, ...], types: tuple[type, ...]) -> str:
    """What is wrong with members of these names and types, or ""; most entries have one of a few shapes."""
    for name in sorted(_REQUIRED.keys() - set(names)):
        return f"the entry's member '{name}' is missing"
    for name, found in zip(names, types, strict=True):
        if found is not _MEMBERS.get(name, found):
            return f"the entry's member '{name}' is no {_MEMBERS[name].__name__}"
    return ""


@lru_cache(maxsize=1024)
def well_named(kind: str, address: str) -> bool:
    """Whether a kind and an address have the form of one."""
    return bool(re.fullmatch(_KIND, kind)) and (not address or bool(re.fullmatch(ADDRESS, address)))


def _first_subject(found: Any) -> str:
    try:
        digest = found[0]["digest"]
        commit = digest["gitCommit"] if "gitCommit" in digest else digest["gitTree"]
    except (KeyError, IndexError, TypeError):
        raise BadLine("MLO7006", "the first subject is no git commit") from None
    if not isinstance(commit, str) or not patterns()[2](commit):
        raise BadLine("MLO7006", "the first subject is no git commit")
    return commit


def newer_than_us(record: Record) -> bool:
    """Whether a newer mlopsctl wrote this: a predicate type other than the one we would write."""
    return record.predicate_type != predicate_type(record.fields["kind"], record.fields.get("address", ""))


def parents_of(payload: bytes) -> list[str]:
    """The ids that a stored payload names as parents."""
    found: list[str] = json.loads(payload)["predicate"][MEMBER]["parents"]
    return found


def to_entry(payload: bytes, *, trusted: bool = True) -> Entry:
    """The noun behind a payload that was checked before."""
    # Given bytes, json.loads guesses their encoding first; these are known.
    value = json.loads(payload.decode("utf-8", "surrogatepass"))
    fields = value["predicate"][MEMBER]
    commit = _first_subject(value["subject"])
    return Entry(
        id=entry_id(payload),
        seq=fields["seq"],
        parents=tuple(fields["parents"]),
        at=fields["at"],
        signer=fields["signer"],
        kind=fields["kind"],
        address=fields.get("address", ""),
        status=fields.get("status", ""),
        made_from=Digest(fields.get("made_from", "")),
        ingredients=fields.get("ingredients", {}),
        outputs={name: Digest(digest) for name, digest in fields.get("outputs", {}).items()},
        facts=fields.get("facts", {}),
        made_with=fields.get("made_with", {}),
        commit="" if commit == EMPTY_TREE else commit,
        tree=fields.get("tree", ""),
        predicate_type=value["predicateType"],
        location=fields.get("location", ""),
        supersedes=tuple(fields.get("supersedes", ())),
        trusted=trusted,
    )


def entry_fields(**given: Json) -> dict[str, Json]:
    """The members to be signed: those required, and of the others what is not empty."""
    return {name: value for name, value in given.items() if name in _REQUIRED or value}
