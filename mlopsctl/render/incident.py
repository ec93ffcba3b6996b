"""An incident as text for a terminal, and as Markdown for a post-mortem."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..audit.incident import Incident, Story, name_of
from ..audit.trace import Node
from ..types import Entry, Json
from .text import printable


def heading(one: Incident) -> list[str]:
    """Who opened it, where, since when, and how it ended."""
    severity = one.opening.facts.get("severity")
    lines = [
        f"incident {one.id[:12]}: {printable(one.title)}" + (f" ({severity})" if severity else ""),
        f"deployment: {one.opening.address}",
        f"began:      {one.began}",
        f"opened:     {one.opening.at} by {one.opening.signer}",
    ]
    closing = one.closing
    if closing is not None:
        lines.append(
            f"closed:     {closing.at} by {closing.signer}: {printable(str(closing.facts.get('conclusion', '')))}"
        )
    return lines


def story_text(story: Story) -> list[str]:
    """The heading, the timeline, and what was linked."""
    lines = [*heading(story.incident), ""]
    for moment in story.timeline:
        signed = f"{moment.entry.signer}, {moment.entry.id[:12]}"
        late = "" if moment.at == moment.entry.at else f", written {moment.entry.at}"
        lines.append(f"{moment.at}  {moment.what:<12}  {printable(moment.text)}  ({signed}{late})")
    for kind in ("entries", "deployments", "findings", "urls"):
        for item in story.incident.links(kind):
            lines.append(f"linked: {printable(item)}")
    return lines


def story_markdown(story: Story, files: Sequence[str]) -> str:
    """The post-mortem's first page: timeline, what ran, what was measured, and how to check the signatures."""
    one = story.incident
    lines = [
        f"# {_plain(one.title)}",
        "",
        *(f"* {_plain(line)}" for line in heading(one)[1:]),
        f"* incident `{one.id}`",
        "",
    ]
    lines += ["## Timeline", "", "| when (UTC) | what | | signed by | entry |", "|---|---|---|---|---|"]
    for moment in story.timeline:
        lines.append(
            f"| {moment.at} | {moment.what} | {_plain(moment.text)} | {_plain(moment.entry.signer)} | `{moment.entry.id[:12]}` |"
        )
    lines += ["", "Times are what the signers' machines claimed.", "", "## The trail at that time", ""]
    for word, entry in (("opened", one.opening), ("closed", one.closing)):
        if entry is not None:
            lines.append(f"* {word}: {_verdict(entry)}")
    lines += ["", "## What ran", ""]
    for node in story.traces:
        lines += _trace(node, "")
    linked = [item for kind in ("deployments", "entries", "findings", "urls") for item in one.links(kind)]
    if linked:
        lines += ["", "## Linked", "", *(f"* {_plain(item)}" for item in linked)]
    return "\n".join(
        [*lines, "", "## Files, and how to check them", "", *_FILES, *(f"* `{name}`" for name in files), ""]
    )


_FILES = (
    "Each line of `entries.jsonl` is one signed entry: a DSSE envelope whose payload is an in-toto statement. The",
    "signature is over the bytes `DSSEv1 LENGTH TYPE LENGTH PAYLOAD` (lengths in decimal, single spaces); it verifies",
    "with the signer's key under `keys/`. The root entry and the changes of trust are among the lines, and say whose",
    "keys counted. Whoever has the repository checks everything at once with `mlopsctl audit verify`.",
    "",
)


def _verdict(entry: Entry) -> str:
    found = entry.facts.get("verify")
    if not isinstance(found, dict):
        return "not looked at"
    named = found.get("findings")
    words = ", ".join(_plain(str(item)) for item in named) if isinstance(named, list) else ""
    return f"audit verify {'ok' if found.get('ok') else 'NOT OK'}, {found.get('entries', '?')} entries" + (
        f": {words}" if words else ""
    )


def _trace(node: Node, indent: str) -> list[str]:
    entry = node.entry
    if entry is None:
        return [f"{indent}* {node.role} `{node.digest[:19]}…`: made by no valid entry of this trail"]
    role = f"{node.role}: " if node.role else ""
    lines = [
        f"{indent}* {role}**{_plain(entry.address)}** by {_plain(entry.signer)} at {entry.at}, entry `{entry.id[:12]}`"
    ]
    lines += [f"{indent}  * measured by {_plain(gate.address)}: {_plain(_figures(gate))}" for gate in node.gates]
    for below in node.inputs:
        lines += _trace(below, indent + "  ")
    return lines


def _figures(gate: Entry) -> str:
    value: Json = gate.facts.get("value")
    ci = gate.facts.get("ci")
    interval = f" from {ci[0]} to {ci[1]}" if isinstance(ci, list) and len(ci) == 2 else ""
    return f"{gate.status}, {value}{interval}" if value is not None else gate.status


def _plain(text: str) -> str:
    """Text of people inside Markdown: no markup, tables or links of theirs."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", printable(text).replace("\n", " "))


def name(one: Incident) -> str:
    """The deployment's short name, for commands."""
    return name_of(one.opening.address)
