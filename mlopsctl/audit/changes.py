"""Changes of the trust policy: proposed as an entry, signed by root keys one after the other, appended at the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..canonical import canonical
from ..errors import EvidenceError, MlopsError, StaleError
from ..types import Entry, Json
from .dsse import decode, encode, pae
from .entry import entry_fields, read_line
from .ports import Signer
from .retire import KEPT, ancestors, signed_by_retired
from .signing import check_payload
from .statement import statement
from .trail import TrailLog
from .trust import Policy, Retired, read_policy
from .verify import VALID, Line


@dataclass(frozen=True)
class Proposal:
    """A trust entry with the signatures so far; ``needed`` is how many root keys must sign in all."""

    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    policy: Policy
    needed: int

    @property
    def complete(self) -> bool:
        return len(self.signatures) >= self.needed

    def line(self) -> bytes:
        """The proposal as the line of the trail that it becomes; as a file it travels between the root's holders."""
        return encode(self.payload, self.signatures)


def propose(trail: TrailLog, content: Mapping[str, Json], by: Signer, reason: str, commit: str) -> Proposal:
    """An entry that puts ``content`` in force, not signed yet. What was retired stays retired.

    Raises EvidenceError where the policy is malformed or this clone has no trail.
    """
    trail.settle()
    before = needed_policy(trail)
    newest = trail.ledger.newest_policies()
    kept = [dict(item) for item in before.content.get("retired", ())]
    more = [item for item in content.get("retired", ()) if item not in kept]
    whole = dict(content) | ({"retired": [*kept, *more]} if kept or more else {})
    policy = read_policy(whole, newest)
    tips = trail.tips()
    fields = entry_fields(
        log=trail.log_id(), seq=trail.next_seq(tips), parents=tips, at=trail.clock(),
        signer=before.name_of(by.key) or by.name, trust=before.digest, kind="trust", facts={"trust": whole, **({"reason": reason} if reason else {})},
    )  # fmt: skip
    payload = statement(fields, commit)
    check_payload(payload, "the change of trust")
    return Proposal(payload, (), policy, before.threshold)


def read_proposal(trail: TrailLog, text: bytes) -> Proposal:
    """A proposal that somebody handed on, with its signatures checked.

    Raises EvidenceError where a signature is no root key's, StaleError where another policy is in force by now.
    """
    trail.sync()
    before = needed_policy(trail)
    try:
        envelope = decode(text.strip()) if b'"signatures":[]' not in text else None
        record = read_line(text.strip()) if envelope else None
    except ValueError as error:
        raise _no_proposal(str(error)) from None
    if envelope is None or record is None or record.kind != "trust":
        raise _no_proposal("it holds no signed change of trust")
    if record.fields["trust"] != before.digest:
        raise StaleError(
            "the proposal changes another trust policy than the one in force now",
            hint="propose it anew: mlopsctl trust apply",
            code="MLO6010",
        )
    policy = read_policy(record.fields["facts"]["trust"], trail.ledger.newest_policies())
    for hint, signature in envelope.signatures:
        if not any(trail.ledger.check(key, pae(envelope.payload), signature) for key in before.root_keys):
            raise EvidenceError(
                f"the signature of key {hint[:12]} on the proposal is by no root key",
                hint="ask whoever handed it on; mlopsctl trust show lists the root keys",
                code="MLO7211",
            )
    return Proposal(envelope.payload, envelope.signatures, policy, before.threshold)


def _no_proposal(why: str) -> EvidenceError:
    return EvidenceError(
        f"this is no proposal of a change of trust: {why}",
        hint="mlopsctl trust apply -o FILE writes one",
        code="MLO7212",
    )


def countersign(trail: TrailLog, proposal: Proposal, signer: Signer) -> Proposal:
    """The proposal with one signature more. Raises EvidenceError for a key that is no root key (MLO7213)."""
    before = needed_policy(trail)
    if signer.key not in before.root_keys:
        raise EvidenceError(
            f"the key '{signer.name}' is no root key, and only root keys change the trust policy",
            hint="MLOPS_KEY=PATH chooses another key; mlopsctl trust show lists the root keys",
            code="MLO7213",
        )
    if any(hint == signer.key_id for hint, _ in proposal.signatures):
        return proposal
    signature, _ = signer.seal(pae(proposal.payload))
    return Proposal(
        proposal.payload, (*proposal.signatures, (signer.key_id, signature)), proposal.policy, proposal.needed
    )


def put(trail: TrailLog, proposal: Proposal) -> Entry:
    """Appends a complete proposal. Raises EvidenceError where it does not come into force (MLO7214)."""
    with trail.ledger.journal.lock():
        trail.settle()
        judged, findings, _ = trail.ledger.judge([Line(proposal.line())])
        if [one.state for one in judged] != [VALID]:
            raise EvidenceError(
                f"the change of trust does not come into force: {'; '.join(one.message for one in findings)}",
                hint="propose it anew: mlopsctl trust apply",
                code="MLO7214",
            )
        entry = trail.journal_line(proposal.line(), VALID)
    trail.flush()
    return entry


def needed_policy(trail: TrailLog) -> Policy:
    """The policy in force. Raises EvidenceError without a trail."""
    policy = trail.ledger.policy_in_force()
    if policy is None:
        raise EvidenceError(
            "this clone has no valid trail", hint="mlopsctl pull --trail-only, or mlopsctl init", code="MLO7106"
        )
    return policy


# --- What a person wants changed -----------------------------------------------------------------------------


def without(policy: Policy, name: str, last_good: Sequence[str], reason: str) -> dict[str, Json]:
    """The policy's content with this signer's key retired. Raises MlopsError where there is no such signer."""
    content = _copy(policy)
    rule = _signer(content, name)
    key = {part: rule[part] for part in ("key", "identity", "issuer") if part in rule}
    retired = {"name": name, **key, "last_good": sorted(last_good), **({"reason": reason} if reason else {})}
    content["signers"] = {other: rule for other, rule in content["signers"].items() if other != name}
    content["retired"] = [*content.get("retired", ()), retired]
    return content


def rotated(policy: Policy, name: str, key: str, last_good: Sequence[str]) -> dict[str, Json]:
    """The policy's content with ``key`` in place of this signer's key, among the root keys too."""
    rule = dict(_signer(_copy(policy), name))
    old = rule.get("key", "")
    content = without(policy, name, last_good, "rotated")
    # What a person proves in another way stays out: an identity's issuer, where the hardware was, when it ran out.
    rest = {part: value for part, value in rule.items() if part in ("roles", "git")}
    content["signers"][name] = {"key": key, **rest}
    content["root"]["keys"] = [key if one == old else one for one in content["root"]["keys"]]
    return content


def _copy(policy: Policy) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(canonical(dict(policy.content)))
    return found


def _signer(content: Mapping[str, Any], name: str) -> Mapping[str, Json]:
    if name not in content["signers"]:
        raise MlopsError(
            f"the trust policy lists no signer '{name}'",
            hint="it lists " + (", ".join(content["signers"]) or "none"),
            code="MLO7215",
        )
    found: Mapping[str, Json] = content["signers"][name]
    return found


def would_lose(trail: TrailLog, policy: Policy, name: str, last_good: Sequence[str]) -> list[Entry]:
    """The valid entries that stop counting when this signer's key is retired."""
    rule = policy.signers[name]
    asked = Policy(policy.content, {}, policy.root_keys, 1, (), (Retired(name, rule.key, tuple(last_good)),))
    good = ancestors(trail.ledger, last_good)
    means = {pair for pairs, _ in signed_by_retired(trail.ledger, asked) for pair in pairs}
    found = [entry for entry in trail.entries(signer=name) if entry.kind not in KEPT and entry.id not in good]
    return [
        entry for entry in found if (place := trail.ledger.place(entry.id)) and (place.policy, entry.signer) in means
    ]
