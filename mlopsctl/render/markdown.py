"""A report as Markdown for a pull request: nothing that a stranger wrote into a manifest or commit acts in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .report import Level, Remark, Report, clean, worst_first

_WORD = {Level.ERROR: "❌ error", Level.WARNING: "⚠️ warning", Level.NOTE: "note"}
_MARKS = re.compile(r"([\\`*_\[\]|~#!])")


def markdown(report: Report) -> str:
    """Title, findings with the worst first, then what the verb has to show."""
    lines = [f"### {text(report.title)}", ""]
    if report.remarks:
        lines += ["| | where | what | fix |", "|---|---|---|---|"]
        lines += [_row(remark) for remark in worst_first(report.remarks)]
        lines.append("")
    return "\n".join([*lines, *report.body, ""])


def _row(remark: Remark) -> str:
    place = f"{remark.where.file}:{remark.where.line}" if remark.where else ""
    where = " ".join(code(part) for part in (remark.address, place) if part)
    return f"| {_WORD[remark.level]} {remark.code} | {where} | {text(remark.message)} | {text(remark.fix)} |"


def text(words: str) -> str:
    """Words of others on one line: no markup, no tag, no link, nobody is called by ``@name``."""
    plain = clean(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return _MARKS.sub(r"\\\1", " ".join(plain.split()))


def code(words: str) -> str:
    """Words of others as code on one line, in a row of a table too."""
    plain = " ".join(clean(words).split()).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}" if plain else ""


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table; the cells are Markdown already."""
    names = list(header)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def folded(title: str, lines: Iterable[str]) -> list[str]:
    """A block that a reader opens; ``title`` is Markdown without tags."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def cut(page: str, room: int) -> str:
    """The page in at most ``room`` bytes: whole lines, then how many are left out."""
    if len(page.encode()) <= room:
        return page
    lines = page.splitlines()
    # Room for the last line and for closing what may be folded.
    left = room - 120
    kept = 0
    for line in lines:
        left -= len(line.encode()) + 1
        if left < 0:
            break
        kept += 1
    if kept == 0:
        return ""
    shown = lines[:kept]
    opened = sum(line.startswith("<details>") for line in shown) - sum(line == "</details>" for line in shown)
    end = [*["</details>"] * opened, "", f"… and {len(lines) - kept} more lines, which do not fit here."]
    return "\n".join([*shown, *end, ""])
