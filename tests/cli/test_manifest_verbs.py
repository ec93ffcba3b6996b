"""validate, schema and add, called as the command line calls them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlopsctl.cli.add import add
from mlopsctl.cli.project import open_project
from mlopsctl.cli.schema import schema
from mlopsctl.cli.validate import validate
from mlopsctl.errors import ManifestError, UsageError
from tests.manifest.test_load import MINIMAL
from tests.quickstart import must
from tests.small_house import small_house


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mlops.yaml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    with small_house():
        yield tmp_path


def test_a_valid_manifest_is_said_to_be_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate() == 0
    shown = capsys.readouterr()
    assert shown.out == "mlops.yaml: valid, 6 resources\n"
    assert "unstable under edits" in shown.err


def test_findings_show_the_place_the_line_and_the_fix(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlops.yaml").write_text(MINIMAL.replace("cpu: {}", "cpu: {modle: a}").replace("label:", "lable:"))
    assert validate() == 3
    shown = capsys.readouterr().err
    assert "[MLO3013] mlops.yaml:11:9: unknown key 'modle'" in shown
    assert "11 |   cpu: {modle: a}\n       |         ^\n  fix: did you mean 'model'?" in shown
    assert "2 findings" in shown


def test_several_files_are_checked_and_the_worst_counts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = project / "other"
    other.mkdir()
    (other / "mlops.yaml").write_text("a: [\n")
    assert validate([Path("mlops.yaml"), Path("other")]) == 3
    shown = capsys.readouterr()
    assert "mlops.yaml: valid" in shown.out and "other/mlops.yaml:2:1" in shown.err


def test_the_manifest_of_a_folder_above_is_found(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")
    assert validate() == 0
    assert capsys.readouterr().out.startswith("../../mlops.yaml: valid")


def test_no_manifest_is_one_message(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate([project / "none.yaml"]) == 3
    assert "MLO3032" in capsys.readouterr().err


def test_json_and_github_are_for_programs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlops.yaml").write_text(MINIMAL.replace("cpu: {}", "cpu: {modle: a}"))
    assert validate(format="json") == 3
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["findings"][0] == {
        "code": "MLO3013",
        "message": "unknown key 'modle'",
        "hint": "did you mean 'model'?",
        "file": "mlops.yaml",
        "line": 11,
        "column": 9,
    }
    assert validate(format="github") == 3
    expected = "::error file=mlops.yaml,line=11,col=9,title=MLO3013::unknown key 'modle'. Fix: did you mean 'model'?\n"
    assert capsys.readouterr().out == expected
    with pytest.raises(UsageError):
        validate(format="xml")


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema() == 0
    assert json.loads(capsys.readouterr().out)["title"] == "mlops.yaml"


def test_add_writes_the_smallest_block_and_keeps_the_rest(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = project / "mlops.yaml"
    manifest.chmod(0o640)
    assert add("gate", "f1") == 0
    assert add("gate", "f1", ["min=0.9"]) == 0
    assert add("target", "tvm") == 0
    assert add("deployment", "local", ["to=127.0.0.1:8080", "target=tvm"], name="staging") == 0
    assert add("data", "data/more rows.csv", ["label=digit"]) == 0
    added = {
        "  f1: {metric: f1, min: 0.8}",
        "  f1-2: {metric: f1, min: 0.9}",
        "  tvm: {use: tvm}",
        "  staging: {target: tvm, to: '127.0.0.1:8080'}",
        "  more-rows: {path: data/more rows.csv, label: digit}",
    }
    lines = manifest.read_text().splitlines()
    assert set(lines) - set(MINIMAL.splitlines()) == added
    assert [line for line in lines if line not in added] == MINIMAL.splitlines()
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
    assert "gates.f1 written to mlops.yaml" in capsys.readouterr().out


def test_add_writes_nothing_that_would_be_invalid(project: Path) -> None:
    for arguments in (("deployment", "local", ["target=none"]), ("train", "a && b"), ("gate", "f1", ["mni=1"])):
        with pytest.raises(ManifestError):
            add(*arguments)
    for wrong in (("model", "x"), ("target", "toaster"), ("gate", "f1", ["min"])):
        with pytest.raises(UsageError):
            add(*wrong)
    assert (project / "mlops.yaml").read_text() == MINIMAL
    assert os.listdir(project) == ["mlops.yaml"]


@pytest.mark.parametrize("name", ["mlops.yaml", "clients.csv", "clients.yaml", "clients.json"])
def test_a_file_of_a_terabyte_is_refused_at_once(project: Path, name: str) -> None:
    if name != "mlops.yaml":
        (project / "mlops.yaml").write_text(MINIMAL.replace("cpu: {}", f"cpu: {{each: {name}}}"))
    (project / name).touch()
    os.truncate(project / name, 1 << 40)
    must("git init -q", project)
    with pytest.raises(ManifestError) as caught:
        open_project(project)
    assert caught.value.code == "MLO3002" and name in str(caught.value.where)
    assert validate() == 3
