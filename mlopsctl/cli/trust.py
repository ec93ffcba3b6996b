"""``mlopsctl trust``: who may attest what, and how that is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..adapters.files import write_atomically
from ..audit.changes import (
    Proposal,
    countersign,
    needed_policy,
    propose,
    put,
    read_proposal,
)
from ..audit.trust import Policy, committer, read_policy
from ..crypto.keys import can_verify
from ..errors import EvidenceError, MlopsError, UsageError
from ..types import Json
from ..verifiers import is_identity, is_ssh, key_id, parts, public_key
from . import console
from .options import Format, check_format
from .project import Project, open_project
from .trail import pin_file, read_pin

TRUST = "trust.yaml"

Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Where a proposal goes that needs more signatures; default: trust.proposal.json."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the trail.")]


def show(format: Format = "text") -> int:
    """The trust policy in force: root keys, signers with their roles, keys that were retired.

    Examples:

      mlopsctl trust show

      mlopsctl trust show --format json
    """
    check_format(format)
    project = open_project()
    project.need_trail()
    policy = needed_policy(project.trail)
    proposed = _proposed(project)
    differs = proposed is not None and differences(policy, read_policy(proposed))
    if format == "json":
        shown = {"schema_version": 1, "digest": policy.digest, "policy": policy.content, "proposed": bool(differs)}
        console.out(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    _print(policy)
    if len(project.trail.ledger.newest_policies()) > 1:
        console.note(
            "warning: two concurrent changes of trust: neither is in force until mlopsctl trust apply settles it"
        )
    if differs:
        console.note(f"{TRUST} proposes other rules:")
        for line in differs:
            console.note(f"  {line}")
        console.note("  next: mlopsctl trust apply")
    return 0


def _print(policy: Policy) -> None:
    console.out(f"root  {policy.threshold} of {len(policy.root_keys)} keys: {', '.join(map(_name, policy.root_keys))}")
    rows = [
        (
            rule.name,
            ", ".join(sorted(rule.roles)),
            rule.strength,
            f"until {rule.until}" if rule.until else "",
            _name(rule.key),
        )
        for rule in policy.signers.values()
    ]
    for line in console.table(rows, ("signer", "roles", "strength", "valid", "key")):
        console.out(line)
    for item in policy.retired:
        last = ", ".join(entry[:12] for entry in item.last_good)
        console.out(f"retired  {item.name}  {_name(item.key)}  last good {last}  {item.reason}".rstrip())


def _name(key: str) -> str:
    return " by ".join(parts(key)) if is_identity(key) else key_id(key)[:12]


def apply(
    proposal: Annotated[
        Path | None, typer.Argument(help="A proposal that another holder of a root key signed; default: trust.yaml.")
    ] = None,
    yes: Yes = False,
    out: Out = None,
    reason: Reason = "",
) -> int:
    """Sign the policy of trust.yaml into the trail: from then on it is in force.

    Where the root needs several signatures, a proposal is written for the next holder of a root key.

    Examples:

      mlopsctl trust apply

      mlopsctl trust apply trust.proposal.json
    """
    project = writable()
    if proposal is not None:
        given = read_proposal(project.trail, _read(proposal))
    else:
        content = _proposed(project)
        if content is None:
            raise MlopsError(f"there is no {TRUST} in {project.root}", hint="mlopsctl trust show -o", code="MLO7216")
        given = propose(project.trail, content, project.signer(), reason, project.repo.rev("HEAD"))
    before = needed_policy(project.trail)
    lines = differences(before, given.policy)
    if not lines and len(project.trail.ledger.newest_policies()) == 1:
        console.out("no changes: the policy of trust.yaml is in force")
        return 0
    return sign(project, given, lines, yes, out or proposal)


def pin(
    root: Annotated[str, typer.Argument(help="The id of the root entry, as somebody you trust told you.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also where another root was pinned.")] = False,
) -> int:
    """Believe this root entry from now on, on this machine: a trail with another one is refused.

    `init` pins the root for whoever runs it. Everybody else gets the id from a person, not from the repository.

    Examples:

      mlopsctl trust pin 3f9a1c0de5b7…
    """
    project = writable()
    log = project.manifest.project.log
    before = read_pin(log)
    if not re.fullmatch(r"[0-9a-f]{64}", root):
        raise UsageError(
            f"'{root}' is no id of an entry: 64 digits of 0-9 and a-f",
            hint="whoever ran init reads it off: mlopsctl audit log --kind root --format json",
            code="MLO6416",
        )
    if before.get("root", root) != root and not replace:
        raise EvidenceError(
            f"another root is pinned on this machine: {before['root'][:12]}",
            hint="find out which one is right; mlopsctl trust pin --replace takes the new one",
            code="MLO7217",
        )
    entry = project.trail.entry(root)
    if entry is None or entry.kind != "root":
        raise EvidenceError(
            f"this trail has no root entry {root[:12]}",
            hint="mlopsctl audit log --kind root shows the one it has: somebody may have replaced it",
            code="MLO7218",
        )
    write_atomically(pin_file(log), json.dumps({**before, "log": log, "root": root}, indent=1).encode() + b"\n", 0o600)
    console.out(f"pinned: {pin_file(log)}")
    return 0


def commitment(
    address: Annotated[str, typer.Argument(help="An e-mail address that a signer commits under.")],
) -> int:
    """What stands for an e-mail address under `git:` in trust.yaml, so that no address goes into the trail.

    An approval counts only where its signer is not the author of the commit; this tells who is.

    Examples:

      mlopsctl trust commitment ada@example.com
    """
    project = open_project()
    project.need_log()
    console.out(committer(project.manifest.project.log, address))
    return 0


# --- Steps -----------------------------------------------------------------------------------------------------


def writable() -> Project:
    project = open_project()
    project.need_log()
    project.need_trail()
    return project


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="check the path", code="MLO6411") from None


def public_half(path: Path) -> str:
    try:
        return public_key(_read(path).decode("ascii"))
    except ValueError as error:
        raise UsageError(
            f"{path} holds no public key: {error}", hint="mlopsctl key show prints one", code="MLO6411"
        ) from None


def _proposed(project: Project) -> dict[str, Any] | None:
    """The content of trust.yaml, which lies at the repository's root or beside the manifest; None where it is missing."""
    from ..manifest.plain import read_plain

    for folder in (project.root, project.repo.root):
        if (folder / TRUST).is_file():
            found = read_plain((folder / TRUST).read_bytes(), TRUST)
            policy = read_policy(found)
            return dict(policy.content)
    return None


def sign(project: Project, given: Proposal, lines: Sequence[str], yes: bool, out: Path | None) -> int:
    """Shows the change, asks, signs, and appends it or hands it on."""
    for name, key in _keys(given.policy):
        if not (is_identity(key) or is_ssh(key) or can_verify(key)):
            raise EvidenceError(
                f"the key of {name} is cut off or mistyped: nothing that it signs could ever be verified",
                hint="copy the whole line: mlopsctl key show NAME prints it",
                code="MLO7019",
            )
    for line in lines:
        console.out(f"  {line}")
    if not yes and not _agreed():
        raise MlopsError("not signed", hint="nothing was changed", code="MLO1013")
    signed = countersign(project.trail, given, project.signer())
    have = f"{len(signed.signatures)} of {signed.needed} root signatures"
    if not signed.complete:
        path = out or Path("trust.proposal.json")
        write_atomically(path, signed.line() + b"\n")
        console.out(f"{have}: hand {path} to another holder of a root key")
        console.note(f"  next, there: mlopsctl trust apply {path}")
        return 0
    entry = put(project.trail, signed)
    console.out(f"in force: entry {entry.id[:12]}, {have}")
    console.note("  next: mlopsctl push --trail-only, and commit trust.yaml")
    return 0


def _keys(policy: Policy) -> list[tuple[str, str]]:
    """Every key that a policy lets sign, with whose it is."""
    return [(rule.name, rule.key) for rule in policy.signers.values()] + [("the root", key) for key in policy.root_keys]


def _agreed() -> bool:
    if not console.interactive():
        raise UsageError(
            "this may not ask here: stdin is no terminal, or CI is set", hint="-y signs without asking", code="MLO6403"
        )
    return console.confirm("Sign this change of trust?")


def differences(old: Policy, new: Policy) -> list[str]:
    """What a change of trust changes, one line each."""
    found = []
    if (old.root_keys, old.threshold) != (new.root_keys, new.threshold):
        found.append(f"~ root: {_root(old)} -> {_root(new)}")
    for name in sorted({*old.signers, *new.signers}):
        before, after = old.signers.get(name), new.signers.get(name)
        if before is None and after is not None:
            found.append(f"+ {name}: {_rule(new.content['signers'][name])}")
        elif after is None:
            found.append(f"- {name}")
        elif before != after:
            found.append(f"~ {name}: {_rule(old.content['signers'][name])} -> {_rule(new.content['signers'][name])}")
    found += [f"- key {_name(item.key)} of {item.name} is retired" for item in new.retired if item not in old.retired]
    if old.anchors != new.anchors:
        found.append(f"~ anchors: {', '.join(old.anchors) or 'none'} -> {', '.join(new.anchors) or 'none'}")
    return found


def _root(policy: Policy) -> str:
    return f"{policy.threshold} of {', '.join(map(_name, policy.root_keys))}"


def _rule(rule: Mapping[str, Json]) -> str:
    who = f"{rule['identity']} by {rule['issuer']}" if "identity" in rule else f"key {_name(public_key(rule['key']))}"
    until = f", until {rule['until']}" if rule.get("until") else ""
    return f"{who}, roles {', '.join(sorted(rule['roles']))}{until}"
