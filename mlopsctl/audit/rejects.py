"""Rejected lines: what was merged and never was valid, put aside by a signed entry and named as a warning since.

An entry of kind ``reject`` (role govern) has the facts ``entry`` (an id) or ``line`` (sha256 of a line that has none),
``code`` (the finding) and ``reason``. It silences that one finding. It takes nothing that is valid away: a line counts or
does not by its own signature and place, rejected or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .statement import MEMBER
from .verify import VALID, Finding, Judged

REJECTED = "MLO7170"

REJECTABLE = frozenset(
    {f"MLO70{n:02}" for n in (1, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 23, 24, 25, 28, 32)}
)
"""Findings about what a line says itself. What is missing (MLO7022, 7027, 7030, 7040, 7041, 7050) is mended by bringing
it back: if that could be rejected, dropping an entry and rejecting what builds on it would make results vanish."""


class Reject(NamedTuple):
    """One finding that a valid entry puts aside; ``name`` is an entry's id or the sha256 of a line."""

    name: str
    code: str
    signer: str
    reason: str


def reject_of(fields: Mapping[str, object]) -> Reject:
    """What an entry of kind reject says."""
    facts = fields.get("facts")
    said = facts if isinstance(facts, dict) else {}
    name = str(said.get("entry") or said.get("line") or "")
    return Reject(name, str(said.get("code", "")), str(fields.get("signer", "")), str(said.get("reason", "")))


def known_rejects(payloads: Iterable[tuple[bytes, str]], judged: Sequence[Judged]) -> list[Reject]:
    """Those of stored (payload, state) pairs and of lines judged just now."""
    stored = [json.loads(payload)["predicate"][MEMBER] for payload, _ in payloads]
    fresh = [one.record.fields for one in judged if one.record.kind == "reject" and one.state == VALID]
    return [reject_of(fields) for fields in (*stored, *fresh)]


def silence(findings: Sequence[Finding], digests: Mapping[str, str], rejects: Sequence[Reject]) -> list[Finding]:
    """The findings, with those that were rejected turned into warnings that say so.

    ``digests`` are the sha256 of the lines that findings name by their place.
    """
    by_name = {(one.name, one.code): one for one in rejects if one.code in REJECTABLE}
    found = []
    for one in findings:
        by = by_name.get((digests.get(one.entry, one.entry), one.code))
        if by is not None:
            words = f"rejected by {by.signer}: {by.reason} ({one.code}: {one.message})"
            one = Finding(REJECTED, one.entry, "".join(c if c.isprintable() else "?" for c in words))
        found.append(one)
    return found
