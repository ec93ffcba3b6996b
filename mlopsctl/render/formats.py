"""The formats that a report is written in. A new one is a function and a line here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .github import workflow_commands
from .gitlab import code_quality, terraform_report
from .junit import junit
from .markdown import markdown
from .report import Report
from .report_json import report_json
from .sarif import sarif


class Format(NamedTuple):
    """``render`` gives the whole text of a file."""

    what: str
    render: Callable[[Report], str]


def _json(report: Report) -> str:
    """What ``--format json`` prints, and for a verb that came to nothing its errors."""
    if report.documents is None:
        return json.dumps(report_json(report), indent=2) + "\n"
    if len(report.documents) == 1:
        return json.dumps(report.documents[0], indent=2, ensure_ascii=False) + "\n"
    return "".join(json.dumps(document) + "\n" for document in report.documents)


FORMATS: Mapping[str, Format] = {
    "json": Format("what --format json prints", _json),
    "markdown": Format("a page for people", markdown),
    "junit": Format("a test report in XML", junit),
    "sarif": Format("SARIF 2.1.0 for code scanning", sarif),
    "github": Format("annotations of GitHub Actions", workflow_commands),
    "gitlab": Format("GitLab's code quality report", code_quality),
    "terraform-report": Format("GitLab's count of planned changes", terraform_report),
}
