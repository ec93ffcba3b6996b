"""What several stories begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quickstart import must
from tests.shelf import another_model, make_small


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose trail knows two models, so that only deployments are left to make. Never change it: copy it."""
    folder = make_small(tmp_path_factory.mktemp("two-models") / "small")
    must("mlopsctl apply -y && git checkout -q -b warm", folder)
    another_model(folder)
    must("mlopsctl apply -y && git checkout -q main && git branch -qD warm", folder)
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """An empty place to deploy to."""
    place = tmp_path / "shelf"
    place.mkdir()
    return place
