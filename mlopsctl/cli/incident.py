"""``mlopsctl incident``: what went wrong, signed as it happens, and bundled for the post-mortem."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from ..audit.incident import (
    LONGEST,
    SEVERITIES,
    Incident,
    Story,
    add,
    deployment,
    entries_json,
    find_incident,
    incidents,
    open_incident,
    sort_links,
    story_json,
    summary_json,
    tell,
)
from ..audit.lines import key_files, signed_lines
from ..audit.trail import TrailLog
from ..errors import MlopsError, UsageError
from ..render.incident import heading, name, story_markdown, story_text
from ..render.text import printable
from ..types import Entry
from . import console
from .anywhere import here, share
from .options import Format, check_format
from .people import check_words

Id = Annotated[str, typer.Argument(metavar="ID", help="The incident: how the id of its opening entry begins.")]


def open_(
    title: Annotated[str, typer.Argument(help="What is wrong, in a sentence.")],
    deployed: Annotated[str, typer.Option("--deployment", metavar="D", help="The deployment that it is about.")],
    severity: Annotated[str, typer.Option("--severity", help="low, medium, high or critical.")] = "",
    began: Annotated[str, typer.Option("--began", metavar="TIME", help="Since when, in UTC: 2026-11-25T09:30Z.")] = "",
    format: Format = "text",
) -> int:
    """Open an incident: signs what runs there now, and what audit verify finds at this moment.

    Nothing is stopped: mlopsctl halt does that. Needs the role halt. What is written here is kept for ever and goes to
    every clone: name systems, entries and ticket numbers, no persons.

    Examples:

      mlopsctl incident open "wrong digits for sevens" --deployment local --severity high
    """
    check_format(format)
    if severity and severity not in SEVERITIES:
        raise UsageError(f"--severity {severity} is not known", hint="one of " + ", ".join(SEVERITIES), code="MLO7267")
    trail = here()
    text = _words(title, "the title")
    made = open_incident(trail, text, deployment(trail, deployed), severity=severity, began=_moment(began, "--began"))
    if format == "json":
        return _done(trail, made, made.id, format)
    one = find_incident(trail, made.id)
    for line in heading(one):
        console.out(line)
    found = made.facts["verify"]
    if not found["ok"]:
        console.out(f"the trail: NOT OK, {len(found['findings'])} findings: mlopsctl audit verify")
    console.note(f'to cut it out:  mlopsctl halt {name(one)} --reason "incident {one.id[:12]}"')
    console.note(f'to go on:       mlopsctl incident note {one.id[:12]} "…"')
    return share(trail)


def note(
    incident: Id,
    text: Annotated[str, typer.Argument(help="What was seen or done.")],
    when: Annotated[str, typer.Option("--when", metavar="TIME", help="When it happened, in UTC; default: now.")] = "",
    format: Format = "text",
) -> int:
    """Add a dated note. It is kept for ever and goes to every clone: name no persons in it.

    Examples:

      mlopsctl incident note 3f9a1c20 "rolled back; error rate is normal again"
    """
    check_format(format)
    trail = here()
    moment = _moment(when, "--when")
    found = find_incident(trail, incident)
    facts = {"text": _words(text, "the note"), **({"when": moment} if moment else {})}
    return _done(trail, add(trail, found, "note", **facts), found.id, format)


def link(
    incident: Id,
    what: Annotated[list[str], typer.Argument(help="Entries, deployments, codes of findings, http(s) addresses.")],
    format: Format = "text",
) -> int:
    """Bind entries, deployments, findings of audit verify and web addresses to an incident.

    Examples:

      mlopsctl incident link 3f9a1c20 77ab03d2 MLO7011 https://tracker.example/RISK-114
    """
    check_format(format)
    trail = here()
    found = find_incident(trail, incident)
    links = sort_links(trail, [check_words(word, "the link") for word in what])
    return _done(trail, add(trail, found, "link", links=links), found.id, format)


def close(
    incident: Id,
    conclusion: Annotated[str, typer.Option("--conclusion", help="What it was, and what was done about it.")],
    format: Format = "text",
) -> int:
    """Close an incident with its conclusion, and a new look of audit verify. Notes and links may still follow.

    Examples:

      mlopsctl incident close 3f9a1c20 --conclusion "mislabelled rows in the batch of May; retrained without them"
    """
    check_format(format)
    trail = here()
    found = find_incident(trail, incident)
    if found.closing is not None:
        raise MlopsError(
            f"incident {found.id[:12]} was closed by {found.closing.signer} at {found.closing.at}",
            hint=f'mlopsctl incident note {found.id[:12]} "…" adds to it; what is signed is not changed',
            code="MLO7268",
        )
    entry = add(trail, found, "close", conclusion=_words(conclusion, "the conclusion"))
    return _done(trail, entry, found.id, format)


def ls(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not closed.")] = False,
    format: Format = "text",
) -> int:
    """The incidents, newest first.

    Examples:

      mlopsctl incident ls --open
    """
    check_format(format)
    found = [one for one in incidents(here()) if not (open_only and one.closing)]
    if format == "json":
        console.out(json.dumps({"schema_version": 1, "incidents": [summary_json(one) for one in found]}, indent=2))
        return 0
    rows = [
        (
            one.id[:12],
            one.opening.at,
            one.opening.address,
            str(one.opening.facts.get("severity", "")),
            "closed" if one.closing else "open",
            printable(one.title),
        )
        for one in found
    ]
    for line in console.table(rows):
        console.out(line)
    if not found:
        console.note("no incidents" if not open_only else "no open incidents")
    return 0


def show(incident: Id, format: Format = "text") -> int:
    """One incident: what happened to its deployments meanwhile, notes, links and conclusion, in order of time.

    Examples:

      mlopsctl incident show 3f9a1c20
    """
    check_format(format)
    story = _story(incident)[0]
    if format == "json":
        console.out(json.dumps(story_json(story), indent=2, ensure_ascii=False))
        return 0
    for line in story_text(story):
        console.out(line)
    return 0


def bundle(
    incident: Id,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.zip|DIR", help="Where to; must not exist yet.")],
) -> int:
    """Everything for the post-mortem: timeline, traces of what ran, and the signed lines themselves with their keys.

    incident.md and incident.json tell the story, entries.json has every entry in full, entries.jsonl the lines as they
    were signed, keys/ the public keys that they verify with.

    Examples:

      mlopsctl incident bundle 3f9a1c20 -o incident.zip
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists already", hint="name a new file or folder", code="MLO7269")
    story, trail = _story(incident)
    files = _files(story, trail)
    _write(files, out)
    console.out(f"{out}: {len(story.timeline)} moments, {len(story.entries)} entries, {len(files)} files")
    return 0


# --- Inside ------------------------------------------------------------------------------------------------------


def _words(text: str, what: str) -> str:
    if len(text) > LONGEST:
        raise MlopsError(
            f"{what} has {len(text)} letters; at most {LONGEST} are kept",
            hint="put the long form where it can be linked: mlopsctl incident link ID https://…",
            code="MLO7270",
        )
    return check_words(text, what)


def _moment(text: str, option: str) -> str:
    """The UTC moment as entries write it. Raises UsageError."""
    from datetime import UTC, datetime

    if not text:
        return ""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", text):
            raise ValueError(text)
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text} is no moment",
            hint=f"{option} 2026-11-25T09:30Z; without a zone it is UTC",
            code="MLO7271",
        ) from None
    known = found if found.tzinfo else found.replace(tzinfo=UTC)
    return known.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _done(trail: TrailLog, entry: Entry, incident: str, format: str) -> int:
    if format == "json":
        shown = {"schema_version": 1, "incident": incident, "entry": entry.id, "at": entry.at, "signer": entry.signer}
        console.out(json.dumps(shown, indent=2))
    else:
        console.out(
            f"incident {incident[:12]}: {entry.facts['event']}, signed by {entry.signer} (entry {entry.id[:12]})"
        )
    return share(trail)


def _story(prefix: str) -> tuple[Story, TrailLog]:
    trail = here()
    found: Incident = find_incident(trail, prefix)
    return tell(trail, found), trail


def _files(story: Story, trail: TrailLog) -> dict[str, bytes]:
    """Name -> bytes; the same trail gives the same bytes."""
    lines = signed_lines(trail, story.entries)
    keys = {f"keys/{name}": text.encode() for name, text in key_files(trail, story.entries).items()}
    files = {
        "incident.json": _json(story_json(story)),
        "entries.json": _json(entries_json(story)),
        "entries.jsonl": b"".join(line + b"\n" for line in lines.values()),
        **keys,
    }
    return {"incident.md": story_markdown(story, ["incident.md", *files]).encode(), **files}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def _write(files: dict[str, bytes], out: Path) -> None:
    """A zip file, or a folder that appears whole."""
    import os
    import shutil
    import tempfile

    from ..adapters.files import write_atomically

    if out.suffix == ".zip":
        write_atomically(out, _zipped(files))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        whole = Path(place) / "whole"
        for name, body in files.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            (whole / name).write_bytes(body)
        try:
            os.rename(whole, out)
        except OSError:
            # Somebody made it meanwhile, or the file system wants a copy.
            shutil.copytree(whole, out)


def _zipped(files: dict[str, bytes]) -> bytes:
    import io
    import zipfile

    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            item = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            item.external_attr = 0o644 << 16
            archive.writestr(item, content, zipfile.ZIP_DEFLATED)
    return body.getvalue()
