"""Every format of a report, with words of strangers in it: readers of each format get exactly those words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlopsctl.render.formats import FORMATS
from mlopsctl.render.github import MOST, step_summary, workflow_commands
from mlopsctl.render.markdown import code, cut, folded, text
from mlopsctl.render.report import Case, Level, Remark, Report, Result
from mlopsctl.types import Where

DATA = Path(__file__).parents[1] / "data"

EVIL = "a|b `c` <img src=x onerror=y> [x](http://e) @team %0A::error::x\r\n::stop-commands::t \x1b[31m \x00 ]]> & \"q\" 'r' é 数"

HOSTILE = Report(
    "plan",
    EVIL,
    (
        Remark(Level.NOTE, "MLO1079", "a note"),
        Remark(Level.ERROR, "MLO1076", EVIL, EVIL, "gates.a[eu]", Where("a dir/m,l:o%ps.yaml", 3, 7)),
    ),
    (Case(EVIL, Result.FAILED, EVIL, 1.5, "gates"), Case("ok"), Case("s", Result.SKIPPED, "later"), Case("e", Result.ERROR)),
    ({"a": EVIL},),
    ("| table |",),
    {"create": 1, "update": 2, "delete": 3},
)  # fmt: skip


def many(errors: int, warnings: int) -> Report:
    remarks = [Remark(Level.WARNING, "MLO1079", f"warning {n}") for n in range(warnings)]
    return Report("plan", "many", (*remarks, *(Remark(Level.ERROR, "MLO1076", f"error {n}") for n in range(errors))))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("report", [HOSTILE, Report("diff", "nothing"), many(30, 30)])
def test_every_format_writes_every_report_as_text_without_control_characters(name: str, report: Report) -> None:
    written = FORMATS[name].render(report)
    assert "\x1b" not in written and "\x00" not in written
    assert written == "" or written.endswith("\n")


def follows(schema: str, document: str) -> None:
    validator = Draft202012Validator(json.loads((DATA / schema).read_text()))
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(document))] == []


@pytest.mark.parametrize("report", [HOSTILE, Report("diff", "nothing"), many(30, 30)])
def test_sarif_and_code_quality_are_as_their_standards_say(report: Report) -> None:
    follows("sarif.schema.json", FORMATS["sarif"].render(report))
    follows("code-quality.schema.json", FORMATS["gitlab"].render(report))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_name_that_is_no_utf_8_is_written_in_every_format(name: str) -> None:
    remark = Remark(Level.ERROR, "MLO1076", "wrong", "", "", Where("caf\udce9/mlops.yaml", 1, 1))
    written = FORMATS[name].render(Report("plan", "one", (remark,)))
    assert name != "sarif" or "caf%E9/mlops.yaml" in written


def test_sarif_finds_the_place_in_the_repository_the_worst_first() -> None:
    run = json.loads(FORMATS["sarif"].render(HOSTILE))["runs"][0]
    first = run["results"][0]
    place = first["locations"][0]["physicalLocation"]
    assert (first["level"], place["artifactLocation"]["uri"]) == ("error", "a%20dir/m%2Cl%3Ao%25ps.yaml")
    assert place["region"] == {"startLine": 3, "startColumn": 7}
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "MLO1076"


def test_a_finding_keeps_its_fingerprint_when_lines_move_and_two_equal_ones_have_two() -> None:
    def marks(line: int) -> list[str]:
        twice = (Remark(Level.ERROR, "MLO3013", "unknown key", where=Where("mlops.yaml", line)),) * 2
        return [one["fingerprint"] for one in json.loads(FORMATS["gitlab"].render(Report("validate", "t", twice)))]

    assert marks(3) == marks(40) and len(set(marks(3))) == 2


def test_junit_counts_its_cases_and_keeps_their_words() -> None:
    whole = ElementTree.fromstring(FORMATS["junit"].render(HOSTILE))
    suite = whole.find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert [len(case) for case in suite.iter("testcase")] == [1, 0, 1, 1]
    failure = suite.find("testcase/failure")
    assert failure is not None and "]]> & \"q\" 'r' é 数" in str(failure.text)


def test_a_verb_that_failed_at_once_is_one_case_with_that_error() -> None:
    whole = ElementTree.fromstring(
        FORMATS["junit"].render(Report("plan", "t", (Remark(Level.ERROR, "MLO1006", "no"),)))
    )
    error = whole.find("testsuite/testcase/error")
    assert error is not None and error.text == "MLO1006: no"
    assert json.loads(FORMATS["json"].render(many(1, 0)))["findings"][0]["message"] == "error 0"


def test_github_gets_one_command_a_line_and_no_command_of_strangers() -> None:
    lines = workflow_commands(HOSTILE).splitlines()
    assert [re.match("::[a-z]+ ", line) is not None for line in lines] == [True, True]
    assert lines[0].startswith("::error file=a dir/m%2Cl%3Ao%25ps.yaml,line=3,col=7,title=MLO1076 gates.a[eu]::a|b")
    assert "%250A::error" in lines[0] and "%0A::stop-commands" in lines[0]


def test_github_shows_the_worst_ten_of_each_level_and_counts_the_others() -> None:
    lines = workflow_commands(many(12, 300)).splitlines()
    assert [line.startswith("::error") for line in lines[:MOST]] == [True] * MOST
    assert sum(line.startswith("::warning") for line in lines) == MOST
    assert lines[-1] == "mlopsctl plan: 2 more errors, 290 more warnings, which GitHub does not show as annotations"


def test_a_summary_fits_github_with_its_folds_closed_and_the_rest_counted() -> None:
    rows = [f"| row {number} | é |" for number in range(100_000)]
    page = step_summary(Report("diff", "t", body=tuple(folded("rows", rows))))
    assert 1_000_000 < len(page.encode()) <= 1024 * 1024
    assert page.count("<details>") == page.count("</details>") == 1
    assert re.search(r"and \d+ more lines, which do not fit here\.$", page.strip())
    assert cut("short", 100) == "short" and cut(page, 50) == ""


def test_markdown_shows_words_of_strangers_as_words() -> None:
    written = FORMATS["markdown"].render(HOSTILE)
    assert "<img" not in written and "@team" not in written.replace("&#64;", "")
    row = next(line for line in written.splitlines() if "MLO1076" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert code("a`b|c") == "``a`b\\|c``" and code("`") == "`` ` ``" and code("") == ""


@settings(max_examples=50)
@given(st.text())
def test_text_opens_neither_tag_nor_cell_nor_mention(words: str) -> None:
    written = text(words)
    assert not {"<", ">", "@", "\n"} & set(written)
    assert not re.search(r"(?<!\\)(\\\\)*[|`*_\[\]]", written.replace("\\\\", ""))


@settings(max_examples=50)
@given(st.text())
def test_junit_is_xml_whatever_is_in_it(words: str) -> None:
    report = Report("plan", words, cases=(Case(words or "x", Result.FAILED, words),))
    ElementTree.fromstring(FORMATS["junit"].render(report))
