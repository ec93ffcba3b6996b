"""Verbs that are typed all day import nothing heavy; `make bench` shows what that is worth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .quickstart import make_quickstart, must, take_down
from .remembered import GRAIN_NS, ask, remember

HEAVY = (
    "asyncio", "boto3", "cryptography", "docker", "dvc", "git", "importlib.metadata", "jinja2", "jsonschema",
    "model_signing", "multiprocessing", "numpy", "onnx", "onnxruntime", "pyarrow", "pydantic", "requests", "rich",
    "scipy", "sigstore", "sklearn", "ssl", "structlog", "tvm", "unittest", "uvicorn", "xml",
)  # fmt: skip

# Light, and still a tenth of a plan together: needed only where something is written, measured or shared out.
LATER = (
    "decimal", "fractions", "mlopsctl.adapters.cells", "mlopsctl.adapters.objects", "mlopsctl.adapters.process",
    "mlopsctl.providers.data.views", "mlopsctl.providers.train.workplace", "mlopsctl.serving.client", "random",
    "secrets", "statistics", "tempfile",
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
    """What is in sys.modules after a verb that succeeds and remembers nothing."""
    environment = {**os.environ, "CI": "true"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(argv)],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    (folder / "modules.json").unlink()
    assert found["code"] == 0, done.stderr
    # What this machine's interpreter loads by itself is no choice of a verb.
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(found["modules"]) - set(bare.stdout.split())


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


@pytest.mark.parametrize("argv", [["validate"], ["plan"]], ids=" ".join)
def test_what_only_work_needs_is_imported_by_work(argv: list[str], applied: Path) -> None:
    assert sorted(modules(argv, applied) & set(LATER)) == []


def test_validate_needs_neither_the_trail_nor_git(applied: Path) -> None:
    found = modules(["validate"], applied)
    assert [name for name in found if name.startswith("mlopsctl.audit")] == []
    assert not found & {"sqlite3", "mlopsctl.adapters.git"}


def test_a_plan_that_changes_nothing_starts_git_once(
    applied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Git itself writes a line for each process.
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    assert "mlopsctl.plan" in modules(["plan"], applied)
    assert (tmp_path / "trace").read_text().count("built-in: git ls-files") == 1
    assert (tmp_path / "trace").read_text().count("built-in: git ") == 1


REMEMBERED = {
    "mlopsctl", "mlopsctl.__main__", "mlopsctl.adapters", "mlopsctl.adapters.facts", "mlopsctl.adapters.git_start",
    "mlopsctl.adapters.memo", "binascii", "fcntl", "_blake2", "json", "json.decoder", "json.encoder", "json.scanner",
    "_json", "re", "re._casefix", "re._compiler", "re._constants", "re._parser", "_sre", "enum", "functools",
    "collections", "collections.abc", "keyword", "operator", "_operator", "reprlib", "itertools", "copyreg", "gc",
    "_functools", "_collections", "types", "__future__",
}  # fmt: skip
"""What a remembered answer imports; ``json`` and what it needs belong to this test."""


@pytest.mark.parametrize("argv", [["plan"], ["plan", "--format", "json"], ["apply", "-y"]], ids=" ".join)
def test_a_remembered_answer_imports_neither_planner_nor_command_line(
    applied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    remember(applied, *argv)
    # With the usual grain this test itself imports nothing more.
    found = ask(applied, *argv, grain=GRAIN_NS)
    assert found.remembered
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert sorted(found.modules - set(bare.stdout.split()) - REMEMBERED) == []
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    # Another variable is another memo.
    remember(applied, *argv)
    (tmp_path / "trace").write_text("")
    assert ask(applied, *argv).remembered
    asked = [line for line in (tmp_path / "trace").read_text().splitlines() if "built-in: git " in line]
    assert len(asked) == {"plan": 1, "plan --format json": 2, "apply -y": 3}[" ".join(argv)], asked


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
