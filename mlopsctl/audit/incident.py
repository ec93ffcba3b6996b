"""Incidents: a signed story of what went wrong, and everything of the trail that belongs to it. Pure but for the trail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import MlopsError
from ..types import Address, Entry, Json
from ..withdrawals import KIND as WITHDRAW
from .checks import verify
from .trace import Node, entry_json, trace
from .trail import TrailLog

KIND = "incident"
SEVERITIES = ("low", "medium", "high", "critical")
LONGEST = 4000
"""Characters of one text: an entry has 8 KiB."""

_DEPLOYMENT_KINDS = ("result", "destroy", "halt", "rollback", "resume", "approval", "intent", "promote", "pin", "unhold", "observed", "import")  # fmt: skip
_MOST_FINDINGS = 20
_URL = r"https?://[^\s/@]+(?:/\S*)?"


@dataclass(frozen=True)
class Incident:
    """One incident: its opening entry and what was signed about it since, oldest first."""

    opening: Entry
    more: tuple[Entry, ...] = ()

    @property
    def id(self) -> str:
        return self.opening.id

    @property
    def title(self) -> str:
        return str(self.opening.facts.get("title", ""))

    @property
    def closing(self) -> Entry | None:
        return next((entry for entry in self.more if entry.facts.get("event") == "close"), None)

    @property
    def began(self) -> str:
        """Since when it went wrong, as whoever opened it says; else when it was opened."""
        return str(self.opening.facts.get("began") or self.opening.at)

    def links(self, kind: str) -> list[str]:
        """All links of one kind: ``entries``, ``deployments``, ``findings`` or ``urls``."""
        given = (entry.facts.get("links") for entry in self.more)
        lists = (some.get(kind) for some in given if isinstance(some, dict))
        return list(dict.fromkeys(str(item) for some in lists if isinstance(some, list) for item in some))

    @property
    def deployments(self) -> list[str]:
        return list(dict.fromkeys([self.opening.address, *self.links("deployments")]))


def incidents(trail: TrailLog) -> list[Incident]:
    """All incidents, newest first. What names no incident of this trail, or its own, is left out."""
    opened: dict[str, Entry] = {}
    more: dict[str, list[Entry]] = {}
    for entry in trail.entries(kinds=(KIND,)):
        if entry.facts.get("event") == "open":
            opened[entry.id] = entry
        else:
            more.setdefault(str(entry.facts.get("incident", "")), []).append(entry)
    found = [Incident(entry, tuple(more.get(entry.id, ()))) for entry in opened.values()]
    return found[::-1]


def find_incident(trail: TrailLog, prefix: str) -> Incident:
    """The incident whose id begins so. Raises MlopsError for none or several."""
    found = [one for one in incidents(trail) if one.id.startswith(prefix)] if prefix else []
    if len(found) != 1:
        raise MlopsError(
            f"'{prefix}' begins {'several incidents' if found else 'no incident'}",
            hint="mlopsctl incident ls shows them",
            code="MLO7264",
        )
    return found[0]


# --- Writing -----------------------------------------------------------------------------------------------------


def open_incident(trail: TrailLog, title: str, address: str, *, severity: str = "", began: str = "") -> Entry:
    """Signs the opening: with what ran there, and what ``audit verify`` finds at that moment."""
    live = trail.latest(address, ("result", "destroy"))
    facts: dict[str, Json] = {"event": "open", "title": title, "verify": verdict(trail)}
    facts |= {"severity": severity} if severity else {}
    facts |= {"began": began} if began else {}
    if live is not None and live.kind == "result":
        facts["live"] = {"entry": live.id, "artifact": str(live.facts.get("artifact", "")), "since": live.at}
    return trail.append(KIND, address=address, facts=facts, commit=_commit(trail))


def add(trail: TrailLog, to: Incident, event: str, **facts: Json) -> Entry:
    """Signs a note, links or the conclusion; ``close`` with a new look of ``audit verify``."""
    about: dict[str, Json] = {"event": event, "incident": to.id, **facts}
    if event == "close":
        about["verify"] = verdict(trail)
    return trail.append(KIND, address=to.opening.address, facts=about, commit=_commit(trail))


def _commit(trail: TrailLog) -> str:
    """The commit of the newest entry: whoever halts at night may have a clone of the trail alone."""
    newest = [entry for tip in trail.tips() if (entry := trail.entry(tip)) is not None]
    return newest[0].commit if newest else ""


def verdict(trail: TrailLog) -> dict[str, Json]:
    """What ``audit verify`` says now, short enough for an entry."""
    try:
        found = verify(trail.ledger)
    except MlopsError as error:  # a damaged trail is a reason to open an incident, and must not stop it
        return {"ok": False, "findings": [f"{error.code} {error.message}"[:200]]}
    named = [f"{one.code} {one.entry[:64]}" for one in found.findings]
    more: dict[str, Json] = {"more": len(named) - _MOST_FINDINGS} if len(named) > _MOST_FINDINGS else {}
    return {"ok": found.ok, "entries": found.entries, "freshness": found.freshness, "root": found.root,
            "findings": named[:_MOST_FINDINGS], **more}  # fmt: skip


def sort_links(trail: TrailLog, words: Sequence[str]) -> dict[str, Json]:
    """What is linked, by kind: URLs, codes of findings, deployments, entries in full. Raises MlopsError for the rest."""
    found: dict[str, list[str]] = {}
    for word in words:
        if "://" in word:
            found.setdefault("urls", []).append(_url(word))
        elif re.fullmatch(r"MLO\d{4}", word):
            found.setdefault("findings", []).append(word)
        elif re.fullmatch(r"[0-9a-f]{4,64}", word):
            found.setdefault("entries", []).append(trail.find(word).id)
        else:
            found.setdefault("deployments", []).append(deployment(trail, word))
    return {kind: list(dict.fromkeys(items)) for kind, items in found.items()}


def _url(word: str) -> str:
    if not re.fullmatch(_URL, word):
        raise MlopsError(
            f"'{word}' is not linked: only http and https addresses without a name or password in them are",
            hint="take what stands before @ out: https://tracker.example/RISK-114",
            code="MLO7265",
        )
    return word


def deployment(trail: TrailLog, name: str) -> str:
    """The address of a deployment that this trail knows, or in a broken trail any. Raises MlopsError."""
    known = {entry.address for entry in trail.select("address GLOB 'deployments.*' AND kind IN ('result', 'halt')")}
    found = [address for address in sorted(known) if name in (address, address.partition(".")[2])]
    if not found and trail.problems():
        # What it knew may be what is broken.
        with suppress(ValueError):
            found = [str(Address.parse(name if name.startswith("deployments.") else f"deployments.{name}"))]
    if not found:
        raise MlopsError(
            f"the trail knows no deployment '{name}'",
            hint="it has " + (", ".join(sorted(known)) or "none"),
            code="MLO7266",
        )
    return found[0]


# --- The whole story ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moment:
    """One line of the timeline; ``at`` is what its entry claims."""

    at: str
    what: str
    text: str
    entry: Entry


@dataclass(frozen=True)
class Story:
    """Everything of the trail that belongs to an incident."""

    incident: Incident
    timeline: tuple[Moment, ...]
    traces: tuple[Node, ...]
    entries: tuple[Entry, ...] = field(default=())
    """Every entry that is named in it, oldest first, and the root and trust entries that say who may sign."""


def tell(trail: TrailLog, incident: Incident) -> Story:
    """Collects the story: what happened to the deployments meanwhile, and what ran there."""
    around = list(_around(trail, incident))
    linked = [entry for one in incident.links("entries") if (entry := trail.entry(one)) is not None]
    own = [incident.opening, *incident.more]
    moments = {entry.id: _moment(entry, incident) for entry in (*around, *linked, *own)}
    results = [entry for entry in (*around, *linked) if entry.kind == "result"]
    traces = tuple(trace(trail, entry) for entry in {one.id: one for one in results}.values())
    named = {entry.id: entry for entry in (*around, *linked, *own, *_of_traces(traces))}
    named |= {entry.id: entry for entry in trail.select("kind IN ('root', 'trust')")}
    timeline = sorted(moments.values(), key=lambda one: (one.at, one.entry.seq, one.entry.id))
    return Story(incident, tuple(timeline), traces, tuple(sorted(named.values(), key=lambda one: (one.seq, one.id))))


def _around(trail: TrailLog, incident: Incident) -> Iterator[Entry]:
    """What was signed about the deployments from the release that was live until the closing, and all withdrawals."""
    live = incident.opening.facts.get("live")
    begin = trail.entry(str(live.get("entry", ""))) if isinstance(live, dict) else None
    first = begin.seq if begin is not None else incident.opening.seq
    last = incident.closing.seq if incident.closing is not None else 2**53
    for address in incident.deployments:
        yield from (one for one in trail.entries(address, _DEPLOYMENT_KINDS) if first <= one.seq <= last)
    yield from (one for one in trail.select("address = '' AND kind = ?", (WITHDRAW,)) if first <= one.seq <= last)


def _of_traces(traces: Iterable[Node]) -> Iterator[Entry]:
    waiting = [*traces]
    while waiting:
        node = waiting.pop()
        if node.entry is not None:
            yield node.entry
        yield from node.gates
        waiting += node.inputs


def _moment(entry: Entry, incident: Incident) -> Moment:
    facts = entry.facts
    if entry.kind == KIND and str(facts.get("incident", entry.id)) == incident.id:
        event = str(facts.get("event", ""))
        text = {"open": "title", "note": "text", "close": "conclusion"}.get(event, "")
        at = str(facts.get("when") or entry.at) if event == "note" else entry.at
        words = str(facts.get(text, "")) if text else _links_text(facts.get("links"))
        what = {"open": "opened", "link": "linked", "close": "closed"}.get(event, "note")
        return Moment(at, what, words, entry)
    words = str(facts.get("reason") or facts.get("message") or facts.get("artifact") or "")
    if entry.kind == WITHDRAW and facts.get("lifts"):
        return Moment(entry.at, "withdrawal ended", words, entry)
    said = {"result": "deployed" if entry.address.startswith("deployments.") else "made", "halt": "halted",
            "rollback": "rolled back", "resume": "resumed", "destroy": "taken down", "import": "adopted",
            WITHDRAW: "withdrawn"}  # fmt: skip
    return Moment(entry.at, said.get(entry.kind, entry.kind), words, entry)


def _links_text(links: Json) -> str:
    if not isinstance(links, dict):
        return ""
    return ", ".join(str(item)[:64] for some in links.values() if isinstance(some, list) for item in some)


def summary_json(one: Incident) -> dict[str, Json]:
    """One row of ``incident ls``."""
    closing = one.closing
    return {
        "id": one.id,
        "title": one.title,
        "severity": str(one.opening.facts.get("severity", "")),
        "deployment": one.opening.address,
        "began": one.began,
        "opened": one.opening.at,
        "opened_by": one.opening.signer,
        "closed": closing.at if closing else None,
        "closed_by": closing.signer if closing else None,
        "conclusion": str(closing.facts.get("conclusion", "")) if closing else None,
    }


def story_json(story: Story) -> dict[str, Json]:
    """As ``incident show --format json`` prints it; see schemas/incident.schema.json."""
    one = story.incident
    return {
        "schema_version": 1,
        **summary_json(one),
        "verify": {"opened": _verdict(one.opening), "closed": _verdict(one.closing) if one.closing else None},
        "links": {kind: one.links(kind) for kind in ("entries", "deployments", "findings", "urls")},
        "timeline": [
            {
                "at": moment.at,
                "what": moment.what,
                "text": moment.text,
                "address": moment.entry.address,
                "signer": moment.entry.signer,
                "signed_at": moment.entry.at,
                "entry": moment.entry.id,
            }
            for moment in story.timeline
        ],
        "traces": [node.as_json() for node in story.traces],
    }


def _verdict(entry: Entry) -> Mapping[str, Json]:
    found = entry.facts.get("verify")
    return found if isinstance(found, dict) else {}


def entries_json(story: Story) -> list[Json]:
    """Every entry of the story in full."""
    return [entry_json(entry) for entry in story.entries]


def name_of(address: str) -> str:
    """``local`` of ``deployments.local``."""
    return Address.parse(address).name
