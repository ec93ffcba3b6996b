"""Who agreed to a release: approvals bound to its digest, counted by people who neither wrote nor trained it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .canonical import digest_of
from .provider import Inputs, declared_fields
from .types import GUARD, Address, Digest, Entry, Json, Resource, Verdict

KINDS = ("approval",)


class Maker(NamedTuple):
    """Who signed one of the entries that a release rests on."""

    address: str
    signer: str


class People(NamedTuple):
    """What is known of the people around one release.

    ``authors`` are those of the commits behind it: names in lower case, and commitments to their addresses.
    ``signers`` are those of the trust policy in force, with the commitments that are theirs. ``now`` is a UTC moment.
    """

    makers: tuple[Maker, ...]
    approvals: tuple[Entry, ...]
    authors: frozenset[str]
    signers: Mapping[str, frozenset[str]]
    now: str
    dirty: bool = False
    """Whether tracked files differ from the commit: a release of them could not be found again."""
    governors: frozenset[str] = frozenset()
    """The signers who hold the role ``govern``: only they may loosen a control."""
    approvers: frozenset[str] = frozenset()
    """The signers who hold the role ``approve``."""


class Quorum(NamedTuple):
    """How many people must agree, for how many seconds an approval counts, and the role they need besides ``approve``."""

    needed: int
    valid: float | None = None
    role: str = ""


class Count(NamedTuple):
    """Who approved a release, and why others' approvals don't count."""

    approvers: tuple[str, ...]
    refused: tuple[str, ...]


def quorum_of(spec: Any) -> Quorum | None:
    """Who has to agree before this deployment changes, None where nobody has to."""
    approvals = getattr(spec, "approvals", None)
    return Quorum(approvals.count, approvals.valid) if approvals else None


def removal_digest(want: Resource, entry: str) -> Digest:
    """What an approval of taking a deployment down is bound to: ``entry`` is what runs."""
    return digest_of({"deployment": str(want.address), "removes": entry})


def release_digest(
    want: Resource, inputs: Inputs, verdicts: Mapping[Address, Verdict | None], weakens: Sequence[str] = ()
) -> Digest | None:
    """What an approval is bound to: deployment, all it declares, artifact, and what every guard measured and ruled.

    None while any of it is unknown. Defaults are left out: a new version with new keys voids no approval.
    """
    evidence: dict[str, Json] = {}
    given: list[Json] = []
    for item in inputs:
        verdict = verdicts.get(item.need.address)
        if item.need.address.section == "deployments":
            continue  # what comes first says when the release may go out, and nothing about what it is
        if item.role == GUARD and (verdict is None or item.seen is None):
            return None
        if item.role == GUARD and verdict is not None and item.seen is not None:
            evidence[str(item.need.address)] = [item.seen.entry, verdict.status.value, verdict.text]
        elif item.digest is None:
            return None
        else:
            given.append([item.role, item.digest])
    return digest_of(
        {
            "deployment": str(want.address),
            "provider": want.provider,
            "spec": declared_fields(want.spec),
            "inputs": given,
            "evidence": evidence,
            **({"weakens": list(weakens)} if weakens else {}),
        }
    )


def count(quorum: Quorum, release: Digest, people: People) -> Count:
    """The people who approved this very release, each once; author and trainer do not count, nor what ran out."""
    trainers = _trainers(people)
    found: dict[str, frozenset[str]] = {}
    refused = []
    for entry in people.approvals:
        why = _refusal(entry, quorum, release, people, trainers)
        theirs = people.signers.get(entry.signer, frozenset())
        same = [name for name, others in found.items() if name != entry.signer and theirs & others]
        if why is None and same:
            why = f"is the same person as {same[0]}"
        if why is None:
            found[entry.signer] = theirs
        elif why:
            refused.append(f"{entry.signer} {why}")
    return Count(tuple(sorted(found)), tuple(dict.fromkeys(refused)))


def _trainers(people: People) -> set[str]:
    return {maker.signer for maker in people.makers if maker.address.startswith("train.")}


def _refusal(entry: Entry, quorum: Quorum, release: Digest, people: People, trainers: set[str]) -> str | None:
    """Why an approval does not count, "" where it is about another release and needs no word."""
    if entry.facts.get("release") != release:
        return ""
    return disqualified(entry.signer, people, trainers, quorum.role) or _expired(entry, quorum, people.now)


def disqualified(signer: str, people: People, trainers: set[str], role: str = "") -> str | None:
    """Why this signer cannot approve, whatever they sign: they made it, or may not loosen a control."""
    if signer in trainers:
        return "trained it"
    if signer not in people.signers:
        return "is no signer any more"
    if signer.lower() in people.authors or people.signers[signer] & people.authors:
        return "wrote the code"
    if role == "govern" and signer not in people.governors:
        return "has no role govern"
    return None


def able(quorum: Quorum, people: People) -> tuple[str, ...]:
    """The signers whose approval would count, by name; the same person under two names once."""
    trainers = _trainers(people)
    found: dict[str, frozenset[str]] = {}
    for name in sorted(people.approvers):
        theirs = people.signers.get(name, frozenset())
        known = any(theirs & others for others in found.values())
        if not known and disqualified(name, people, trainers, quorum.role) is None:
            found[name] = theirs
    return tuple(found)


def _expired(entry: Entry, quorum: Quorum, now: str) -> str | None:
    valid = quorum.valid
    if valid is None:
        return None
    end = datetime.fromisoformat(entry.at) + timedelta(seconds=valid)
    return f"approved until {end:%Y-%m-%d %H:%M} UTC" if datetime.fromisoformat(now).astimezone(UTC) > end else None


def waits(want: Resource, release: Digest | None, people: People, quorum: Quorum) -> tuple[str, ...]:
    """What people have to do before the deployment goes on, () where nothing is missing."""
    needed, whose = quorum.needed, f" by the role {quorum.role}, which loosening a control needs" if quorum.role else ""
    if release is None:
        return (f"{needed} approval{'s' * (needed != 1)}{whose}, once its gates have measured",)
    have = count(quorum, release, people)
    if len(have.approvers) >= needed:
        return ()
    by = f" ({', '.join(have.approvers)})" if have.approvers else ""
    but = f"; not counted: {', '.join(have.refused)}" if have.refused else ""
    return (f"{len(have.approvers)} of {needed} approvals{whose}{by}{but}: mlopsctl approve {want.address.typed}",)


def others_made(spec: Any, makers: Sequence[Maker]) -> tuple[str, ...]:
    """What signers other than those of ``built_by`` made, as words for a blocked step."""
    return tuple(f"{one.address} built by {one.signer}" for one in makers if one.signer not in spec.built_by)
