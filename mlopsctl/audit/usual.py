"""Lines as nearly all of them are, read in one go: form, types and canonical spelling by one typed parser.

What has another form than the usual one is no finding yet: the strict way (``entry.read_line``) judges it. Imported once
many lines are to be read only: it takes longer to import than a few lines take.
"""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from .dsse import MAX_PAYLOAD, PAYLOAD_TYPE, VERSION, entry_id, no_float
from .entry import Record, once_each, patterns, well_named
from .statement import ALGORITHMS, EMPTY_TREE, STATEMENT_TYPE, predicate_type, subjects
from .trust import RESULT_KINDS

# Sorting members by name makes canonical JSON of ASCII: what is written again as it was read has no second spelling.


class _Signature(msgspec.Struct):
    keyid: str
    sig: bytes


class _Envelope(msgspec.Struct):
    payload: bytes
    signatures: tuple[_Signature]


class _Line(msgspec.Struct):
    dsse: _Envelope


_Number = Annotated[int, msgspec.Meta(gt=-(2**53), lt=2**53)]


def _nested(depth: int) -> Any:
    """The type of JSON without large numbers that is nested no deeper. Each level takes twice as long to build."""
    found: Any = _Number | str | bool | None
    for _ in range(depth):
        found = _Number | str | bool | None | list[found] | dict[str, found]
    return found


if TYPE_CHECKING:
    _Flat: TypeAlias = dict[str, Any]
    _Deep: TypeAlias = dict[str, Any]
else:
    _Flat, _Deep = dict[str, _nested(3)], dict[str, _nested(4)]


class _Entry(msgspec.Struct, kw_only=True, gc=False):
    address: str | UnsetType = UNSET
    at: str
    facts: _Deep | UnsetType = UNSET
    ingredients: msgspec.Raw | UnsetType = UNSET
    kind: str
    location: str | UnsetType = UNSET
    log: str
    made_from: str | UnsetType = UNSET
    made_with: _Flat | UnsetType = UNSET
    outputs: dict[str, str] | UnsetType = UNSET
    parents: list[str]
    seq: _Number
    signer: str
    status: str | UnsetType = UNSET
    tree: str | UnsetType = UNSET
    trust: str


class _External(msgspec.Struct, gc=False):
    address: str
    provider: str
    spec: _Deep


class _Internal(msgspec.Struct, gc=False):
    made_with: _Flat


class _Dependency(msgspec.Struct, gc=False):
    digest: dict[str, str]
    name: str


class _Build(msgspec.Struct, gc=False):
    buildType: str
    externalParameters: _External
    internalParameters: _Internal
    resolvedDependencies: list[_Dependency]


class _Builder(msgspec.Struct, gc=False):
    id: str


class _Metadata(msgspec.Struct, gc=False):
    finishedOn: str
    invocationId: str


class _Run(msgspec.Struct, gc=False):
    builder: _Builder
    metadata: _Metadata


class _Predicate(msgspec.Struct, kw_only=True, gc=False):
    buildDefinition: _Build | UnsetType = UNSET
    configuration: list[_Dependency] | UnsetType = UNSET
    failedTests: list[str] | UnsetType = UNSET
    mlopsctl_entry: _Entry
    passedTests: list[str] | UnsetType = UNSET
    result: str | UnsetType = UNSET
    runDetails: _Run | UnsetType = UNSET
    warnedTests: list[str] | UnsetType = UNSET


class _Statement(msgspec.Struct, kw_only=True):
    type: str = msgspec.field(name="_type")
    predicate: _Predicate
    predicateType: str
    subject: msgspec.Raw


_line = msgspec.json.Decoder(_Line).decode
_statement = msgspec.json.Decoder(_Statement, float_hook=no_float).decode
_members = msgspec.json.Decoder(_Deep, float_hook=no_float).decode
_encode = msgspec.json.Encoder(order="sorted").encode
_are_ids, _is_moment, _ = patterns()
_HEAD = b'{"dsse":{"payload":"'
_TAIL = b'","payloadType":"%b","signatures":[{"keyid":"%%b","sig":"%%b"}]},"v":%d}' % (PAYLOAD_TYPE.encode(), VERSION)


def read_usual(text: bytes, path: str, row: int) -> tuple[Record, bytes] | None:
    """The slim record of a line about ``path`` that steers nothing, and its payload; None where another way must judge."""
    try:
        envelope = _line(text).dsse
        payload, signature = envelope.payload, envelope.signatures[0]
        said = _statement(payload)
        own = said.predicate.mlopsctl_entry
        made_of = bytes(own.ingredients) if own.ingredients else b"{}"
        ingredients = _members(made_of)
        # Written again as it was read: no second spelling, no member that is not known here, none twice.
        if _encode(said) != payload or _encode(ingredients) != made_of or not _one_form(text, payload, signature):
            return None
    except (ValueError, RecursionError):
        return None
    parents, address, outputs, made_from = own.parents, own.address or "", own.outputs or {}, own.made_from or ""
    scheme = (own.kind, address, said.predicateType, own.log, own.trust, own.signer, signature.keyid)
    known = _schemes.get(scheme)
    if known is None:
        known = _schemes[scheme] = scheme if _named(own.kind, address, said.predicateType) else ()
    if (
        not known
        or len(payload) > MAX_PAYLOAD
        or said.type != STATEMENT_TYPE
        or not payload.isascii()
        or (parents and not _are_ids(",".join(parents)))
        or not once_each(parents)
        or not _is_moment(own.at)
        or (made_from and not _from_what_it_says(known[0], made_from, made_of, ingredients, address))
        or bytes(said.subject) != _subject(path, outputs, plain=b"\\" not in payload)
    ):
        return None
    kind, address, predicate, log, trust, signer, keyid = known
    fields = {
        "log": log, "seq": own.seq, "parents": parents, "at": own.at, "signer": signer, "trust": trust,
        "kind": kind, "address": address, "status": own.status or "", "made_from": made_from, "tree": own.tree or "",
    }  # fmt: skip
    signed = ((keyid, signature.sig),)
    return Record(entry_id(payload), fields, path, predicate, b"", signed, None, row, True, known), payload


def _one_form(text: bytes, payload: bytes, signature: _Signature) -> bool:
    """Whether the line is spelled as we would spell it.

    Its length says that the payload begins behind the head and has no escapes in it. The parser is strict about base64,
    so that nothing but the unused bits of a last group could differ.
    """
    whole = len(payload) // 3 * 3
    rest = b2a_base64(payload[whole:], newline=False) if whole < len(payload) else b""
    tail = rest + _TAIL % (signature.keyid.encode(), b2a_base64(signature.sig, newline=False))
    return len(text) == len(_HEAD) + whole // 3 * 4 + len(tail) and text.startswith(_HEAD) and text.endswith(tail)


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
    for name, digest in outputs.items():
        algorithm, _, value = digest.partition(":")
        if algorithm not in ALGORITHMS or not value:
            return b""
        text += f',{{"digest":{{"{ALGORITHMS[algorithm]}":"{value}"}},"name":"{name}"}}'
    return f"{text}]".encode()


def _named(kind: str, address: str, given: str) -> bool:
    """Whether the entry steers nothing, and its kind, address and predicate type fit together."""
    allowed = kind in RESULT_KINDS and not (kind == "trial" and address.startswith("deployments."))
    return allowed and well_named(kind, address) and given == predicate_type(kind, address)


def _from_what_it_says(kind: str, made_from: str, made_of: bytes, ingredients: dict[str, Any], address: str) -> bool:
    """``verify.fingerprint_problem`` finds nothing."""
    if kind not in ("result", "trial"):
        return True
    if made_from != "sha256:" + sha256(made_of).hexdigest():
        return False
    return str(ingredients.get("provider", "")).partition("/")[0] == address.partition(".")[0]
