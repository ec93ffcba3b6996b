"""The trust policy: who may attest what.

A policy is ``{"root": {"keys": […], "threshold": N}, "signers": {NAME: {"key", "roles", "until"?}}}``; keys are the
base64 of a DER SubjectPublicKeyInfo. trust.yaml proposes one, the trail's root and trust entries put it in force.
"""

from __future__ import annotations

import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..canonical import digest_of
from ..errors import EvidenceError
from ..types import Json

ROLES = ("data", "train", "gate", "compile", "deploy", "approve", "halt", "erase", "govern", "trust")

_SECTION_ROLE = {"data": "data", "train": "train", "gates": "gate", "targets": "compile", "deployments": "deploy"}

_KIND_ROLE = {
    **dict.fromkeys(
        ("intent", "rollback", "promote", "pin", "unhold", "resume", "destroy", "observed", "deployment"), "deploy"
    ),
    "halt": "halt",
    "approval": "approve",
    "erasure": "erase",
    **dict.fromkeys(("reject", "withdraw", "checkpoint"), "govern"),
    **dict.fromkeys(("root", "trust"), "trust"),
}

RESULT_KINDS = ("result", "failure", "import", "forget")
KINDS = (*RESULT_KINDS, *_KIND_ROLE)

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_MOMENT = r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?"
# DER heads of the three curves that model signing takes too: P-256, P-384, P-521.
_CURVES = (
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"),
    bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"),
)


def role_of(kind: str, address: str) -> str:
    """The role that a key needs to sign such an entry; "" for a kind that this version does not know."""
    if kind in RESULT_KINDS:
        return _SECTION_ROLE.get(address.partition(".")[0], "")
    return _KIND_ROLE.get(kind, "")


def key_id(key: str) -> str:
    """sha256 of the DER SubjectPublicKeyInfo, in hex."""
    return hashlib.sha256(a2b_base64(key)).hexdigest()


def public_key(text: str) -> str:
    """The one spelling of a public key (base64 of its DER form) from PEM or base64.

    Raises ValueError for anything but an EC key on P-256, P-384 or P-521.
    """
    lines = [line for line in text.strip().splitlines() if not line.startswith("-----")]
    try:
        der = a2b_base64("".join(lines).encode("ascii"), strict_mode=True)
    except (UnicodeError, Base64Error):
        raise ValueError("the public key is neither PEM nor base64") from None
    if not any(der.startswith(head) for head in _CURVES):
        raise ValueError("only EC keys on P-256, P-384 or P-521 can sign")
    return b2a_base64(der, newline=False).decode()


def pem(key: str) -> str:
    """A base64 public key as PEM. Source: RFC 7468, section 13."""
    lines = [key[start : start + 64] for start in range(0, len(key), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


class SignerRule(NamedTuple):
    """One signer of a policy; ``until`` is an RFC 3339 moment or ""."""

    name: str
    key: str
    roles: frozenset[str]
    until: str = ""

    def expired(self, at: str) -> bool:
        """Whether the key was valid no more at this moment."""
        return bool(self.until) and at > self.until


@dataclass(frozen=True)
class Policy:
    """A checked policy. ``content`` is what the entry holds; ``previous`` the digest of the policy it replaced."""

    content: Mapping[str, Json]
    signers: Mapping[str, SignerRule]
    root_keys: tuple[str, ...]
    threshold: int
    previous: str = ""

    @cached_property
    def digest(self) -> str:
        """Of the content and of what it replaced: a grant that is taken back leads to a policy of its own."""
        return str(digest_of([dict(self.content), self.previous] if self.previous else dict(self.content)))

    def may(self, name: str, role: str) -> bool:
        """Whether the signer holds the role."""
        rule = self.signers.get(name)
        return rule is not None and role in rule.roles

    def name_of(self, key: str) -> str:
        """The name under which the policy lists this key, or ""."""
        return next((rule.name for rule in self.signers.values() if rule.key == key), "")


def read_policy(content: Any, previous: str = "") -> Policy:
    """Checks a policy as trust.yaml or an entry has it. Raises EvidenceError (MLO7019) naming what is wrong."""
    try:
        return _policy(content, previous)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EvidenceError(
            f"the trust policy is not valid: {error}",
            hint="root: {keys: […], threshold: N} and signers: {NAME: {key, roles}}; see mlopsctl explain MLO7019",
            code="MLO7019",
        ) from None


def _policy(content: Any, previous: str) -> Policy:
    if not isinstance(content, dict) or content.keys() != {"root", "signers"}:
        raise ValueError("it has exactly the members root and signers")
    keys = tuple(public_key(key) for key in content["root"]["keys"])
    threshold = content["root"]["threshold"]
    if type(threshold) is not int or not 1 <= threshold <= len(set(keys)) or len(set(keys)) != len(keys):
        raise ValueError("root.threshold lies between 1 and the number of different root keys")
    signers = {name: _signer(name, rule) for name, rule in content["signers"].items()}
    by_key = {rule.key for rule in signers.values()}
    if len(by_key) != len(signers):
        raise ValueError("two signers share one key")
    return Policy(content, signers, keys, threshold, previous)


def _signer(name: Any, rule: Mapping[str, Any]) -> SignerRule:
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise ValueError(f"{name!r} is no signer's name: letters, digits, dot, dash, underscore")
    unknown = rule.keys() - {"key", "roles", "until"}
    if unknown:
        raise ValueError(f"signer {name} has the unknown member {min(unknown)}")
    roles = rule["roles"]
    if not isinstance(roles, list) or not roles or not set(roles) <= set(ROLES):
        raise ValueError(f"roles of {name}: a list out of {', '.join(ROLES)}")
    until = rule.get("until", "")
    if not isinstance(until, str) or (until and not re.fullmatch(_MOMENT, until)):
        raise ValueError(f"until of {name}: a day like 2027-03-01 or a UTC moment like 2027-03-01T12:00:00Z")
    # A day counts to its end.
    until = until + "T23:59:59Z" if len(until) == 10 else until
    return SignerRule(name, public_key(rule["key"]), frozenset(roles), until)


def one_signer(name: str, key: str) -> dict[str, Json]:
    """The policy that ``init`` puts in force: one key, root and every role."""
    key = public_key(key)
    return {"root": {"keys": [key], "threshold": 1}, "signers": {name: {"key": key, "roles": list(ROLES)}}}


def policy_yaml(content: Mapping[str, Json]) -> str:
    """trust.yaml for a policy, with a word on what it is."""
    lines = [
        "# Who may attest what. A change here is a proposal: it counts once the root keys have signed it into the trail.",
        "root:",
        f"  threshold: {content['root']['threshold']}",
        "  keys:",
        *(f"    - {key}" for key in content["root"]["keys"]),
        "signers:",
    ]
    for name, rule in content["signers"].items():
        lines += [f"  {name}:", f"    key: {rule['key']}", f"    roles: [{', '.join(rule['roles'])}]"]
        if rule.get("until"):
            lines.append(f'    until: "{rule["until"]}"')
    return "\n".join(lines) + "\n"
