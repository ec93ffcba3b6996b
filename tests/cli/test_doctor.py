"""The doctor names what is missing and the command that mends it, and changes nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import config_folder, new_key
from mlopsctl.cli.doctor import doctor

MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: digits}
data:
  digits: {path: digits.csv, label: digit}
"""


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    project = tmp_path / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    monkeypatch.chdir(project)


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    capsys.readouterr()
    doctor("json")
    document = json.loads(capsys.readouterr().out)
    return {check["name"]: check for check in document["checks"]}


def test_the_machine_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    assert found["python"]["state"] == found["git"]["state"] == found["packages"]["state"] == "ok"
    assert found["sandbox"]["text"]


def test_without_a_project_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    assert found["project"]["state"] == "note"
    assert "mlopsctl init" in found["project"]["fix"]


def test_a_manifest_without_a_log_has_to_be_mended(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlops.yaml").write_text(MANIFEST, encoding="utf-8")
    assert findings(capsys)["trail"]["state"] == "problem"
    assert doctor() == 1


def test_a_broken_manifest_is_named_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mlops.yaml").write_text(MANIFEST + "gatess: {}\n", encoding="utf-8")
    found = findings(capsys)
    assert found["project"]["state"] == "problem"
    assert found["project"]["text"].startswith("mlops.yaml:5:1: ")


def test_a_key_that_others_can_read_has_to_be_mended(capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(capsys)["key"]["state"] == "note"
    key = new_key(config_folder() / "keys" / "ada.pem")
    assert findings(capsys)["key"]["state"] == "ok"
    key.path.chmod(0o644)
    found = findings(capsys)["key"]
    assert (found["state"], found["fix"]) == ("problem", f"chmod 600 {key.path}")


def test_a_remote_whose_trail_was_not_fetched_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("mlops.yaml").write_text(MANIFEST, encoding="utf-8")
    assert findings(capsys)["remote"]["state"] == "note"
    subprocess.run(["git", "remote", "add", "origin", str(tmp_path / "elsewhere.git")], check=True)
    assert findings(capsys)["remote origin"]["fix"] == "mlopsctl pull --trail-only"


def test_nothing_is_changed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    doctor()
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
