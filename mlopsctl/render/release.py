"""What an approver is shown; the approval carries the digest of this text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..approvals import Maker, Quorum
from ..provider import Inputs
from ..types import GUARD, Address, Digest, Step, Verdict
from .plan import value


def release_text(
    step: Step,
    release: Digest,
    inputs: Inputs,
    verdicts: Mapping[Address, Verdict | None],
    makers: Sequence[Maker],
    quorum: Quorum,
    commit: str,
) -> list[str]:
    """One release on one screen: what would run, what was measured, who made it."""
    lines = [
        f"Release of {step.address}",
        f"  release   {release}",
        f"  change    {step.action.name.lower()}: {step.reason.text}",
        f"  commit    {commit}",
    ]
    for change in step.reason.changes:
        lines.append(f"  {change.field}: {value(change.old)} -> {value(change.new)}")
    if step.weakens:
        lines.append("What it loosens")
        lines += [f"  {what}" for what in step.weakens]
    lines.append("What would run")
    lines += [f"  {item.need.address}  {item.digest}" for item in inputs if item.role != GUARD]
    lines.append("What was measured")
    guards = [item.need.address for item in inputs if item.need.address.section == "gates"]
    for address in guards:
        verdict = verdicts.get(address)
        lines.append(f"  {address}  {verdict.status.value}: {verdict.text}" if verdict else f"  {address}  unknown")
    if not guards:
        lines.append("  nothing: no gate guards this deployment")
    lines.append("Who made it")
    lines += [f"  {maker.address}  signed by {maker.signer}" for maker in makers]
    role = f" and hold the role {quorum.role}" if quorum.role else ""
    many = f"{quorum.needed} approval{'s' * (quorum.needed != 1)}"
    lines.append(f"Needs {many} by people who neither wrote nor trained it{role}.")
    return lines
