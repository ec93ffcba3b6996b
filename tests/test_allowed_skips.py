"""In CI a skipped test fails the run, unless tests/allowed-skips.txt names it with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ALLOWED_SKIPS, allowed_skips

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = """\
import pytest

def test_runs() -> None:
    assert True

@pytest.mark.skip(reason="no such tool")
def test_is_skipped() -> None:
    assert False
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A folder with our conftest.py, an empty list and one skipped test."""
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    (tmp_path / "allowed-skips.txt").write_text("# none\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    return tmp_path


def run(folder: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")} | extra
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pytest.ini", *args, "."]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "workers"])
def test_a_skip_fails_the_run(sample: Path, workers: tuple[str, ...]) -> None:
    done = run(sample, *workers, CI="true")
    assert done.returncode == 1
    assert "allowed-skips.txt does not name it: test_sample.py::test_is_skipped" in done.stdout


@pytest.mark.parametrize("name", ["test_sample.py::test_is_skipped", "test_sample.py::*"])
def test_a_skip_with_a_reason_passes(sample: Path, name: str) -> None:
    (sample / "allowed-skips.txt").write_text(f"{name}  needs a tool\n", encoding="utf-8")
    assert run(sample, CI="true").returncode == 0


def test_at_a_desk_a_skip_is_only_shown(sample: Path) -> None:
    assert run(sample).returncode == 0


def test_every_allowed_skip_has_a_reason() -> None:
    lines = [line for line in ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    assert len(lines) == len(allowed_skips())
    assert all(len(reason) > 7 for reason in allowed_skips().values())


def test_every_allowed_skip_names_a_test_that_exists() -> None:
    for name in allowed_skips():
        path, _, test = name.partition("::")
        assert f"def {test.rstrip('*')}" in (ROOT / path).read_text(encoding="utf-8")
