from __future__ import annotations

from pathlib import Path

import pytest

from tests.providers.targets.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for a model."""
    found = tmp_path / "model"
    found.mkdir()
    return found
