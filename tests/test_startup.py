"""Verbs that are typed all day import nothing heavy; `make bench` shows what that is worth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .quickstart import make_quickstart, must, take_down

HEAVY = (
    "asyncio", "boto3", "cryptography", "docker", "dvc", "git", "importlib.metadata", "jinja2", "jsonschema",
    "model_signing", "multiprocessing", "numpy", "onnx", "onnxruntime", "pyarrow", "pydantic", "requests", "rich",
    "scipy", "sigstore", "sklearn", "ssl", "structlog", "tvm", "unittest", "uvicorn", "xml",
)  # fmt: skip

RUN = """
import json, sys
sys.argv = ["mlopsctl", *json.loads(sys.argv[1])]
from mlopsctl.__main__ import main
try:
    main()
    code = 0
except SystemExit as end:
    code = end.code or 0
json.dump({"code": code, "modules": sorted(sys.modules)}, open("modules.json", "w"))
"""


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The quickstart with everything made, so that a plan has nothing to do."""
    project = make_quickstart(tmp_path_factory.mktemp("startup") / "digits")
    must("mlopsctl apply -y", project)
    yield project
    take_down(project)


def modules(argv: list[str], folder: Path) -> set[str]:
    """What is in sys.modules after a verb that succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(argv)], cwd=folder, capture_output=True, text=True, check=True
    )
    found = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    (folder / "modules.json").unlink()
    assert found["code"] == 0, done.stderr
    return set(found["modules"])


def heavy(argv: list[str], folder: Path) -> list[str]:
    """The heavy ones among them, sorted."""
    return sorted(modules(argv, folder) & set(HEAVY))


def test_the_version_needs_no_command_line_library(tmp_path: Path) -> None:
    found = modules(["--version"], tmp_path)
    assert not found & {*HEAVY, "typer", "click", "yaml", "mlopsctl.cli.main"}


@pytest.mark.parametrize("argv", [["explain", "MLO3003"], ["--help"], ["plan", "--help"]], ids=" ".join)
def test_help_is_light(argv: list[str], tmp_path: Path) -> None:
    assert heavy(argv, tmp_path) == []


VERBS = (
    ["validate"],
    ["plan", "--detailed-exitcode"],
    ["plan", "--format", "json"],
    ["graph"],
    ["diff", "HEAD"],
)


@pytest.mark.parametrize("argv", VERBS, ids=" ".join)
def test_daily_verbs_are_light(argv: list[str], applied: Path) -> None:
    found = modules(argv, applied)
    assert sorted(found & set(HEAVY)) == []
    # Only the verb that was typed is built.
    assert "mlopsctl.cli.apply" not in found


def test_a_changed_manifest_is_validated_light(applied: Path) -> None:
    changed = applied / "changed.yaml"
    changed.write_text((applied / "mlops.yaml").read_text(encoding="utf-8").replace("0.93", "0.9371"), encoding="utf-8")
    try:
        assert heavy(["validate", "changed.yaml"], applied) == []
    finally:
        changed.unlink()


def test_status_of_a_running_server_is_light(applied: Path) -> None:
    # Asking the server takes an HTTP client, and Python's brings ssl along.
    assert [name for name in heavy(["status"], applied) if name != "ssl"] == []
