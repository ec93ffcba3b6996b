"""Signatures by identities: whether a Sigstore bundle proves that an identity signed, and when. Never uses a network.

A proof is a short-lived certificate that Fulcio gave to the identity, a signature with its key, and an entry in the
transparency log Rekor. What they are checked against comes from the user alone, never from a repository: see
``sigstore_trust``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..verifiers import parts
from .sigstore_trust import Source, trust_source, unreadable

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

_PAE_HEAD = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} ".encode()


def trust_config(source: Source, *, refresh: bool = False) -> Any:
    """sigstore's ClientTrustConfig. ``refresh`` may fetch the public Sigstore's newest, for signing.

    Raises EvidenceError (MLO7153), or with ``refresh`` what the library raises where its network fails.
    """
    import logging

    from sigstore.models import ClientTrustConfig

    # That a trust root is used offline is what is meant here, and no news for the user.
    logging.getLogger("sigstore._internal.tuf").setLevel(logging.ERROR)
    if not source.path and refresh:
        return ClientTrustConfig.production()
    try:
        if source.path:
            return ClientTrustConfig.from_json(Path(source.path).read_text(encoding="utf-8"))
        return ClientTrustConfig.production(offline=True)
    except Exception as error:  # noqa: BLE001 - whatever the library says of a file that is no trust config
        raise unreadable(source.path or "the public Sigstore's trust root", str(error)) from None


def verify_identity(key: str, message: bytes, proof: bytes) -> bool:
    """Whether ``proof`` shows that the identity ``sigstore:ISSUER#NAME`` signed ``message``, DSSE's encoding of a
    statement. ``proof`` is as ``audit.entry.proofs`` composes it. Raises EvidenceError (MLO7153) for the user's own
    trust config only.
    """
    return bool(witnessed_at(key, message, proof))


def witnessed_at(key: str, message: bytes, proof: bytes) -> str:
    """The moment (RFC 3339, UTC) before which the identity signed ``message``, as somebody else than the signer says:
    the transparency log or a time-stamping authority. "" where the proof does not hold. Raises as ``verify_identity``.
    """
    checker = verifier(trust_source())
    try:
        found = json.loads(proof)
        return verified(checker, key, _bundle(found["bundle"], payload_of(message), found["sig"]))
    except Exception:  # noqa: BLE001 - a stranger's bytes in a large library: whatever it raises, nothing is proved
        return ""


def verified(checker: Any, key: str, bundle: dict[str, Any]) -> str:
    """``witnessed_at`` of a whole bundle around an in-toto statement. Raises where it does not hold, anything."""
    from sigstore.models import Bundle
    from sigstore.verify.policy import Identity

    name, issuer = parts(key)
    if bundle["mediaType"] != MEDIA_TYPE:
        raise ValueError("a bundle of another version than 0.3")
    read = Bundle.from_json(json.dumps(bundle))
    kind, payload = checker.verify_dsse(read, Identity(identity=name, issuer=issuer))
    if kind != PAYLOAD_TYPE or b64encode(payload).decode() != bundle["dsseEnvelope"]["payload"]:
        raise ValueError("the signature is over something else")
    _check_index(read.log_entry._inner)
    moments = [moment.time for moment in checker._establish_time(read)]
    return str(min(moments).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _check_index(entry: Any) -> None:
    """The library leaves the outer log index alone. Rekor v1 signs it, together with the time; v2 does not, and there it
    is that of the inclusion proof.
    """
    promised = entry.inclusion_promise is not None and entry.integrated_time
    if not promised and entry.log_index != entry.inclusion_proof.log_index:
        raise ValueError("the log index is another one than that of the inclusion proof")


@lru_cache(maxsize=4)
def verifier(source: Source) -> Any:
    """sigstore's Verifier over the trust root. Raises EvidenceError (MLO7153)."""
    from sigstore.verify import Verifier

    try:
        return Verifier(trusted_root=trust_config(source).trusted_root)
    except EvidenceError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise unreadable(source.path or "the public Sigstore's trust root", str(error)) from None


def payload_of(message: bytes) -> bytes:
    length, space, payload = message.removeprefix(_PAE_HEAD).partition(b" ")
    if not message.startswith(_PAE_HEAD) or not space or int(length) != len(payload):
        raise ValueError("the message is no in-toto statement in DSSE's encoding")
    return payload


def _bundle(outer: dict[str, Any], payload: bytes, signature: str) -> dict[str, Any]:
    """The whole bundle again, around the very bytes that were signed."""
    if outer.keys() != {"mediaType", "verificationMaterial"}:
        raise ValueError("the bundle carries something of its own")
    envelope = {
        "payload": b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": signature}],
    }
    return {**outer, "dsseEnvelope": envelope}
