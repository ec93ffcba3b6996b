"""Whether an exported folder says the same beside its entries as its entries say. Pure: the files come in as bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping

from .export import derived_files, signature_digests, summary
from .trail import TrailLog
from .verify import Finding


def stated(body: bytes | None) -> dict[str, object]:
    """What ``trail.json`` says; {} where it is missing or malformed."""
    try:
        found = json.loads(body or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def contradictions(trail: TrailLog, files: Mapping[str, bytes], trees: Collection[str]) -> list[Finding]:
    """Findings on all files that are neither notes nor artifacts, against a trail that was judged from those notes.

    ``files`` are those outside of ``notes/``, ``code/`` and ``artifacts/``; ``trees`` the folders below ``code/``
    that hold exactly the git tree of their name.
    """
    found = []
    expected = derived_files(trail)
    for name, body in expected.items():
        if name != "README.md" and files.get(name) != body:
            found.append(
                Finding("MLO7234", name, "it says something else than the entries of this trail, or is missing")
            )
    signed = {f"signatures/{digest[7:]}.sig" for digest in signature_digests(trail)}
    for name in sorted(signed & files.keys()):
        if f"signatures/{hashlib.sha256(files[name]).hexdigest()}.sig" != name:
            found.append(Finding("MLO7235", name, "its bytes are not those that the entries attest"))
    for name in sorted(files.keys() - expected.keys() - signed - {"trail.json", "SHA256SUMS"}):
        found.append(Finding("MLO7234", name, "nothing in the entries of this trail asks for this file"))
    said, known = stated(files.get("trail.json")), summary(trail)
    for member in known:
        if said.get(member) != known[member]:
            found.append(Finding("MLO7234", "trail.json", f"'{member}' is not what the entries of this trail say"))
    missing = said.get("missing")
    lost = {f"signatures/{str(one)[7:]}.sig" for one in missing} if isinstance(missing, list) else set()
    for name in sorted(signed - files.keys() - lost):
        found.append(Finding("MLO7231", name, "the entries name this signature, and it is missing"))
    named = {tree for _, tree in trail.ledger.index.code_trees()}
    for tree in sorted(set(trees) - named):
        found.append(Finding("MLO7234", f"code/{tree}", "no entry of this trail was made from this code"))
    return found


def readme_differs(files: Mapping[str, bytes], trail: TrailLog) -> bool:
    """Whether the text for people is another than this version writes: its words are nobody's signed ones."""
    return files.get("README.md") != derived_files(trail)["README.md"]
