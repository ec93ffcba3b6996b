"""A proposal as the text of an mlops.yaml, with a comment above each entry."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ..manifest.yaml_positions import scalar
from ..types import Json
from .proposal import Entry, Proposal

_WIDTH = 110
_BARE = re.compile(r"[A-Za-z0-9_./][\w./@%+=-]*(?: [\w./@%+=-]+)*")


def manifest_text(project: str, proposal: Proposal, read: Sequence[str]) -> str:
    """The whole file. It is not checked here: load it before writing it."""
    sources = ", ".join(read[:6]) + (f" and {len(read) - 6} more" if len(read) > 6 else "")
    lines = [
        *_comment(f"Proposed by mlopsctl init --from-existing, which read {sources} and ran nothing."),
        *_comment("Change what is wrong: `mlopsctl validate` and `mlopsctl plan` say what would come of it."),
        "apiVersion: mlopsctl/v1",
        "project:",
        f"  name: {project}",
    ]
    for section in ("data", "train"):
        entries = [entry for entry in proposal.entries if entry.section == section]
        if entries:
            lines += ["", f"{section}:"]
        for position, entry in enumerate(entries):
            lines += [""] * (position > 0) + list(_entry(entry))
    lines += _next_steps(proposal)
    if proposal.unknown:
        lines += ["", "# Not taken over:"]
        lines += [line for text in proposal.unknown for line in _comment(text, "#  - ", "#    ")]
    return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """One line for people: names of files may hold line ends and what a terminal would obey."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def _comment(text: str, first: str = "# ", rest: str = "") -> list[str]:
    plain = printable(text)
    return textwrap.wrap(
        plain, _WIDTH, initial_indent=first, subsequent_indent=rest or first, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _entry(entry: Entry) -> Iterator[str]:
    for text in entry.why:
        yield from _comment(text, "  # ")
    yield f"  {entry.name}:"
    for key, value in entry.keys.items():
        yield from _key(key, value, "    ")


def _key(key: str, value: Json, indent: str) -> Iterator[str]:
    if isinstance(value, list) and key == "run":
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {_scalar(item)}" for item in value)
    elif isinstance(value, Mapping) and value:
        yield f"{indent}{key}:"
        yield from (f"{indent}  {_scalar(name)}: {_flow(item)}" for name, item in value.items())
    else:
        yield f"{indent}{key}: {_flow(value)}"


def _flow(value: Json) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(item)}" for name, item in value.items()) + "}"
    return _scalar(value)


def _scalar(value: Json) -> str:
    """One value as YAML: bare where that is safe, else as JSON, which YAML understands."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _BARE.fullmatch(value) and scalar(value) == value and ": " not in value and " #" not in value:
        return value
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")


def _next_steps(proposal: Proposal) -> list[str]:
    """Gates and targets as a comment: bars and labels are the user's to say."""
    models = [entry.name for entry in proposal.entries if entry.section == "train" and "produces" not in entry.keys]
    if not models:
        return []
    lines = ["", "# What a model must reach, and what it is compiled and served as, is yours to say:"]
    if proposal.figures:
        lines += _comment("Before, models were measured in " + ", ".join(proposal.figures[:4]) + ".")
    lines += [
        "# gates:",
        f"#   accuracy: {{model: {models[-1]}, metric: accuracy, min: 0.9}}    # wants 'label:' and no 'split: none' there",
        "# targets:",
        f"#   cpu: {{model: {models[-1]}, view: all}}",
        "# deployments:",
        "#   local: {target: cpu}",
    ]
    return lines
