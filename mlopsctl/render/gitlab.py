"""What GitLab shows in a merge request: findings as code quality, and how many resources a plan changes."""

from __future__ import annotations

import hashlib
import json

from ..types import Json
from .report import Level, Remark, Report, worst_first

_SEVERITY = {Level.ERROR: "major", Level.WARNING: "minor", Level.NOTE: "info"}


def code_quality(report: Report) -> str:
    """A list of findings; one without a place stands at the top of the manifest, because GitLab wants one."""
    found: list[Json] = []
    seen: dict[str, int] = {}
    for remark in worst_first(report.remarks):
        mark = _mark(remark)
        again = seen[mark] = seen.get(mark, 0) + 1
        found.append(
            {
                "description": f"{remark.message}. Fix: {remark.fix}" if remark.fix else remark.message,
                "check_name": remark.code,
                "fingerprint": hashlib.sha256(f"{mark}\0{again}".encode("utf-8", "surrogateescape")).hexdigest(),
                "severity": _SEVERITY[remark.level],
                "location": {
                    "path": remark.where.file if remark.where else "mlops.yaml",
                    "lines": {"begin": remark.where.line if remark.where else 1},
                },
            }
        )
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _mark(remark: Remark) -> str:
    """What stays the same when lines move, so that GitLab knows an old finding again."""
    return "\0".join((remark.code, remark.address, remark.where.file if remark.where else "", remark.message))


def terraform_report(report: Report) -> str:
    """``{"create": N, "update": N, "delete": N}``, which GitLab shows as what a merge request would change."""
    counts = report.counts or {}
    return json.dumps({word: counts.get(word, 0) for word in ("create", "update", "delete")}) + "\n"
