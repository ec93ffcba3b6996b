"""Lines as nearly all of them are, read in one go: form, types and canonical spelling by one typed parser.

What has another form than the usual one is no finding yet: the strict way (``entry.read_line``) judges it. Imported once
many lines are to be read only: it takes longer to import than a few lines take.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .dsse import MAX_PAYLOAD, PAYLOAD_TYPE, VERSION, entry_id, no_float, small_numbers
from .entry import Record, are_ids, input_digests, is_moment, once_each, well_named
from .statement import ALGORITHMS, EMPTY_TREE, STATEMENT_TYPE, predicate_type, subjects
from .trust import RESULT_KINDS

# Sorting members by name makes canonical JSON of ASCII: what is written again as it was read has no second spelling.


class _Signature(msgspec.Struct):
    keyid: str
    sig: bytes


class _Envelope(msgspec.Struct):
    payload: bytes
    payloadType: str
    signatures: tuple[_Signature]


class _Line(msgspec.Struct):
    dsse: _Envelope
    v: int


class _Entry(msgspec.Struct, kw_only=True):
    address: str | UnsetType = UNSET
    at: str
    facts: dict[str, Any] | UnsetType = UNSET
    ingredients: dict[str, Any] | UnsetType = UNSET
    kind: str
    location: str | UnsetType = UNSET
    log: str
    made_from: str | UnsetType = UNSET
    made_with: dict[str, Any] | UnsetType = UNSET
    outputs: dict[str, str] | UnsetType = UNSET
    parents: list[str]
    seq: int
    signer: str
    status: str | UnsetType = UNSET
    tree: str | UnsetType = UNSET
    trust: str


class _Predicate(msgspec.Struct, kw_only=True):
    buildDefinition: Any = UNSET
    configuration: Any = UNSET
    failedTests: Any = UNSET
    mlopsctl_entry: _Entry
    passedTests: Any = UNSET
    result: Any = UNSET
    runDetails: Any = UNSET
    warnedTests: Any = UNSET


class _Statement(msgspec.Struct, kw_only=True):
    type: str = msgspec.field(name="_type")
    predicate: _Predicate
    predicateType: str
    subject: msgspec.Raw


_line = msgspec.json.Decoder(_Line).decode
_statement = msgspec.json.Decoder(_Statement, float_hook=no_float).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def read_usual(text: bytes, path: str, row: int) -> tuple[Record, bytes] | None:
    """The slim record of a line about ``path`` that steers nothing, and its payload; None where another way must judge."""
    try:
        line = _line(text)
        envelope = line.dsse
        payload = envelope.payload
        said = _statement(payload)
        # Written again as it was read: no second spelling, no member that is not known here, none twice.
        if _encode(line) != text or _encode(said) != payload:
            return None
    except (ValueError, RecursionError):
        return None
    own, signature = said.predicate.mlopsctl_entry, envelope.signatures[0]
    address, outputs = own.address or "", own.outputs or {}
    scheme = (own.kind, address, said.predicateType, own.log, own.trust, own.signer, signature.keyid)
    known = _schemes.get(scheme)
    if known is None:
        known = _schemes[scheme] = scheme if _named(own.kind, address, said.predicateType) else ()
    if (
        line.v != VERSION
        or envelope.payloadType != PAYLOAD_TYPE
        or len(payload) > MAX_PAYLOAD
        or said.type != STATEMENT_TYPE
        or not payload.isascii()
        or not small_numbers(payload)
        or not known
        or not are_ids(own.parents)
        or not once_each(own.parents)
        or not is_moment(own.at)
        or not _from_what_it_says(own, address)
    ):
        return None
    if bytes(said.subject) != _subject(path, outputs, plain=b"\\" not in payload):
        return None
    kind, address, predicate, log, trust, signer, keyid = known
    fields = {
        "log": log, "seq": own.seq, "parents": own.parents, "at": own.at, "signer": signer, "trust": trust,
        "kind": kind, "address": address, "status": own.status or "", "made_from": own.made_from or "",
        "outputs": outputs, "tree": own.tree or "",
    }  # fmt: skip
    inputs = input_digests(own.ingredients) if own.ingredients else ()
    signed = ((keyid, signature.sig),)
    return Record(entry_id(payload), fields, path, predicate, b"", signed, None, row, True, inputs, known), payload


_schemes: dict[tuple[str, ...], tuple[str, ...]] = {}
"""What many entries have in common, each once: texts that are kept are the same objects, and are compared once."""


def _subject(path: str, outputs: dict[str, str], *, plain: bool) -> bytes:
    """Canonical JSON of what the subjects must be, b"" for outputs without one; ``plain`` says that no text is escaped."""
    if not plain or path == EMPTY_TREE:
        try:
            return _encode(subjects(path, outputs))
        except ValueError:
            return b""
    text = f'[{{"digest":{{"gitCommit":"{path}"}},"name":"commit"}}'
    for name in sorted(outputs):
        algorithm, _, value = outputs[name].partition(":")
        if algorithm not in ALGORITHMS or not value:
            return b""
        text += f',{{"digest":{{"{ALGORITHMS[algorithm]}":"{value}"}},"name":"{name}"}}'
    return f"{text}]".encode()


def _named(kind: str, address: str, given: str) -> bool:
    """Whether the entry steers nothing, and its kind, address and predicate type fit together."""
    allowed = kind in RESULT_KINDS and not (kind == "trial" and address.startswith("deployments."))
    return allowed and well_named(kind, address) and given == predicate_type(kind, address)


def _from_what_it_says(own: _Entry, address: str) -> bool:
    """``verify.fingerprint_problem`` finds nothing."""
    if not own.made_from or own.kind not in ("result", "trial"):
        return True
    ingredients = own.ingredients or {}
    if own.made_from != "sha256:" + sha256(_encode(ingredients)).hexdigest():
        return False
    return str(ingredients.get("provider", "")).partition("/")[0] == address.partition(".")[0]
