"""``import``: a model that exists counts as what a step would make from today's inputs, and says that it was imported."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mlopsctl.cli.project import open_project
from tests.quickstart import must, shell


@pytest.fixture
def older(project: Path, tmp_path: Path) -> Path:
    """A model with other bytes than the one that was trained here."""
    opened = open_project(project)
    entry = opened.trail.latest("train.classifier")
    assert entry is not None
    model = onnx.load(opened.store.checkout(entry.outputs["model"], tmp_path / "made") / "model.onnx")
    model.doc_string = "made in spring"
    onnx.save(model, tmp_path / "spring.onnx")
    return tmp_path / "spring.onnx"


def test_nothing_is_trained_for_a_model_that_exists(project: Path, older: Path) -> None:
    must("echo '# as it was in spring' >> train.py && git commit -qam spring", project)
    assert "retrain" in must("mlopsctl plan", project)
    must(f"mlopsctl import train.classifier {older} --reason 'made on the cluster'", project)
    said = must("mlopsctl plan", project)
    assert "train.classifier  unchanged" in said and "gates.accuracy    update" in said
    entry = open_project(project).trail.latest("train.classifier")
    assert entry is not None and entry.outputs["model.sig"] and "usage" not in entry.facts
    origin = entry.facts["origin"]
    assert (origin["how"], origin["source"]) == ("by hand", "spring.onnx") and origin["reason"] == "made on the cluster"
    must("mlopsctl apply -y", project)
    assert "No changes" in must("mlopsctl plan", project)
    assert "0 findings" in must("mlopsctl audit verify", project)


def test_what_stands_is_replaced_on_purpose_only(project: Path, older: Path) -> None:
    done = shell(f"mlopsctl import classifier {older}", project)
    assert done.returncode == 1 and "MLO1031" in done.stdout
    before = open_project(project).trail.latest("train.classifier")
    must(f"mlopsctl import classifier {older} --replace", project)
    entry = open_project(project).trail.latest("train.classifier")
    assert before is not None and entry is not None and entry.supersedes == (before.id,)
    assert "re-evaluate" in must("mlopsctl plan", project)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ("gates.accuracy README.md", "MLO1032", "measured here"),
        ("train.classifier nowhere.onnx --replace", "MLO1230", "no file or folder"),
        ("train.classifier README.md --replace", "MLO1233", "no"),
        ("train.nobody README.md", "MLO1012", "declares no"),
        ("train.classifier /dev/zero --replace", "MLO1230", "no file or folder"),
        ("train.classifier . --replace", "MLO1230", "whole repository"),
        ("train.classifier .. --replace", "MLO1230", "whole repository"),
        ("train.classifier .git/latest --replace", "MLO1230", "README.md"),
    ],
)
def test_what_cannot_be_imported_says_why(project: Path, arguments: str, code: str, word: str) -> None:
    (project / ".git" / "latest").symlink_to(project / "README.md")
    before = must("git rev-parse refs/notes/mlops", project)
    done = shell(f"mlopsctl import {arguments}", project)
    assert done.returncode == 1 and code in done.stdout and word in done.stdout
    assert must("git rev-parse refs/notes/mlops", project) == before


def test_an_input_that_is_not_made_yet_is_named(project: Path, older: Path) -> None:
    must("echo '0,0' >> data/digits.csv", project)
    done = shell(f"mlopsctl import train.classifier {older}", project)
    assert done.returncode == 1 and "mlopsctl apply --target data.digits" in done.stdout
