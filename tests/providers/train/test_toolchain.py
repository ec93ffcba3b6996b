"""``toolchain:``: versions that count, known without running anything, and true when a step starts."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import ingredients, result_fields
from mlopsctl.providers.train import local
from mlopsctl.providers.train.toolchain import versions

from .conftest import ONNX_SCRIPT, Project

PYTHON = platform.python_version()


@pytest.fixture
def ready(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A training script, and a compiler on PATH that says which version it is."""
    project.write("train.py", ONNX_SCRIPT)
    compiler = tmp_path / "tools" / "mycc"
    compiler.parent.mkdir()
    compiler.write_text('#!/bin/sh\necho "mycc (Somebody 4) 12.2.0 20230801" >&2\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}:/usr/bin:/bin")
    return project


def test_the_declared_versions_are_asked_for_and_recorded(ready: Project) -> None:
    outcome = ready.train(run="python train.py", toolchain={"python": PYTHON, "mycc": "12"})
    assert outcome.made_with["mycc"] == "12.2.0"
    assert outcome.made_with["python"] == PYTHON


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"mycc": "13"}, "mycc is 12.2.0 here, and 13 is declared"),
        ({"mycc": "1"}, "mycc is 12.2.0 here, and 1 is declared"),
        ({"mycc": "12.2.0.1"}, "12.2.0.1 is declared"),
        ({"python": "2.7"}, f"python is {PYTHON} here"),
        ({"nothing-of-the-kind": "1"}, "there is no program 'nothing-of-the-kind'"),
        ({"true": "1"}, "true"),
    ],
)
def test_a_step_does_not_start_with_another_one(ready: Project, declared: dict[str, str], words: str) -> None:
    ready.write("train.py", "print('it started')\n" + ONNX_SCRIPT)
    with pytest.raises(ProviderError) as caught:
        ready.train(run="python train.py", toolchain=declared, retries=2)
    assert caught.value.code == "MLO1227"
    assert words in caught.value.message
    assert not ready.log.exists() or "it started" not in ready.log.read_text()


def test_it_is_asked_without_secrets(ready: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short secret would be taken out of the version, and a program could say one."""
    (tmp_path / "tools" / "mycc").write_text('#!/bin/sh\necho "mycc ${TOKEN}12.2.0"\n')
    monkeypatch.setenv("SHORT", "2")
    outcome = ready.train(run="python train.py", toolchain={"mycc": "12"}, env={"TOKEN": "env:SHORT"})
    assert outcome.made_with["mycc"] == "12.2.0"


def test_it_is_asked_in_the_sandbox(ready: Project, tmp_path: Path) -> None:
    (tmp_path / "tools" / "mycc").write_text(f"#!/bin/sh\ntouch {ready.root}/written || echo 12.2.0\n")
    ready.train(run="python train.py", toolchain={"mycc": "12"})
    assert not (ready.root / "written").exists()


def test_it_enters_the_fingerprint_and_its_absence_changes_none(ready: Project) -> None:
    def parts(**keys: object) -> object:
        want = ready.resource(run="python train.py", **keys)
        return ingredients(want, local.sources(want, ready.tree), ready.inputs(want))

    assert "toolchain" not in result_fields(local.Spec(run="x"))
    assert parts() == parts(toolchain={}) != parts(toolchain={"mycc": "12"}) != parts(toolchain={"mycc": "13"})


def test_a_file_counts_by_its_bytes_and_lies_where_the_tool_reads_it(ready: Project) -> None:
    ready.write("rust-toolchain.toml", '[toolchain]\nchannel = "1.75"\n')
    ready.write("train.py", "print(open('rust-toolchain.toml').read())\n" + ONNX_SCRIPT)
    want = ready.resource(run="python train.py", toolchain="rust-toolchain.toml")
    before = local.sources(want, ready.tree)
    ready.train(run="python train.py", toolchain="rust-toolchain.toml")
    assert "1.75" in ready.log.read_text()
    ready.write("rust-toolchain.toml", '[toolchain]\nchannel = "1.76"\n')
    assert local.sources(want, ready.tree)["rust-toolchain.toml"] != before["rust-toolchain.toml"]


def test_files_that_say_versions_are_checked(ready: Project) -> None:
    ready.write(".python-version", "2.7\n")
    with pytest.raises(ProviderError, match="python is"):
        ready.train(run="python train.py", toolchain=".python-version")
    ready.write(".tool-versions", f"# of asdf\npython {PYTHON} system\nmycc 12.2\nnodejs lts\n../mycc 1\n")
    assert versions(".tool-versions", ready.tree) == {"python": PYTHON, "mycc": "12.2"}
    assert ready.train(run="python train.py", toolchain=".tool-versions").made_with["mycc"] == "12.2.0"
    with pytest.raises(ProviderError) as caught:
        ready.train(run="python train.py", toolchain="missing-version")
    assert caught.value.code == "MLO1228"


@pytest.mark.parametrize(
    "written", ['{gcc: ">=12"}', '{"gcc; rm": "12"}', '{../gcc: "12"}', "{gcc: 12}", '{gcc: "-1"}']
)
def test_what_is_no_version_is_found_while_the_manifest_is_read(written: str) -> None:
    text = f"""\
apiVersion: mlopsctl/v1
project: {{name: x}}
data: {{rows: {{path: rows.csv, label: y, split: {{test: 0.2, key: id}}}}}}
train: {{scorer: {{run: python train.py, toolchain: {written}}}}}
"""
    with pytest.raises(ManifestError) as caught:
        load_manifest(text.encode())
    assert caught.value.code in ("MLO1226", "MLO3016")
