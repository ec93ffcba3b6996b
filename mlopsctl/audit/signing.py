"""What may be signed, and by whom: roles, size and secrets are looked at before a line is made, and so is a new log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import EvidenceError
from ..types import Entry
from ..verifiers import is_identity
from .code import holds_secret
from .dsse import MAX_PAYLOAD, encode, pae
from .entry import entry_fields, read_line, to_entry
from .ports import Signer
from .statement import statement
from .trust import Policy, role_of
from .verify import LOCAL, VALID

if TYPE_CHECKING:
    from .trail import TrailLog

_LOCAL_ROLES = ("data", "train", "gate", "compile")


def may_append(policy: Policy, signer: Signer, kind: str, address: str, at: str) -> str:
    """VALID or LOCAL. Raises EvidenceError (MLO7105) for what a key without the role may not even keep."""
    name, role = policy.name_of(signer.key), role_of(kind, address)
    expired = bool(name) and policy.signers[name].expired(at)
    if policy.may(name, role) and not expired:
        return VALID
    # An identity's signature goes into a public log; what counts on this machine only has no business there.
    if role in _LOCAL_ROLES and not is_identity(signer.key):
        return LOCAL
    if expired:
        raise EvidenceError(
            f"the key of '{name}' was valid until {policy.signers[name].until}, and '{kind}' is signed with a valid one",
            hint="ask a holder of the root key to extend it in trust.yaml, or to add a new key",
            code="MLO7105",
        )
    what = "identity" if is_identity(signer.key) else "key"
    who = f"signer '{name}' has" if name else f"the {what} '{signer.name}' is not in the trust policy and has"
    raise EvidenceError(
        f"{who} no role '{role}', which '{kind}' needs",
        hint=f"ask a holder of the root key to add the {what} to trust.yaml; mlopsctl key show prints yours",
        code="MLO7105",
    )


def signed_line(payload: bytes, signer: Signer, what: str) -> bytes:
    """The line of one statement. Raises EvidenceError as ``check_payload`` does, and where the signer cannot sign."""
    check_payload(payload, what)
    signature, material = signer.seal(pae(payload))
    return encode(payload, [(signer.key_id, signature)], material)


def check_payload(payload: bytes, what: str) -> None:
    """Raises EvidenceError where a statement is too large (MLO7107) or holds a secret (MLO7120)."""
    if holds_secret(payload):
        raise EvidenceError(
            f"the entry for {what} would hold a secret, and the trail would keep it for ever",
            hint="take the secret out of params:, run: and the like; name it under env:",
            code="MLO7120",
        )
    if len(payload) > MAX_PAYLOAD:
        raise EvidenceError(
            f"the entry for {what} has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed",
            hint="keep long lists in an output file; the entry holds its digest",
            code="MLO7107",
        )


def start_log(trail: TrailLog, log_id: str, policy: Policy, commit: str = "") -> Entry:
    """Writes the root entry of a new log. Raises EvidenceError where this clone has a trail already."""
    ledger = trail.ledger
    with ledger.journal.lock():
        trail.sync()
        if ledger.tips() or ledger.log.tip():
            raise EvidenceError(
                "this repository has a trail already, and one repository has one trail",
                hint="mlopsctl audit log shows it; a second project gets a repository of its own: mlopsctl init there",
                code="MLO7108",
            )
        signer = trail.signer()
        fields = entry_fields(
            log=log_id, seq=1, parents=[], at=trail.clock(), signer=policy.name_of(signer.key), trust=policy.digest,
            kind="root", facts={"trust": dict(policy.content)},
        )  # fmt: skip
        line = signed_line(statement(fields, commit), signer, "the root")
        ledger.journal.append(ledger.journal.shared, line)
        trail.sync()
        trail.flush()
    return to_entry(read_line(line).payload)
