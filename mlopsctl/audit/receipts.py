"""Receipts: what a place outside of the trail keeps of a checkpoint, so that it proves something by itself.

A receipt is the canonical JSON of ``{schema_version, log, checkpoint, entries, sha512, tips, line}``; ``line`` is the
checkpoint's line of the trail, signed by whoever wrote it, and its material may hold time stamps. A countersigned receipt
is a DSSE envelope around that, of the payload type ``RECEIPT_TYPE``, signed by a second party.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..canonical import canonical
from ..types import Json
from ..verifiers import key_id
from .checkpoints import KIND
from .dsse import BadLine, encode, strict_json
from .entry import Record, read_line
from .ports import Signer
from .verify import Check

RECEIPT_TYPE = "application/vnd.mlopsctl.receipt+json"
_MEMBERS = {"schema_version", "log", "checkpoint", "entries", "sha512", "tips", "line"}
_ENVELOPE = {"payload", "payloadType", "signatures", "material"}


class BadReceipt(ValueError):
    """A receipt that proves nothing: it was changed, or is something else."""


class Receipt(NamedTuple):
    """A receipt whose members agree with the signed checkpoint in it; whose signature that is, is not judged."""

    record: Record
    entries: int
    sha512: str

    @property
    def log(self) -> str:
        return str(self.record.fields["log"])

    @property
    def timestamps(self) -> list[bytes]:
        """Tokens of time-stamping authorities over the checkpoint."""
        return tokens_of(self.record)


def tokens_of(record: Record) -> list[bytes]:
    """The time-stamp tokens in a line's material; what is no base64 is none."""
    found = []
    for text in record.material.get("timestamps", ()) if record.material else ():
        try:
            found.append(b64decode(text, validate=True))
        except (Base64Error, TypeError, ValueError):
            continue
    return found


def with_tokens(record: Record, tokens: Iterable[bytes]) -> bytes:
    """The line of the same entry whose material holds these tokens and no others: it has the same id."""
    material = {name: value for name, value in (record.material or {}).items() if name != "timestamps"}
    texts = [b64encode(token).decode() for token in dict.fromkeys(tokens)]
    if texts:
        material["timestamps"] = texts
    return encode(record.payload, record.signatures, material or None)


def write_receipt(record: Record, tokens: Sequence[bytes] = ()) -> bytes:
    """The receipt of a checkpoint, with tokens of time-stamping authorities."""
    facts = record.fields.get("facts", {})
    return canonical(
        {
            "schema_version": 1,
            "log": record.fields["log"],
            "checkpoint": record.id,
            "entries": facts.get("entries"),
            "sha512": facts.get("sha512"),
            "tips": [record.id],
            "line": strict_json(with_tokens(record, [*tokens_of(record), *tokens])),
        }
    )


def read_receipt(body: bytes) -> Receipt:
    """Reads a receipt strictly, also one inside a countersignature. Raises BadReceipt."""
    value = _json(body)
    if isinstance(value, dict) and "payloadType" in value:
        value = _json(_opened(value)[0])
    if not isinstance(value, dict) or value.keys() != _MEMBERS or value["schema_version"] != 1:
        raise BadReceipt("it is no receipt of a checkpoint")
    try:
        record = read_line(canonical(value["line"]))
    except (BadLine, TypeError, ValueError) as error:
        raise BadReceipt(f"it holds no entry: {error}") from None
    facts = record.fields.get("facts", {})
    said = (value["log"], value["checkpoint"], value["entries"], value["sha512"], value["tips"])
    if record.kind != KIND or said != (
        record.fields["log"], record.id, facts.get("entries"), facts.get("sha512"), [record.id],
    ):  # fmt: skip
        raise BadReceipt("what it says is not what the checkpoint in it says")
    if type(facts.get("entries")) is not int or not isinstance(facts.get("sha512"), str):
        raise BadReceipt("the checkpoint in it says nothing")
    return Receipt(record, facts["entries"], facts["sha512"])


def countersign(receipt: bytes, signer: Signer) -> bytes:
    """The receipt (without an earlier countersignature) under a second party's signature. Raises EvidenceError."""
    value = _json(receipt)
    payload = _opened(value)[0] if isinstance(value, dict) and "payloadType" in value else receipt
    signature, material = signer.seal(_pae(payload))
    envelope: dict[str, Json] = {
        "payload": b64encode(payload).decode(),
        "payloadType": RECEIPT_TYPE,
        "signatures": [{"keyid": signer.key_id, "sig": b64encode(signature).decode()}],
    }
    if material is not None:
        envelope["material"] = material
    return canonical(envelope)


def countersigned(body: bytes) -> bool:
    """Whether somebody's countersignature is around the receipt; it may not hold."""
    value = _json(body)
    return isinstance(value, dict) and "payloadType" in value


def countersigner(body: bytes, keys: Mapping[str, str], check: Check) -> str:
    """The name of whose countersignature it is; "" where none of ``keys`` (name -> key) is named.

    Raises BadReceipt where one of them is named and did not sign this.
    """
    value = _json(body)
    payload, signatures = _opened(value)
    for name, key in keys.items():
        for hint, signature in signatures:
            if hint != key_id(key):
                continue
            bundle = (value.get("material") or {}).get("sigstore")
            proof = signature
            if bundle is not None:
                proof = canonical({"bundle": bundle, "sig": b64encode(signature).decode()})
            if not check(key, _pae(payload), proof):
                raise BadReceipt(f"the countersignature of {name} does not hold")
            return name
    return ""


def _pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding with the receipt's own payload type."""
    return b"DSSEv1 %d %s %d %s" % (len(RECEIPT_TYPE), RECEIPT_TYPE.encode(), len(payload), payload)


def _json(body: bytes) -> Any:
    try:
        return strict_json(body.rstrip(b"\n"))
    except ValueError as error:
        raise BadReceipt(f"it is no canonical JSON: {error}") from None


def _opened(value: dict[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    if value["payloadType"] != RECEIPT_TYPE or not value.keys() <= _ENVELOPE:
        raise BadReceipt(f"its payload type is not {RECEIPT_TYPE}")
    try:
        signatures = [(str(one["keyid"]), b64decode(one["sig"], validate=True)) for one in value["signatures"]]
        return b64decode(value["payload"], validate=True), signatures
    except (KeyError, TypeError, ValueError):
        raise BadReceipt("its countersignature has another form") from None
