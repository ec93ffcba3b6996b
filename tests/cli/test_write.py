"""``--write FORMAT=PATH`` and ``--format`` on every verb that has a report."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.contract import follows
from tests.quickstart import make_small, must, shell

EVERY = (
    "--write json=/tmp-/j --write markdown=/tmp-/m --write junit=/tmp-/x --write sarif=/tmp-/s --write gitlab=/tmp-/g"
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make_small(tmp_path / "small")


def written(verb: str, folder: Path, code: int = 0) -> dict[str, str]:
    """The five files that a verb wrote beside the project."""
    place = folder.parent / "out"
    place.mkdir(exist_ok=True)
    done = shell(f"mlopsctl {verb} {EVERY.replace('/tmp-', str(place))}", folder)
    assert done.returncode == code, done.stdout
    found = {path.name: path.read_text() for path in place.iterdir()}
    assert json.loads(found["s"])["version"] == "2.1.0" and ElementTree.fromstring(found["x"]).tag == "testsuites"
    return found


@pytest.mark.parametrize(
    ("verb", "schema"),
    [
        ("plan", "plan"),
        ("diff", "diff"),
        ("status", "status"),
        ("gate run accuracy", "gate"),
        ("audit verify", "audit-verify"),
        ("validate", "validate"),
    ],
)
def test_each_verb_writes_each_format_and_its_json_is_as_published(project: Path, verb: str, schema: str) -> None:
    found = written(verb, project)
    follows(schema, found["j"])
    warned = [(one["check_name"], one["location"]["lines"]["begin"]) for one in json.loads(found["g"])]
    assert found["m"].startswith("### ") and warned == ([("MLO3033", 8)] if verb == "validate" else [])


def test_apply_writes_its_events_and_how_each_step_ended(small: Path) -> None:
    found = written("apply -y --write terraform-report=../out/t", small)
    events = [follows("apply", line) for line in found["j"].splitlines()]
    assert (events[-1]["event"], events[-1]["applied"]) == ("summary", 1)
    case = ElementTree.fromstring(found["x"]).find("testsuite/testcase")
    assert case is not None and case.get("name") == "data.digits" and float(case.get("time", "0")) > 0
    assert json.loads(found["t"]) == {"create": 1, "update": 0, "delete": 0}


def test_a_gate_that_fails_is_a_failure_in_every_format(project: Path) -> None:
    must("sed -i 's/min: 0.93/min: 0.999/' mlops.yaml", project)
    found = written("plan --detailed-exitcode", project, 4)
    result = json.loads(found["s"])["runs"][0]["results"][0]
    assert (result["ruleId"], result["level"]) == ("MLO1078", "error")
    place = result["locations"][0]["physicalLocation"]
    line = (project / "mlops.yaml").read_text().splitlines()[place["region"]["startLine"] - 1]
    assert place["artifactLocation"]["uri"] == "mlops.yaml" and "accuracy:" in line
    assert ElementTree.fromstring(found["x"]).get("failures") == "1"
    assert json.loads(found["g"])[0]["check_name"] == "MLO1078" and "❌ error MLO1078" in found["m"]


def test_a_failed_apply_says_in_its_files_what_failed(small: Path) -> None:
    (small / "digits.csv").unlink()
    found = written("apply -y", small, 1)
    assert ElementTree.fromstring(found["x"]).get("errors") == "1"
    assert json.loads(found["s"])["runs"][0]["results"]


def test_a_verb_that_fails_at_once_writes_its_files_too_with_paths_from_the_top(small: Path) -> None:
    must("mkdir -p ml/deep && git mv mlops.yaml digits.csv ml && sed -i 's/label/lable/' ml/mlops.yaml", small)
    found = written("plan", small / "ml", 3)
    document = follows("report", found["j"])
    assert (document["verb"], document["findings"][0]["file"]) == ("plan", "ml/mlops.yaml")
    assert json.loads(found["g"])[0]["location"]["path"] == "ml/mlops.yaml"
    said = shell("mlopsctl plan --format github 2>/dev/null", small / "ml" / "deep").stdout
    assert said.startswith("::error file=ml/mlops.yaml,line=4,col=")


def test_another_format_is_all_that_stdout_has(small: Path) -> None:
    assert must("mlopsctl plan --format terraform-report", small) == '{"create": 1, "update": 0, "delete": 0}\n'
    assert ElementTree.fromstring(must("mlopsctl apply -y --format junit 2>/dev/null", small)).get("tests") == "1"
    assert must("mlopsctl plan --format github", small) == ""
    assert must("mlopsctl plan --write markdown=/dev/stdout", small).count("No changes") == 2


def test_on_github_the_page_is_added_to_the_summary_of_the_step(small: Path, tmp_path: Path) -> None:
    place = tmp_path / "summary"
    place.write_text("before\n")
    for _ in range(2):
        must(f"GITHUB_STEP_SUMMARY={place} mlopsctl plan --write github=/dev/stdout", small)
    assert place.read_text().startswith("before\n### small: ") and place.read_text().count("### small") == 2
    place.write_text("x" * (1024 * 1024 - 10))
    must(f"GITHUB_STEP_SUMMARY={place} mlopsctl plan --format github", small)
    assert place.stat().st_size <= 1024 * 1024


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("plan --write junit", "MLO1070"),
        ("plan --write junit=", "MLO1070"),
        ("plan --write html=x.html", "MLO1070"),
        ("validate --write terraform-report=x", "MLO1070"),
        ("plan --write json=../x --write sarif=../small/../x", "MLO1071"),
        ("plan -o ../x --write json=../x", "MLO1071"),
        ("plan --write json=none/x", "MLO1072"),
        ("plan --write json=.", "MLO1072"),
        ("apply -y --write json=mlops.yaml", "MLO1073"),
        ("plan -o mlops.yaml", "MLO1073"),
        ("plan -o none/p", "MLO1072"),
        ("plan --format html", "MLO6401"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(small: Path, words: str, code: str) -> None:
    done = shell(f"mlopsctl {words}", small)
    assert (done.returncode, code in done.stdout) == (64, True), done.stdout
    assert must("git status --porcelain", small) == "" and "no result yet" in must("mlopsctl plan", small)
