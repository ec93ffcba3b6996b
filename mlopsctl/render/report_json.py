"""A report of a verb that failed before it had anything to print, as JSON."""

from __future__ import annotations

from ..types import Json
from .report import Remark, Report, worst_first


def report_json(report: Report) -> dict[str, Json]:
    """As ``--write json=FILE`` writes it after an early failure; see schemas/report.schema.json."""
    return {
        "schema_version": 1,
        "verb": report.verb,
        "ok": False,
        "findings": [_finding(remark) for remark in worst_first(report.remarks)],
    }


def _finding(remark: Remark) -> dict[str, Json]:
    where = remark.where
    return {
        "level": remark.level.name.lower(),
        "code": remark.code,
        "message": remark.message,
        "hint": remark.fix,
        "address": remark.address,
        "file": where.file if where else None,
        "line": where.line if where else None,
        "column": where.column if where else None,
    }
