"""A report as JUnit XML, in the form that GitLab, Jenkins and GitHub's actions read."""

from __future__ import annotations

import re
from html import escape

from .report import Case, Report, Result
from .report import clean as safe

# What XML 1.0 cannot hold, not even as an entity.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = {Result.FAILED: "failure", Result.ERROR: "error", Result.SKIPPED: "skipped"}


def junit(report: Report) -> str:
    """One test suite; a verb that failed before its first case is one case with that error."""
    cases = report.cases or (_whole(report),)
    count = {result: sum(case.result is result for case in cases) for result in Result}
    figures = (
        f'tests="{len(cases)}" failures="{count[Result.FAILED]}" errors="{count[Result.ERROR]}" '
        f'skipped="{count[Result.SKIPPED]}" time="{sum(case.seconds for case in cases):.3f}"'
    )
    name = f'name="{_attribute(report.title)}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {name} {figures}>",
        f"<testsuite {name} {figures}>",
    ]
    for case in cases:
        lines += _case(case, report.verb)
    return "\n".join([*lines, "</testsuite>", "</testsuites>", ""])


def _whole(report: Report) -> Case:
    said = [f"{remark.code}: {remark.message}" for remark in report.remarks]
    return Case(report.verb, Result.ERROR if said else Result.PASSED, "\n".join(said))


def _case(case: Case, verb: str) -> list[str]:
    group = f"{verb}.{case.group}" if case.group else verb
    head = f'<testcase classname="{_attribute(group)}" name="{_attribute(case.name)}" time="{case.seconds:.3f}"'
    if case.result is Result.PASSED:
        return [head + "/>"]
    tag = _TAG[case.result]
    first = case.text.partition("\n")[0]
    kind = "" if case.result is Result.SKIPPED else f' type="{case.result.name.lower()}"'
    return [head + ">", f'<{tag} message="{_attribute(first)}"{kind}>{_text(case.text)}</{tag}>', "</testcase>"]


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", safe(text)), quote=False)


def _attribute(text: str) -> str:
    """A parser turns raw line breaks of an attribute into spaces, so that they are written as such."""
    return escape(_NO_XML.sub("\ufffd", safe(text))).replace("\n", " ").replace("\t", " ").replace("\r", " ")
