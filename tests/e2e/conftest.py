"""Whole projects, applied once a session and copied for each test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, take_down


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart without its deployment, applied: data, model, gates and target stand. Never change it: copy it."""
    folder = make_quickstart(tmp_path_factory.mktemp("applied") / "digits")
    manifest = folder / "mlops.yaml"
    text = manifest.read_text()
    manifest.write_text(re.sub(r"\ndeployments:\n.*", "\n", text, flags=re.DOTALL))
    must('git commit -qam "No deployment"', folder)
    must("mlopsctl apply -y", folder)
    return folder


@pytest.fixture
def project(applied: Path, tmp_path: Path) -> Path:
    """An own copy of the applied project."""
    return Path(shutil.copytree(applied, tmp_path / "digits", symlinks=True))


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Makes the whole quickstart, server included, and takes it down after the test."""
    folder = tmp_path / "live"

    def make() -> Path:
        make_quickstart(folder)
        must("mlopsctl apply -y", folder)
        return folder

    yield make
    take_down(folder)
