"""schema, explain, doctor, completion, validate and add as a person types them: once right, once wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.quickstart import must, shell


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mlopsctl schema | python -m json.tool", '"title": "mlops.yaml"'),
        ("mlopsctl explain MLO6002", "MLO6002: "),
        ("mlopsctl explain", "MLO1000  a command"),
        ("mlopsctl doctor", "git"),
        ("mlopsctl completion zsh", "compdef"),
        ("mlopsctl validate", "valid, 5 resources"),
        ("mlopsctl validate --format json 2>/dev/null | python -m json.tool", '"ok": true'),
    ],
)
def test_right(project: Path, line: str, words: str) -> None:
    assert words in must(line, project)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("mlopsctl schema extra", 64, "MLO6400"),
        ("mlopsctl explain MLO0000", 64, "MLO6452"),
        ("mlopsctl doctor --format xml", 64, "MLO6401"),
        ("mlopsctl completion tcsh", 64, "MLO64"),
        ("mlopsctl validate none.yaml", 3, "MLO3032"),
        ("mlopsctl add", 64, "MLO6400"),
        ("mlopsctl add model x", 64, "MLO6410"),
        ("mlopsctl add target toaster", 64, "onnxruntime"),
        ("mlopsctl add train 'a && b'", 3, "MLO3022"),
        ("mlopsctl key show nobody", 7, "MLO7"),
        ("mlopsctl key new ../nobody", 64, "MLO64"),
        ("mlopsctl verify train.py", 7, "MLO7"),
        ("mlopsctl sign none.onnx", 64, "MLO6400"),
        ("mlopsctl data add none.csv", 1, "MLO1123"),
        ("mlopsctl data verify none", 1, "MLO"),
        ("mlopsctl audit show 0000000", 1, "MLO"),
        ("mlopsctl audit trace train.none", 1, "MLO7115"),
        ("mlopsctl push", 1, "MLO8006"),
        ("mlopsctl pull --remote none", 64, "MLO64"),
    ],
)
def test_wrong(project: Path, line: str, code: int, words: str) -> None:
    done = shell(line, project)
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout
    assert "Traceback" not in done.stdout
    assert "fix: " in done.stdout or "--help" in done.stdout, done.stdout


def test_a_reader_that_stops_reading_is_no_failure(project: Path) -> None:
    assert must("mlopsctl explain | head -1", project).count("\n") == 1
    assert shell("mlopsctl apply -y --format json | true", project).returncode in (0, 1)


def test_each_kind_that_add_writes_can_be_planned(project: Path) -> None:
    manifest = project / "mlops.yaml"
    text = manifest.read_text().replace("{run: python train.py}", "{run: python train.py, data: digits}")
    text = text.replace("accuracy: {", "accuracy: {model: classifier, ").replace("cpu: {}", "cpu: {model: classifier}")
    manifest.write_text(text)
    must("cp data/digits.csv data/more.csv && cp train.py other.py && git add -A", project)
    for words in (
        "data data/more.csv label=digit",
        "train 'python other.py' data=more --name other",
        "gate balanced_accuracy model=classifier",
        "target tvm model=classifier",
        "deployment local target=cpu",
    ):
        assert "written to mlops.yaml" in must(f"mlopsctl add {words}", project), words
    plan = json.loads(must("mlopsctl plan --format json 2>/dev/null", project))
    created = {step["address"] for step in plan["steps"] if step["action"] == "create"}
    assert {"data.more", "train.other", "gates.balanced_accuracy", "targets.tvm", "deployments.local"} <= created
    assert "# A fifth of the rows" in manifest.read_text()


def test_a_block_that_needs_another_key_is_not_written(project: Path) -> None:
    before = (project / "mlops.yaml").read_text()
    done = shell("mlopsctl add data data/digits.csv --name twice", project)
    assert done.returncode == 3 and "add data: digits" in done.stdout
    assert (project / "mlops.yaml").read_text() == before


def test_what_is_signed_here_is_verified_here(project: Path) -> None:
    must("cp train.py signed.py && mlopsctl sign signed.py", project)
    assert must("mlopsctl verify signed.py", project).startswith("ok: ")
    done = shell("echo x >> signed.py; mlopsctl verify signed.py", project)
    assert done.returncode == 7 and "MLO71" in done.stdout
