"""Annotations of GitHub Actions, and the summary of a step, within GitHub's limits."""

from __future__ import annotations

from .markdown import cut, markdown
from .report import Level, Remark, Report, worst_first

MOST = 10
"""Annotations of each level that GitHub shows of one step; what comes after is dropped without a word."""

SUMMARY_BYTES = 1024 * 1024
"""The largest summary of a step: a larger one is not shown at all."""

_LONGEST = 4000
_COMMAND = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def workflow_commands(report: Report) -> str:
    """Workflow commands, the worst first; the last line counts what GitHub would not show."""
    shown: list[str] = []
    hidden = dict.fromkeys(Level, 0)
    count = dict.fromkeys(Level, 0)
    for remark in worst_first(report.remarks):
        count[remark.level] += 1
        if count[remark.level] > MOST:
            hidden[remark.level] += 1
        else:
            shown.append(_annotation(remark))
    if any(hidden.values()):
        words = ", ".join(f"{number} more {level.name.lower()}s" for level, number in hidden.items() if number)
        shown.append(f"mlopsctl {report.verb}: {words}, which GitHub does not show as annotations")
    return "".join(line + "\n" for line in shown)


def step_summary(report: Report, room: int = SUMMARY_BYTES) -> str:
    """The page for people, of at most ``room`` bytes: whole lines, and then how many are left out."""
    return cut(markdown(report), room)


def _annotation(remark: Remark) -> str:
    where = remark.where
    place = [f"file={_property(where.file)}", f"line={where.line}", f"col={where.column}"] if where else []
    title = f"{remark.code} {remark.address}".strip()
    text = f"{remark.message}. Fix: {remark.fix}" if remark.fix else remark.message
    return f"::{_COMMAND[remark.level]} {','.join([*place, f'title={_property(title)}'])}::{_data(text[:_LONGEST])}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
