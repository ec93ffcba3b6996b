"""Looking at what places outside remember of the trail: those named, those used here before, those of the policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from ..adapters.anchors import Setup, kind_of
from ..adapters.files import write_atomically
from ..adapters.git import Repo, find_repo
from ..adapters.keys import config_folder
from ..adapters.signatures import verify_signature
from ..audit.anchors import Judge, Report, Stamp, Stamped, has
from ..audit.assurance import Witnesses
from ..audit.trace import Node
from ..audit.trail import TrailLog
from ..audit.verify import Verdict
from ..errors import MlopsError, UsageError
from ..types import Entry, Json
from ..verifiers import public_key
from .trail import pin_file

TAGS = "tag:*"
"""Signed tags are always looked at: they lie in the repository and cost no network."""


def look_outside(
    trail: TrailLog, verdict: Verdict, given: Sequence[str], countersigners: Sequence[str], *, strict: bool
) -> tuple[Verdict, Report]:
    """The verdict with what every place outside remembers of this trail.

    Raises UsageError for a place of an unknown kind, and for a receipt of another log.
    """
    log = trail.log_id() if trail.tips() else trail.ledger.expected.log
    repo = find_repo(Path.cwd())
    setup = setup_of(trail, repo, log)
    judge = Judge(trail.ledger, log, verify_signature, stamps(setup.config), countersigner_keys(countersigners))
    places, left_out = places_of(trail, log, given)
    for place in left_out:
        judge.report.warn("MLO7182", f"{place}: not asked, since the root entry of this trail is not pinned")
    for place in [*places, TAGS]:
        try:
            held = kind_of(place).seen(place, setup)
        except UsageError:
            raise
        except MlopsError as error:
            judge.report.warn("MLO7182", error.message, strict=strict)
            continue
        for code, text in held.warnings:
            judge.report.warn(code, text, strict=strict and code == "MLO7182")
        judge.judge(place, held.claims)
        if place != TAGS and not held.claims and not held.warnings:
            # Whoever emptied it looks the same as whoever never wrote to it.
            judge.report.warn("MLO7182", f"{place} holds nothing about this trail", strict=strict)
    return judge.report.added_to(verdict), judge.report


def setup_of(trail: TrailLog, repo: Repo, log: str, retain_days: int = 365) -> Setup:
    """What the kinds of places may use."""
    return Setup(log, repo, config_folder(), lambda entry: has(trail.ledger, entry), retain_days)


def places_of(trail: TrailLog, log: str, given: Iterable[str]) -> tuple[list[str], list[str]]:
    """The places to look at, and those left out: a stranger's trail must not send us anywhere."""
    policy = trail.ledger.policy_in_force()
    named = list(policy.anchors) if policy else []
    own = [*given, *remembered(log)]
    places = own + (named if trail.ledger.expected.root else [])
    left_out = [] if trail.ledger.expected.root else [place for place in named if place not in own]
    return list(dict.fromkeys(places)), left_out


def stamps(config: Path) -> Stamped:
    """What a time stamp proves, by the authorities that this user trusts; they are read when first asked for."""
    from ..adapters.anchors.tsa import authorities, read_stamp

    known = cache(authorities)

    def stamped(token: bytes, message: bytes) -> list[Stamp]:
        found = (read_stamp(token, message, authority) for authority in known(config))
        return [Stamp(*stamp) for stamp in found if stamp is not None]

    return stamped


def witnesses(trail: TrailLog) -> Witnesses:
    """Who witnessed the times in this trail, as far as this user trusts them."""
    from ..adapters.keyless import witnessed_at

    return Witnesses(trail, stamps(config_folder()), witnessed_at)


def signer_lines(trail: TrailLog, node: Node) -> list[str]:
    """A line for everybody who signed something in a trace: how strong that is."""
    found: dict[str, Entry] = {}
    waiting = [node]
    while waiting:
        one = waiting.pop()
        waiting += one.inputs
        found.update({entry.id: entry for entry in (one.entry, *one.gates) if entry is not None})
    return [f"signer {name}: {phrase}" for name, phrase in witnesses(trail).signers(found.values())]


def countersigner_keys(files: Iterable[str]) -> dict[str, str]:
    """Name -> key of those whose countersignatures count: files named, and the user's own ``countersigners/*.pub``."""
    found: dict[str, str] = {}
    for path in [*sorted((config_folder() / "countersigners").glob("*.pub")), *map(Path, files)]:
        try:
            found[path.stem] = public_key(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} holds no public key: {error}",
                hint="name the public half of the countersigner's key; mlopsctl key show prints it",
                code="MLO7187",
            ) from None
    return found


def remembered(log: str) -> list[str]:
    """Places that the user left receipts at before: they stand in the pin file."""
    found = _pin(log).get("anchors", [])
    return [str(place) for place in found] if isinstance(found, list) else []


def remember(log: str, place: str) -> None:
    """Adds a place to the user's pin of this log."""
    if place.startswith("tag:") or place in (known := remembered(log)):
        return
    pin = {"log": log, **_pin(log), "anchors": [*known, place]}
    write_atomically(pin_file(log), json.dumps(pin, indent=1).encode() + b"\n", 0o600)


def _pin(log: str) -> dict[str, Json]:
    try:
        pin = json.loads(pin_file(log).read_bytes()) if log else {}
    except (FileNotFoundError, ValueError):
        return {}
    return pin if isinstance(pin, dict) else {}


def report_lines(report: Report) -> list[str]:
    """One line a place: what it remembers, and whether that is here."""
    places: dict[str, list[Mapping[str, Json]]] = {}
    for one in report.seen:
        places.setdefault(str(one["place"]), []).append(one)
    lines = []
    for place, some in places.items():
        last = some[-1] if place != TAGS else some[0]
        lost = sum(not one["met"] for one in some)
        what = "met" if not lost else f"{lost} of {len(some)} NOT met"
        says = f"; {last['says']}" if last["says"] else ""
        where = str(last["where"]) if place == TAGS else place
        lines.append(f"anchor {where}: {what}, newest entry {str(last['tips'][0])[:12]}{says}")
    return lines
