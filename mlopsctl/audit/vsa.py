"""A verification summary: what whoever exports has found of an artifact, as a statement that other tools read.

Source: https://slsa.dev/spec/v1.0/verification_summary
"""

from __future__ import annotations

import hashlib
import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence

from ..canonical import canonical
from ..errors import EvidenceError, MlopsError
from ..types import Entry, Json
from .dsse import PAYLOAD_TYPE, entry_id, pae
from .statement import STATEMENT_TYPE, digest_set
from .trace import Node
from .trail import TrailLog

VSA = "https://slsa.dev/verification_summary/v1"
LEVELS = ("MLOPSCTL_TRAIL", "MLOPSCTL_GATES")
"""The trail is valid; every gate that measured the artifact or its model passed."""


def summary_line(trail: TrailLog, node: Node, lines: Sequence[bytes], *, valid: bool) -> bytes:
    """The signed envelope of a summary of ``node``; ``lines`` are the envelopes that it rests on.

    Raises MlopsError where the node names no artifact, EvidenceError where its signer is an identity, whose signature
    a plain envelope cannot carry.
    """
    if node.entry is None:
        raise ValueError("nothing to sum up")
    signer, policy = trail.signer(), trail.ledger.policy_in_force()
    gates = _gates(node)
    passed = valid and all(gate.status == "passed" for gate in gates)
    name = (policy.name_of(signer.key) if policy else "") or signer.name
    payload = canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": _subject(node),
            "predicateType": VSA,
            "predicate": {
                "verifier": {"id": f"urn:mlopsctl:verifier:{name}"},
                "timeVerified": trail.clock(),
                "resourceUri": f"urn:mlopsctl:resource:{node.entry.address}",
                "policy": {
                    "uri": "urn:mlopsctl:trust-policy",
                    "digest": digest_set(policy.digest) if policy else {},
                },
                "inputAttestations": [_input(line) for line in lines],
                "verificationResult": "PASSED" if passed else "FAILED",
                "verifiedLevels": list(LEVELS[: 1 + bool(gates)]) if passed else ["FAILED"],
                "slsaVersion": "1.0",
            },
        }
    )
    signature, material = signer.seal(pae(payload))
    if material is not None:
        raise EvidenceError(
            "an identity cannot sign a plain envelope: its signature holds only with its bundle",
            hint="sign with a key: MLOPS_KEY=PATH mlopsctl audit export … --vsa",
            code="MLO7246",
        )
    signed = {"keyid": signer.key_id, "sig": _b64(signature)}
    return canonical({"payload": _b64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [signed]})


def _subject(node: Node) -> list[Json]:
    """The artifact: what a deployment was made from, or what the entry itself made."""
    found = [(below.role, below.digest) for below in node.inputs if below.role == "artifact"]
    if not found and node.entry is not None:
        found = [(name, digest) for name, digest in node.entry.outputs.items() if not name.endswith(".sig")]
    if not found:
        raise MlopsError(
            "this entry names no artifact to sum up",
            hint="name a deployment or a target: mlopsctl audit export deployments.local --vsa",
            code="MLO7247",
        )
    return [{"name": name, "digest": digest_set(digest)} for name, digest in found]


def _gates(node: Node) -> list[Entry]:
    return [*node.gates, *(gate for below in node.inputs for gate in _gates(below))]


def _input(line: bytes) -> Json:
    entry = entry_id(a2b_base64(json.loads(line)["payload"]))
    return {"uri": f"urn:mlopsctl:entry:{entry}", "digest": {"sha256": hashlib.sha256(line).hexdigest()}}


def _b64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
