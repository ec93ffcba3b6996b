"""Whose an imported model is: its publisher's signature or provenance, and which imports a deployment goes back to."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import EvidenceError
from ..types import Digest, Entry, Json, Observed
from ..verifiers import key_id
from .model_signature import verify_folder
from .signatures import verify_signature
from .store import check_name, files_below, hash_file

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFIED, UNVERIFIED = "verified", "unverified"
BY_HAND = "by hand"
BY_DVC = "dvc.lock"
"""How an existing model came in that was made by nothing the trail knows."""
OUTPUT = "origin"
"""The output that keeps the signature or the provenance, so that it is checked again at every deployment."""

_ROLES = ("model", "base")
_MOST_BYTES = 16 * 2**20
_INTOTO = "application/vnd.in-toto+json"
_PROVENANCE = ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2")

KeyOf = Callable[[str], str]
"""The key that the trust policy in force gives a signer who may make models; "" for none."""


class Trail(Protocol):
    def with_output(self, digest: Digest, section: str = "") -> Entry | None: ...
    def key_of(self, name: str) -> str: ...


class Store(Protocol):
    def path(self, digest: Digest) -> Path: ...
    def checkout(self, digest: Digest, destination: Path) -> Path: ...


class Proof(NamedTuple):
    """What vouches for a source: a file with an OpenSSF signature, or with SLSA provenance by ``builder``."""

    how: str
    file: Path
    builder: str = ""


def verify_source(source: Path, proof: Proof, signed_by: Sequence[str], key_of: KeyOf) -> tuple[str, str]:
    """(name, key id) of the first of ``signed_by`` for whose key the proof holds.

    Raises EvidenceError: MLO7283 where the policy knows none of them, MLO7281 and MLO7284 where the proof fails.
    """
    keys = {name: key for name in signed_by if (key := key_of(name))}
    if not keys:
        raise EvidenceError(
            f"the trust policy names no signer {' or '.join(signed_by)} who may make models",
            hint="add the publisher's public key to trust.yaml, with roles: [train], and put the policy in force",
            code="MLO7283",
        )
    failed: EvidenceError | None = None
    for name, key in keys.items():
        try:
            if proof.how == "provenance":
                _verify_provenance(source, proof, key)
            else:
                _verify_signature(source, proof.file, key)
        except EvidenceError as error:
            failed = failed or error
            continue
        return name, key_id(key)
    if failed is None:
        raise AssertionError
    raise failed


def _verify_signature(source: Path, signature: Path, key: str) -> None:
    try:
        verify_folder(source, signature, key)
    except EvidenceError as error:
        raise EvidenceError(
            f"the imported model is not what was signed: {error.message}",
            hint="fetch model and signature together from the publisher, and compare the publisher's key with trust.yaml",
            code="MLO7281",
        ) from error


def _verify_provenance(source: Path, proof: Proof, key: str) -> None:
    payload, signatures = _envelope(proof.file)
    message = b"DSSEv1 %d %s %d %s" % (len(_INTOTO), _INTOTO.encode(), len(payload), payload)
    if not any(verify_signature(key, message, signature) for signature in signatures):
        raise _no_provenance("it is signed by another key, or was changed")
    try:
        statement = json.loads(payload)
        subjects = {str(item["name"]): str(item["digest"].get("sha256", "")) for item in statement["subject"]}
        predicate = statement["predicate"]
        kind = statement["predicateType"]
        builder = (predicate["runDetails"] if kind == _PROVENANCE[0] else predicate)["builder"]["id"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_provenance(f"it is no SLSA provenance ({error!r})") from None
    if kind not in _PROVENANCE:
        raise _no_provenance(f"its predicate is {kind}")
    if builder != proof.builder:
        raise _no_provenance(f"it was built by {builder}, and builder: asks for {proof.builder}")
    if source.is_file():
        covered = hash_file(source)[7:] in subjects.values()
    else:
        covered = {name: hash_file(path)[7:] for name, path in files_below(source)} == subjects
    if not covered:
        raise _no_provenance("it is about other bytes")


def _envelope(path: Path) -> tuple[bytes, list[bytes]]:
    """Payload and signatures of a DSSE envelope in JSON."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("the file is too large")
        found = json.loads(path.read_bytes())
        signatures = [b64decode(item["sig"], validate=True) for item in found["signatures"]]
        if found["payloadType"] != _INTOTO or len(signatures) > 16:
            raise ValueError(f"payload type {found['payloadType']}")
        return b64decode(found["payload"], validate=True), signatures
    except (KeyError, TypeError, ValueError) as error:
        raise _no_provenance(f"it is no DSSE envelope around an in-toto statement ({error})") from None


def _no_provenance(why: str) -> EvidenceError:
    return EvidenceError(
        f"the provenance does not prove where the imported model comes from: {why}",
        hint="fetch model and provenance together from the publisher; builder: is the builder.id that it must name",
        code="MLO7284",
    )


# --- From an artifact back to the imports in it ------------------------------------------------------------


def imports_behind(artifact: Observed, trail: Trail) -> list[Entry]:
    """The entries of the imported models that an artifact was made of, through every model trained on another."""
    found: dict[str, Entry] = {}
    waiting, known = list(_models(artifact.ingredients)), set[str]()
    while waiting:
        digest = waiting.pop()
        entry = trail.with_output(digest, "train") if digest not in known else None
        known.add(digest)
        if entry is None:
            continue
        if isinstance(entry.facts.get("origin"), dict):
            found[entry.id] = entry
        waiting += _models(entry.ingredients)
    return sorted(found.values(), key=lambda entry: entry.address)


def _models(ingredients: Mapping[str, Json]) -> Iterator[Digest]:
    inputs: Mapping[str, Any] = ingredients.get("inputs") or {}
    for role in _ROLES:
        yield from map(Digest, inputs.get(role) or ())


def barred(artifact: Observed, trail: Trail) -> tuple[str, ...]:
    """Why a protected deployment may not run this artifact: one line an import whose origin is not proved today."""
    found = []
    for entry in imports_behind(artifact, trail):
        origin = entry.facts["origin"]
        if origin.get("state") != VERIFIED:
            why = {BY_HAND: "mlopsctl import", BY_DVC: "made by DVC"}.get(
                str(origin.get("how")), "an import without signed_by:"
            )
            found.append(f"{entry.address} unverified ({why})")
        elif not _still_trusted(origin, trail):
            found.append(f"{entry.address} unverified (the key of {origin.get('by')} is not trusted any more)")
    return tuple(found)


def _still_trusted(origin: Mapping[str, Json], trail: Trail) -> bool:
    key = trail.key_of(str(origin.get("by", "")))
    return bool(key) and key_id(key) == origin.get("key")


def check_again(artifact: Observed, trail: Trail, store: Store, scratch: Path) -> dict[str, str]:
    """Verifies every import behind an artifact anew: address -> ``verified by NAME`` or ``unverified``.

    Raises EvidenceError where the proof of one no longer holds under today's policy.
    """
    found = {}
    for entry in imports_behind(artifact, trail):
        origin = entry.facts["origin"]
        if origin.get("state") == VERIFIED:
            _check_one(entry, origin, trail, store, scratch)
        found[entry.address] = words(origin)
    return found


def _check_one(entry: Entry, origin: Mapping[str, Json], trail: Trail, store: Store, scratch: Path) -> None:
    folder = scratch / "imported"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        store.checkout(entry.outputs["model"], folder)
        names = [str(name) for name in (*(origin.get("added") or ()), *filter(None, [origin.get("file")]))]
        for name in names:
            check_name(name)
        for name in origin.get("added") or ():
            (folder / str(name)).unlink()
        source = folder / str(origin["file"]) if origin.get("file") else folder
        proof = Proof(str(origin["how"]), store.path(entry.outputs[OUTPUT]), str(origin.get("builder", "")))
    except (KeyError, OSError) as error:
        raise EvidenceError(
            f"the entry of {entry.address} does not say how its origin was verified ({error!r})",
            hint=f"import it anew: mlopsctl apply --replace {entry.address}",
            code="MLO7282",
        ) from None
    verify_source(source, proof, [str(origin.get("by"))], trail.key_of)
    shutil.rmtree(folder, ignore_errors=True)


def words(origin: Mapping[str, Json]) -> str:
    """``verified by NAME`` or ``unverified``."""
    return f"{VERIFIED} by {origin.get('by')}" if origin.get("state") == VERIFIED else UNVERIFIED
