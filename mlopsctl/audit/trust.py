"""The trust policy: who may attest what.

A policy is ``{"root": {"keys": […], "threshold": N}, "signers": {NAME: {…}}, "retired"?: […], "anchors"?: […]}``. A
signer has ``key`` (see mlopsctl/verifiers.py) or ``identity`` and ``issuer``, ``roles``, and may have ``until``, ``hardware`` and
``git`` (commitments to the addresses that the person commits under). trust.yaml proposes a policy, the trail's root and
trust entries put it in force.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from ..canonical import digest_of
from ..errors import EvidenceError
from ..types import Json
from ..verifiers import identity, public_key, strength

ROLES = ("data", "train", "gate", "compile", "deploy", "approve", "halt", "erase", "govern", "trust")

_SECTION_ROLE = {"data": "data", "train": "train", "gates": "gate", "targets": "compile", "deployments": "deploy"}

_KIND_ROLE = {
    **dict.fromkeys(
        ("intent", "rollback", "promote", "pin", "unhold", "resume", "destroy", "observed", "deployment"), "deploy"
    ),
    **dict.fromkeys(("halt", "incident"), "halt"),
    "approval": "approve",
    "erasure": "erase",
    **dict.fromkeys(("reject", "withdraw", "checkpoint"), "govern"),
    **dict.fromkeys(("root", "trust"), "trust"),
}

RESULT_KINDS = ("result", "failure", "import", "forget", "move", "trial")
KINDS = (*RESULT_KINDS, *_KIND_ROLE)

_MEMBERS = {"root", "signers", "retired", "anchors"}
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_MOMENT = r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?"


@lru_cache(maxsize=1024)
def role_of(kind: str, address: str) -> str:
    """The role that a key needs to sign such an entry; "" for a kind that this version does not know."""
    if kind in RESULT_KINDS:
        return _SECTION_ROLE.get(address.partition(".")[0], "")
    return _KIND_ROLE.get(kind, "")


class SignerRule(NamedTuple):
    """One signer of a policy; ``until`` is an RFC 3339 moment or ""; ``git`` holds ``committer`` digests."""

    name: str
    key: str
    roles: frozenset[str]
    until: str = ""
    hardware: bool = False
    git: frozenset[str] = frozenset()

    def expired(self, at: str) -> bool:
        """Whether the key was valid no more at this moment."""
        return bool(self.until) and at > self.until

    @property
    def strength(self) -> str:
        """How strong its signatures are, in words."""
        return strength(self.key, self.hardware)


class Retired(NamedTuple):
    """A key that signs no more: what it signed counts only among ``last_good`` and their ancestors."""

    name: str
    key: str
    last_good: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class Policy:
    """A checked policy. ``content`` is what the entry holds; ``previous`` the digests of the policies it replaced.

    It replaces several where concurrent changes were settled by it.
    """

    content: Mapping[str, Json]
    signers: Mapping[str, SignerRule]
    root_keys: tuple[str, ...]
    threshold: int
    previous: tuple[str, ...] = ()
    retired: tuple[Retired, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Of the content and of what it replaced: a grant that is taken back leads to a policy of its own."""
        before: Json = self.previous[0] if len(self.previous) == 1 else list(self.previous)
        return str(digest_of([dict(self.content), before] if before else dict(self.content)))

    @property
    def anchors(self) -> tuple[str, ...]:
        """Places outside where the trail's checkpoints are kept."""
        return tuple(self.content.get("anchors", ()))

    def may(self, name: str, role: str) -> bool:
        """Whether the signer holds the role."""
        rule = self.signers.get(name)
        return rule is not None and role in rule.roles

    def name_of(self, key: str) -> str:
        """The name under which the policy lists this key, or ""."""
        return next((rule.name for rule in self.signers.values() if rule.key == key), "")


def committer(log_id: str, address: str) -> str:
    """A commitment to an e-mail address that somebody commits under: the policy names nobody, and one can be checked."""
    return "sha256:" + hashlib.sha256(f"{log_id}\0{address.strip().lower()}".encode()).hexdigest()


def read_policy(content: Any, previous: Sequence[str] = ()) -> Policy:
    """Checks a policy as trust.yaml or an entry has it. Raises EvidenceError (MLO7019) naming what is wrong."""
    try:
        return _policy(content, tuple(previous))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EvidenceError(
            f"the trust policy is not valid: {error}",
            hint="root: {keys: […], threshold: N} and signers: {NAME: {key, roles}}; see mlopsctl explain MLO7019",
            code="MLO7019",
        ) from None


def _policy(content: Any, previous: tuple[str, ...]) -> Policy:
    if not isinstance(content, dict) or not {"root", "signers"} <= content.keys() <= _MEMBERS:
        raise ValueError("it has the members root and signers, and may have retired and anchors")
    keys = tuple(public_key(key) for key in content["root"]["keys"])
    threshold = content["root"]["threshold"]
    if type(threshold) is not int or not 1 <= threshold <= len(set(keys)) or len(set(keys)) != len(keys):
        raise ValueError("root.threshold lies between 1 and the number of different root keys")
    signers = {name: _signer(name, rule) for name, rule in content["signers"].items()}
    retired = tuple(_retired(item) for item in content.get("retired", ()))
    by_key = [rule.key for rule in signers.values()] + [item.key for item in retired]
    if len(set(by_key)) != len(by_key):
        raise ValueError("two signers share one key, or a retired key signs again")
    anchors = content.get("anchors", [])
    if not isinstance(anchors, list) or not all(isinstance(item, str) and item for item in anchors):
        raise ValueError("anchors is a list of places")
    return Policy(content, signers, keys, threshold, previous, retired)


def _signer(name: Any, rule: Mapping[str, Any]) -> SignerRule:
    _check_name(name)
    unknown = rule.keys() - {"key", "identity", "issuer", "roles", "until", "hardware", "git"}
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
    git = rule.get("git", [])
    if not isinstance(git, list) or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", item) for item in git):
        raise ValueError(f"git of {name}: a list of sha256:…, as mlopsctl trust commitment ADDRESS prints them")
    if type(rule.get("hardware", False)) is not bool:
        raise ValueError(f"hardware of {name}: true or false")
    return SignerRule(name, _key_of(name, rule), frozenset(roles), until, rule.get("hardware", False), frozenset(git))


def _key_of(name: str, rule: Mapping[str, Any]) -> str:
    if "key" in rule and not rule.keys() & {"identity", "issuer"}:
        return public_key(rule["key"])
    if "key" not in rule and {"identity", "issuer"} <= rule.keys():
        return identity(rule["identity"], rule["issuer"])
    raise ValueError(f"{name} has either a key, or an identity with its issuer")


def _retired(item: Mapping[str, Any]) -> Retired:
    _check_name(item["name"])
    last_good = item["last_good"]
    if item.keys() - {"name", "key", "identity", "issuer", "last_good", "reason"} or not isinstance(last_good, list):
        raise ValueError("a retired key has name, key, last_good and reason")
    if not all(re.fullmatch(r"[0-9a-f]{64}", entry) for entry in last_good):
        raise ValueError(f"last_good of {item['name']} holds ids of entries")
    return Retired(item["name"], _key_of(item["name"], item), tuple(last_good), str(item.get("reason", "")))


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise ValueError(f"{name!r} is no signer's name: letters, digits, dot, dash, underscore")


def one_signer(name: str, key: str) -> dict[str, Json]:
    """The policy that ``init`` puts in force: one key, root and every role."""
    key = public_key(key)
    return {"root": {"keys": [key], "threshold": 1}, "signers": {name: {"key": key, "roles": list(ROLES)}}}
