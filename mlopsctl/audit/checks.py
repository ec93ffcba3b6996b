"""``audit verify``: everything on record, and what only a look at the whole trail can find."""

from __future__ import annotations

from .checkpoints import checkpoint_findings
from .entry import read_line
from .ledger import Ledger
from .verify import LOCAL, RETIRED, VALID, WARNINGS, Finding, Line, Verdict


def verify(ledger: Ledger, *, full: bool = False, roots: bool = False) -> Verdict:
    """The verdict on the trail. ``full`` forgets what was verified before and starts from nothing.

    ``roots`` tells whether a missing pin of the root entry is a finding (``--strict``).
    """
    before = ledger.anchor.read()
    if full:
        ledger.index.reset(signatures=True)
    ledger.settle()
    found = {Finding(*one) for one in ledger.index.findings()}
    found |= set(_anchor(ledger, before)) | set(_history(ledger)) | set(_code(ledger))
    found |= set(checkpoint_findings(ledger))
    # A mark that was made while a remote was known to hold more vouches for nothing that the remote holds.
    anchored = before is not None and not before.get("behind")
    remotes, met = _remotes(ledger, anchored=anchored)
    found |= set(remotes)
    valid, local, retired = ledger.index.counts(VALID, LOCAL, RETIRED)
    found |= {
        Finding("MLO7015", one, "signed with a key that was retired, after its last good entry: it counts for nothing")
        for one in (ledger.index.ids("state = 'retired'") if retired else ())
    }
    found |= set(unsettled(ledger))
    if not valid:
        found.add(Finding("MLO7027", "", "there is no valid root entry: this clone has no trail, or it was cut off"))
    pinned = bool(ledger.expected.root)
    if roots and not pinned:
        found.add(Finding("MLO7026", "", "the root entry is not pinned: nothing says that this is the right trail"))
    return Verdict(
        entries=valid + local,
        tips=tuple(ledger.tips()),
        findings=tuple(sorted(one for one in found if one.code not in WARNINGS)),
        warnings=tuple(sorted(one for one in found if one.code in WARNINGS)),
        freshness="anchored" if anchored or met else "unproven",
        root="pinned" if pinned else "unpinned",
    )


def unsettled(ledger: Ledger) -> list[Finding]:
    """The newest changes of trust, where they are concurrent: neither is in force."""
    newest = ledger.newest_policies()
    text = "of concurrent changes of trust none is in force until another names all: mlopsctl trust apply"
    entries = [row for policy in newest for row in ledger.index.ids("kind = 'trust' AND policy = ?", (policy,))]
    return [Finding("MLO7018", entry, text) for entry in entries] if len(newest) > 1 else []


def _anchor(ledger: Ledger, before: object) -> list[Finding]:
    """Entries that were seen here before must still be there: cutting and rolling back shows no other way."""
    if before is None:
        return []
    return [
        Finding("MLO7040", tip, "this entry was seen here and is gone: the trail was cut, rolled back or replaced")
        for tip in ledger.missing_from_anchor()
    ]


def _history(ledger: Ledger) -> list[Finding]:
    """Every commit of the notes ref must hold the lines of its parents."""
    tip, checked = ledger.log.tip(), ledger.index.meta("history")
    if not tip or tip == checked:
        return []
    if checked and not ledger.log.is_ancestor(checked, tip):
        checked = ""
    changes = list(ledger.log.history(checked, tip))
    bodies = dict(ledger.log.blobs(sorted({oid for _, _, old, new in changes for oid in (old, new) if oid})))
    found: dict[str, Finding] = {}
    if ledger.log.is_cut():
        text = "a shallow fetch cut the history of the notes: what older commits took away is unseen"
        found[""] = Finding("MLO7172", "", text)
    for commit, note, old, new in changes:
        lost = _lines(bodies.get(old, b"")) - _lines(bodies.get(new, b""))
        # A note that moved to another fan-out has its lines there, valid or not.
        for line in lost - _lines_at(ledger, tip, note) if lost else ():
            entry = _id_of(line, f"{note}:?")
            found[entry] = Finding("MLO7030", entry, f"notes commit {commit[:12]} removed it from the trail")
    if not found:
        ledger.index.set_meta("history", tip)
    # An entry that a later commit brought back is where it belongs.
    return [one for one in found.values() if not _there(ledger, one.entry)]


def _lines_at(ledger: Ledger, tip: str, note: str) -> set[bytes]:
    blob = ledger.log.notes(tip).get(note, "")
    return _lines(next(iter(ledger.log.blobs([blob])))[1]) if blob else set()


def _remotes(ledger: Ledger, *, anchored: bool) -> tuple[list[Finding], bool]:
    """What was fetched from remotes must be here; with a high-water mark met, more there is only news."""
    tip = ledger.log.tip()
    found: list[Finding] = []
    met = False
    for remote, theirs in ledger.log.tracking().items():
        if theirs == tip or (tip and ledger.log.is_ancestor(theirs, tip)):
            met = True
            continue
        missing = _only_there(ledger, tip, theirs)
        met = met or not missing
        if not anchored:
            text = f"'{remote}' holds it and this clone does not: mlopsctl pull --trail-only"
            found += [Finding("MLO7041", entry, text) for entry in missing]
    return found, met


def _only_there(ledger: Ledger, tip: str, theirs: str) -> list[str]:
    """Ids of the entries that would be valid here, and that only the fetched commit ``theirs`` has."""
    here, there = ledger.log.notes(tip), ledger.log.notes(theirs)
    changed = {note: blob for note, blob in there.items() if here.get(note) != blob}
    bodies = ledger.log.blobs(list(changed.values()))
    lines = [
        Line(text, note)
        for note, (_, body) in zip(changed, bodies, strict=True)
        for text in sorted(_lines(body))
        if not _there(ledger, _id_of(text, ""))
    ]
    # Somebody else's ref may hold anything: what is no entry of this trail is not missing from it.
    return [one.record.id for one in ledger.judge(lines)[0] if one.state == VALID]


def _code(ledger: Ledger) -> list[Finding]:
    """The code of every result must be kept beside the notes."""
    kept = ledger.log.code_names(ledger.log.tip())
    waiting = {str(_tree(line)) for line in ledger.journal.read(ledger.journal.shared)[0]}
    found = []
    for entry, tree in ledger.index.code_trees():
        if tree not in kept and tree not in waiting:
            found.append(Finding("MLO7050", entry, f"the trail no longer keeps its code tree {tree[:12]}"))
    return found


def _tree(line: bytes) -> object:
    try:
        return read_line(line).fields.get("tree", "")
    except ValueError:
        return ""


def _there(ledger: Ledger, entry: str) -> bool:
    place = ledger.place(entry)
    return place is not None and place.valid


def _lines(body: bytes) -> set[bytes]:
    return {line for line in body.split(b"\n") if line}


def _id_of(line: bytes, otherwise: str) -> str:
    try:
        return read_line(line).id
    except ValueError:
        return otherwise
