"""What ``audit verify`` looks at: the trail of this clone now or then, the bytes in its store, or an exported folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..adapters.store import LocalStore
from ..audit.checks import verify as verify_trail
from ..audit.offline import contradictions, readme_differs
from ..audit.trail import TrailLog
from ..audit.verify import Finding, Verdict
from ..errors import EvidenceError, MlopsError, UsageError
from ..types import Digest, Entry, Json
from .anchors import look_outside, report_lines
from .audit_source import audit_trail, folder_trail, here

if TYPE_CHECKING:
    from ..adapters.folder import Folder

Checked = tuple[Verdict, dict[str, Json], list[str]]
"""The verdict, further members of its JSON form, and further lines of its text."""


def checked(
    offline: Path | None,
    root: str,
    at: str,
    anchors: Sequence[str],
    countersigners: Sequence[str],
    *,
    strict: bool,
    full: bool,
    read_bytes: bool,
) -> Checked:
    """The verdict that the options of ``audit verify`` ask for. Raises UsageError where they contradict each other."""
    if read_bytes and (offline is not None or at):
        raise UsageError(
            "--bytes looks into the store of this clone as it is now",
            hint="an exported folder's artifacts are always hashed: audit verify --offline FOLDER",
            code="MLO7242",
        )
    if (anchors or countersigners) and (offline is not None or at):
        raise UsageError(
            "an anchor is held against the trail of this clone as it is now",
            hint="mlopsctl audit verify --anchor PLACE in a clone, without --offline and --at",
            code="MLO7187",
        )
    if offline is not None and not at:
        return _folder(offline, root, strict)
    trail = audit_trail(offline, root, at)
    verdict = verify_trail(trail.ledger, full=full, roots=strict)
    if at:
        return verdict, {"at": at, **_trust(trail)}, [_trust_line(trail)]
    verdict, outside = look_outside(trail, verdict, anchors, countersigners, strict=strict)
    more: dict[str, Json] = {"anchors": outside.seen}
    lines = report_lines(outside)
    if not read_bytes:
        return verdict, more, lines
    verdict, hashed, words = _bytes(trail, verdict)
    return verdict, {**more, **hashed}, [*lines, *words]


def _trust(trail: TrailLog) -> dict[str, Json]:
    policy = trail.ledger.policy_in_force()
    return {"policy": policy.digest if policy else "", "signers": sorted(policy.signers) if policy else []}


def _trust_line(trail: TrailLog) -> str:
    found = _trust(trail)
    return f"trust policy then: {found['policy'] or 'none'}, signers {', '.join(found['signers']) or 'none'}"


# --- Bytes -----------------------------------------------------------------------------------------------------


def _bytes(trail: TrailLog, verdict: Verdict) -> Checked:
    """Hashes every attested output that is here; one that is not is information, not a finding."""
    _, state, project = here()
    mirror = project.mirror if project is not None else None
    stores = [store for store in (LocalStore(state / "store"), mirror) if store is not None]
    found: list[Finding] = []
    missing: list[Json] = []
    count = 0
    for digest, name, entry in _outputs(trail):
        seen = [(store, _look(store, digest)) for store in stores]
        count += sum(words == "" for _, words in seen)
        if all(words is None for _, words in seen):
            missing.append({"digest": digest, "output": name, "address": entry.address, "entry": entry.id})
        found += [
            Finding("MLO7236", entry.id, f"{name} of {entry.address} in {store.root}: {words}")
            for store, words in seen
            if words
        ]
    words = f"bytes: {count} outputs as attested, {len(found)} differ, {len(missing)} not here"
    lost = [f"  not here: {one['output']} of {one['address']}, {one['digest']}" for one in missing]
    verdict = verdict._replace(findings=tuple(sorted({*verdict.findings, *found})))
    return verdict, {"bytes": {"as_attested": count, "differ": len(found), "missing": missing}}, [words, *lost]


def _outputs(trail: TrailLog) -> Iterator[tuple[Digest, str, Entry]]:
    """Every output that a valid result attests, each digest once."""
    seen: set[Digest] = set()
    for entry in trail.entries("", ("result", "import")):
        for name, digest in entry.outputs.items():
            if digest.startswith(("sha256:", "dirhash:")) and digest not in seen:
                seen.add(digest)
                yield digest, name, entry


def _look(store: LocalStore, digest: Digest) -> str | None:
    """ "" where the bytes are here and right, None where they are not here, else what is wrong."""
    try:
        folder = digest.startswith("dirhash:")
        files = [Digest(f"sha256:{one}") for _, one in store.listing(digest)] if folder else [digest]
        for file in files:
            store.path(file)
    except EvidenceError as error:
        return None if error.code == "MLO1133" else error.message
    return ""


# --- A folder --------------------------------------------------------------------------------------------------


def _folder(path: Path, root: str, strict: bool) -> Checked:
    """Everything in an exported folder: its entries by themselves, and all other files against them."""
    from ..adapters.folder import sums_digest

    trail, folder = folder_trail(path, root)
    verdict = verify_trail(trail.ledger, roots=strict)
    outside = {
        name: file.read_bytes()
        for name, file in folder.files.items()
        if name.partition("/")[0] not in ("notes", "code", "artifacts")
    }
    trees = {name.partition("/")[0] for name in folder.below("code")}
    findings = [Finding(*one) for one in folder.wrong] + contradictions(trail, outside, trees)
    findings += [
        Finding("MLO7234", f"code/{tree}", "these files are not the git tree of that name")
        for tree in sorted(trees - trail.ledger.log.code_names(""))
    ]
    made, wrong = _artifacts(trail, folder)
    warnings = list(verdict.warnings)
    if readme_differs(outside, trail) and not any(one.entry == "README.md" for one in findings):
        warnings.append(
            Finding("MLO7243", "README.md", "it is not the text that this version writes; nobody signed its words")
        )
    signatures = sum(name.startswith("signatures/") for name in outside)
    figures: dict[str, Json] = {
        "files": len(folder.files), "sums": sums_digest(path), "signatures": signatures, "artifacts": made,
    }  # fmt: skip
    entries = trail.entries("", ("root",))
    lines = [
        f"folder: {len(folder.files)} files, {signatures} signatures, {made} artifacts; SHA256SUMS {figures['sums']}",
        f"root entry: {entries[0].id if entries else 'none'}",
    ]
    if verdict.root == "unpinned":
        lines.append("  nobody says that this is the right root: --root ID, from another source than this folder")
    found = tuple(sorted({*verdict.findings, *findings, *wrong}))
    return verdict._replace(findings=found, warnings=tuple(warnings)), {"folder": figures}, lines


def _artifacts(trail: TrailLog, folder: Folder) -> tuple[int, list[Finding]]:
    """How many artifacts lie in the folder, and those that are other bytes than attested, or whose signature fails."""
    from ..adapters.store import hash_path

    names = sorted({name.partition("/")[0] for name in folder.below("artifacts")})
    found = []
    for name in names:
        place = folder.path / "artifacts" / name
        digest = Digest(name.replace("-", ":", 1))
        entry = trail.with_output(digest)
        where = f"artifacts/{name}"
        if entry is None:
            found.append(Finding("MLO7235", where, "no valid entry attests an artifact of this digest"))
        elif hash_path(place) != digest:
            found.append(Finding("MLO7235", where, f"its bytes are not those that entry {entry.id[:12]} attests"))
        else:
            words = _signature(trail, folder, entry, digest, place)
            found += [Finding("MLO7235", where, words)] if words else []
    return len(names), found


def _signature(trail: TrailLog, folder: Folder, entry: Entry, digest: Digest, place: Path) -> str:
    """What is wrong with an artifact's OpenSSF signature; "" for one that holds, or where the entry names none."""
    from ..adapters.model_signature import verify_folder

    output = next(name for name, value in entry.outputs.items() if value == digest)
    signature = entry.outputs.get(f"{output}.sig")
    name = f"signatures/{signature[7:]}.sig" if signature else ""
    if name not in folder.files:
        return ""
    try:
        verify_folder(place, folder.files[name], trail.signer_key(entry.id))
    except MlopsError as error:
        return error.message
    return ""
