"""What an installation gets: the package, templates and schemas; pinned packages without an index or a path."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mlopsctl import __version__
from mlopsctl.errors import UsageError
from mlopsctl.resources import ci_job, data_dir, schema_text, template_dir, template_names

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the pinned backend and without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "-w", folder, ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_what_the_repository_holds(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for name in ("templates", "schemas"):
        for path in (ROOT / name).rglob("*"):
            if path.is_file():
                assert f"mlopsctl/_data/{path.relative_to(ROOT).as_posix()}" in inside
    for path in (ROOT / "mlopsctl").rglob("*"):
        if path.suffix in (".py", ".md", ".html", ".css", ".js") and "_data" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in inside
    assert not [name for name in inside if name.startswith(("tests/", "docs/", "bench/"))]


def test_an_installed_wheel_finds_templates_and_schemas(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    ask = "from mlopsctl.resources import *; print(data_dir('schemas')); print(template_names()); schema_text()"
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "mlopsctl" / "_data" / "schemas")
    assert "quickstart" in done.stdout


def test_a_checkout_finds_templates_and_schemas() -> None:
    assert data_dir("schemas") == ROOT / "schemas"
    assert "quickstart" in template_names()
    assert (template_dir("quickstart") / "mlops.yaml").is_file()
    assert '"$schema"' in schema_text()


def test_an_unknown_template_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no template 'nope'"):
        template_dir("nope")


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_ci_jobs_install_this_version(host: str) -> None:
    assert f"mlopsctl=={__version__}" in ci_job(host)


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert wheel.name.startswith(f"mlopsctl-{__version__}-")


@pytest.mark.parametrize("name", [*REQUIREMENTS, "bench/requirements.txt"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"^\s*-|://|file:|@ ", re.sub(r"\s+--hash=sha256:[0-9a-f]{64}", "", text), re.MULTILINE) is None
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[A-Za-z0-9._-]+==\S+ \\\n +--hash=sha256:", block), block.splitlines()[0]


def test_core_is_part_of_what_is_tested() -> None:
    core, everything = ({line for line in (ROOT / n).read_text().splitlines() if "==" in line} for n in REQUIREMENTS)
    assert core <= everything
