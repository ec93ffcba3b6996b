"""Carrying the trail between clones: fetch beside, verify, unite, push; again on any rejection.

Never a forced fetch onto our own ref: that would overwrite entries that are not pushed yet.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from ..errors import EvidenceError, MlopsError, NotSharedError
from .dsse import BadLine
from .entry import read_line
from .reading import lines_of
from .trail import TrailLog, attempts
from .verify import RETIRED, VALID, WARNINGS, Finding, Line


@dataclass(frozen=True)
class Pulled:
    """What came in: the number of new entries, lines left out as not valid, and what else is odd.

    ``recovered`` counts entries that were gone from here and were taken back.
    """

    new: int = 0
    refused: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    recovered: int = 0


def fetch_state(trail: TrailLog) -> str:
    """``alone`` without a remote, ``missing`` where a remote's trail was never fetched, else ``here``."""
    log = trail.ledger.log
    if log.tip() or trail.ledger.journal.stamp()[0]:
        return "here"
    if log.tracking():
        return "missing"
    return "missing" if log.remotes() else "alone"


def unpushed(trail: TrailLog, remote: str) -> int:
    """How many entries the remote did not have when it was last talked to."""
    ledger = trail.ledger
    tip, theirs = ledger.log.tip(), ledger.log.tracking().get(remote, "")
    waiting = len(ledger.journal.read(ledger.journal.shared)[0])
    if tip == theirs:
        return waiting
    here, there = ledger.log.notes(tip), ledger.log.notes(theirs)
    changed = [note for note, blob in here.items() if there.get(note) != blob]
    bodies = dict(ledger.log.blobs([here[note] for note in changed] + [there[n] for n in changed if n in there]))
    lines = {line for note in changed for line in bodies[here[note]].split(b"\n") if line}
    known = {line for note in changed if note in there for line in bodies[there[note]].split(b"\n")}
    return waiting + len(lines - known)


def waiting(trail: TrailLog) -> list[tuple[str, int]]:
    """(remote, entries it does not have) for every remote that the trail is shared with, else for the first one."""
    remotes = trail.ledger.log.remotes()
    shared = [remote for remote in remotes if remote in trail.ledger.log.tracking()]
    return [(remote, unpushed(trail, remote)) for remote in shared or remotes[:1]]


def adopt_fetched(trail: TrailLog) -> Pulled:
    """Takes in what a plain ``git fetch`` brought beside our trail; talks to nobody."""
    pulled = Pulled()
    for theirs in trail.ledger.log.tracking().values():
        found = unite(trail, theirs)
        pulled = Pulled(pulled.new + found.new, pulled.refused + found.refused, pulled.warnings + found.warnings)
    return pulled


def pull_trail(trail: TrailLog, remote: str, *, only_reading: bool = False) -> Pulled:
    """Fetches the trail of ``remote`` and unites it with ours; entries that are gone from here are taken back.

    ``only_reading`` leaves the signatures of a first fetch to whoever relies on them (see ``adopt``). Raises
    NotSharedError where the remote can't be reached.
    """
    log = trail.ledger.log
    before, theirs = log.fetch(remote)
    warnings = []
    if before and before != theirs:
        warnings = _lost_there(trail, remote, before, theirs)
    adopted = bool(theirs) and only_reading and adopt(trail, theirs)
    pulled = unite(trail, theirs) if theirs and not adopted else Pulled()
    if theirs and log.is_cut():
        text = f"'{remote}' has only the newest commits of the notes: what older ones took away would not be seen"
        warnings.append(Finding("MLO7172", "", text))
    return Pulled(pulled.new, pulled.refused, (*pulled.warnings, *warnings), recover(trail))


def recover(trail: TrailLog) -> int:
    """Takes entries back that were seen here and are gone from the ref; how many.

    A forced fetch overwrites the ref, and a roll-back moves it; git forgets neither at once. What is found in the
    ref's own log, in the remotes' tips and where the anchor was set is judged like anything that comes in.
    """
    ledger = trail.ledger
    trail.sync()
    if not ledger.missing_from_anchor():
        return 0
    anchored = str((ledger.anchor.read() or {}).get("commit", ""))
    found = 0
    for commit in (anchored, *ledger.log.remembered()):
        with suppress(MlopsError):  # what was cleaned away since, or is damaged
            found += unite(trail, commit).new if commit else 0
        if not ledger.missing_from_anchor():
            break
    ledger.raise_anchor()
    return found


def adopt(trail: TrailLog, theirs: str) -> bool:
    """Takes the fetched trail over as it is, into a clone that has none; False where it must be united line by line.

    Nothing of ours can be harmed, so signatures stay owed: half the work for a plan that relies on a few entries.
    """
    ledger = trail.ledger
    with ledger.journal.lock():
        if ledger.log.tip() or ledger.journal.stamp()[0] or ledger.anchor.read() or not ledger.log.move("", theirs):
            return False
        trail.sync()
        return not ledger.broken() or not ledger.log.move(theirs, "")


_STUBBORN = 8
"""So many rejections while the remote stands still are no race: a lock left behind, a disk that is full."""


def push_trail(trail: TrailLog, remote: str) -> Pulled:
    """Pushes the trail, uniting it with the remote's wherever somebody was faster.

    Raises NotSharedError where the remote can't be reached or refuses for good, and EvidenceError where it holds
    lines that are not valid (they would have to be taken over to push on top of them), or where signed entries wait
    for others that are gone from this clone and from the remote.
    """
    pulled, refusals, stood = Pulled(), 0, ""
    trail.flush()
    if trail.ledger.journal.stamp()[0] or _lacking(trail, remote):
        pulled = pull_trail(trail, remote)
    for _ in attempts():
        trail.flush()
        if trail.ledger.journal.stamp()[0]:
            raise EvidenceError(
                "signed entries cannot be shared: they build on entries that are gone from this clone",
                hint="mlopsctl audit verify names what is gone; pull it from a clone that has it",
                code="MLO7043",
            )
        tip = trail.ledger.log.tip()
        lost = trail.ledger.log.push(remote, tip) if tip else ""
        if not lost:
            return pulled
        pulled = pull_trail(trail, remote)
        theirs = trail.ledger.log.tracking().get(remote, "")
        refusals, stood = (refusals + 1 if theirs == stood else 1), theirs
        if refusals >= _STUBBORN:
            raise NotSharedError(
                f"'{remote}' rejected the trail {refusals} times while nobody else wrote there: {lost}",
                hint="look at the disk and the locks of that repository (refs/notes/mlops.lock), then mlopsctl push",
                code="MLO8012",
            )
        if pulled.refused:
            first = pulled.refused[0]
            raise EvidenceError(
                f"the trail on '{remote}' holds {len(pulled.refused)} lines that are not valid, the first is "
                f"{first.entry[:12]} ({first.code}: {first.message}); ours was not pushed on top of them",
                hint="find out who pushed them; mlopsctl audit reject ENTRY --reason … lets the trail go on beside them",
                code="MLO7033",
            )
    return pulled


def unite(trail: TrailLog, theirs: str) -> Pulled:
    """Takes the valid entries of the fetched commit ``theirs`` in; lines that are not valid stay outside."""
    ledger = trail.ledger
    with ledger.journal.lock():
        trail.flush()
        for _ in attempts():
            trail.settle()
            tip = ledger.log.tip()
            if tip == theirs:
                return Pulled()
            # Not by ancestry alone: a later commit of ours may have taken out what theirs has (git notes prune).
            lines = incoming(trail, tip, theirs)
            if not lines and tip and ledger.log.is_ancestor(theirs, tip):
                return Pulled()
            judged, findings, _ = ledger.judge(lines)
            refused = tuple(sorted({one for one in findings if one.code not in WARNINGS}))
            good = [one for one in judged if one.state in (VALID, RETIRED)]
            # Taken whole, theirs keeps every line: also what counts for nothing and was rejected or retired.
            taken = [one.line for one in good] if refused else lines
            if _moved(trail, tip, theirs, taken, whole=not refused):
                trail.settle()
                warnings = tuple(sorted({one for one in findings if one.code in WARNINGS}))
                return Pulled(len({one.record.id for one in good}), refused, warnings)
    return Pulled()


def _lacking(trail: TrailLog, remote: str) -> bool:
    """Whether something was taken out of our ref: pushed, it would be taken from the remote too."""
    trail.sync()
    tip, theirs = trail.ledger.log.tip(), trail.ledger.log.tracking().get(remote, "")
    return bool(trail.ledger.missing_from_anchor() or (theirs != tip and incoming(trail, tip, theirs)))


def incoming(trail: TrailLog, tip: str, theirs: str) -> list[Line]:
    """Lines of ``theirs`` that we don't have."""
    log = trail.ledger.log
    here, there = log.notes(tip), log.notes(theirs)
    changed = {note: blob for note, blob in there.items() if here.get(note) != blob}
    both = [note for note in changed if note in here]
    known = dict(zip(both, (lines_of(body) for _, body in log.blobs([here[note] for note in both])), strict=True))
    found = []
    for note, (_, body) in zip(changed, log.blobs(list(changed.values())), strict=True):
        ours = known.get(note, set())
        found += [
            Line(text, note, number) for number, text in enumerate(body.split(b"\n"), 1) if text and text not in ours
        ]
    return found


def _moved(trail: TrailLog, tip: str, theirs: str, lines: list[Line], *, whole: bool) -> bool:
    """Moves our ref over what came in; False where another writer was faster."""
    log = trail.ledger.log
    if whole and _covers(trail, theirs, tip):
        # Nothing of ours is missing there: taking their commit lets clones converge instead of merging merges.
        return log.move(tip, theirs)
    groups: dict[str, list[bytes]] = {}
    for line in lines:
        groups.setdefault(line.path, []).append(line.text)
    if not groups and not whole:
        return True
    merged = theirs if whole else ""
    return log.add(tip, groups, log.code_names(theirs), merged, "mlopsctl: unite the trail") is not None


def _covers(trail: TrailLog, theirs: str, tip: str) -> bool:
    """Whether every line and code tree at ``tip`` is also at ``theirs``."""
    log = trail.ledger.log
    here, there = log.notes(tip), log.notes(theirs)
    changed = [note for note, blob in here.items() if there.get(note) != blob]
    if any(note not in there for note in changed) or not log.code_names(tip) <= log.code_names(theirs):
        return False
    bodies = dict(log.blobs([here[note] for note in changed] + [there[note] for note in changed]))
    return all(set(bodies[here[n]].split(b"\n")) <= set(bodies[there[n]].split(b"\n")) for n in changed)


def _lost_there(trail: TrailLog, remote: str, before: str, theirs: str) -> list[Finding]:
    """Entries that the remote had and has no more: somebody forced an older ref onto it."""
    log = trail.ledger.log
    old, new = log.notes(before), log.notes(theirs)
    changed = {note: blob for note, blob in old.items() if new.get(note) != blob}
    after = dict(log.blobs([new[note] for note in changed if note in new]))
    found = []
    for note, (_, body) in zip(changed, log.blobs(list(changed.values())), strict=True):
        kept = set(after.get(new.get(note, ""), b"").split(b"\n"))
        for text in body.split(b"\n"):
            if text and text not in kept:
                with suppress(BadLine):
                    found.append(Finding("MLO7042", read_line(text).id, f"'{remote}' had it and lost it"))
    return found
