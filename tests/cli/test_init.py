"""``init``: a project from a template, or what an existing manifest lacks; nothing is overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from tests.quickstart import must, shell

MANIFEST = "apiVersion: mlopsctl/v1\nproject: {name: mine}  # ours\ndata:\n  rows: {path: rows.csv, label: y}\n"


def start(folder: Path, *words: str) -> str:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return must(f"mlopsctl init --template quickstart {' '.join(words)} {folder}", folder.parent)


def test_a_template_becomes_a_project_with_repository_key_and_trail(tmp_path: Path) -> None:
    folder = tmp_path / "my-digits"
    said = start(folder)
    assert "mlopsctl plan" in said and "mlopsctl apply" in said and "cd my-digits" in said
    manifest = yaml.safe_load((folder / "mlops.yaml").read_text())
    assert manifest["project"]["name"] == "my-digits" and manifest["project"]["log"]
    for name in ("train.py", "data/digits.csv", "trust.yaml", ".mlops/schema.json", ".github/workflows/mlops.yml"):
        assert (folder / name).is_file(), name
    assert must("git rev-parse --show-toplevel", folder).strip() == str(folder.resolve())
    key = next(
        word for line in said.splitlines() if line.strip().startswith("key") for word in line.split() if "/" in word
    )
    assert stat.S_IMODE(Path(key).stat().st_mode) == 0o600 and not Path(key).is_relative_to(folder)
    assert must("mlopsctl audit verify --strict", folder).startswith("ok: 1 valid")


def test_an_existing_manifest_gets_what_it_lacks_and_keeps_its_words(tmp_path: Path) -> None:
    (tmp_path / "mlops.yaml").write_text(MANIFEST)
    must("git init -q && mlopsctl init --ci none", tmp_path)
    text = (tmp_path / "mlops.yaml").read_text()
    assert "# ours" in text and "log: " in text and "rows: {path: rows.csv, label: y}" in text
    assert (tmp_path / "trust.yaml").is_file() and not (tmp_path / ".github").exists()
    again = shell("mlopsctl init", tmp_path)
    assert again.returncode == 1 and "MLO1017" in again.stdout


@pytest.mark.parametrize(
    ("ci", "wrote"), [("github", ".github/workflows/mlops.yml"), ("gitlab", ".gitlab-ci.yml"), ("none", "")]
)
def test_a_ci_job_that_validates_plans_and_verifies(tmp_path: Path, ci: str, wrote: str) -> None:
    folder = tmp_path / "d"
    start(folder, "--ci", ci)
    jobs = [path for path in (".github/workflows/mlops.yml", ".gitlab-ci.yml") if (folder / path).exists()]
    assert jobs == ([wrote] if wrote else [])
    for path in jobs:
        text = (folder / path).read_text()
        assert yaml.safe_load(text)
        for verb in ("validate", "plan", "audit verify"):
            assert f"mlopsctl {verb}" in text


def test_a_project_in_a_folder_of_a_repository_joins_it(tmp_path: Path) -> None:
    must("git init -q", tmp_path)
    folder = tmp_path / "models" / "digits"
    start(folder)
    assert must("git rev-parse --show-toplevel", folder).strip() == str(tmp_path.resolve())
    must("git add -A && git commit -qm Start && mlopsctl plan", folder)


def test_a_folder_that_the_outer_repository_ignores_gets_its_own(tmp_path: Path) -> None:
    must("git init -q && echo scratch/ > .gitignore", tmp_path)
    start(tmp_path / "scratch" / "d")
    assert (tmp_path / "scratch" / "d" / ".git").is_dir()


@pytest.mark.parametrize("link", [".mlops", ".github"])
def test_a_link_leads_nothing_out_of_the_repository(tmp_path: Path, link: str) -> None:
    (tmp_path / "mine").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    (project / link).symlink_to(tmp_path / "mine")
    (project / "mlops.yaml").write_text("apiVersion: mlopsctl/v1\nproject:\n  name: p\n")
    done = shell("mlopsctl init", project)
    assert (done.returncode, "MLO1085" in done.stdout) == (1, True), done.stdout
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("mlopsctl init --template quickstart there", 1, "MLO1018"),
        ("mlopsctl init --template nothing new", 64, "quickstart"),
        ("mlopsctl init --template quickstart --ci jenkins new", 64, "MLO6404"),
        ("mlopsctl init", 64, "MLO6405"),
    ],
)
def test_what_it_refuses(tmp_path: Path, line: str, code: int, words: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "train.py").write_text("mine")
    done = shell(line, tmp_path)
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout
    assert (tmp_path / "there" / "train.py").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
