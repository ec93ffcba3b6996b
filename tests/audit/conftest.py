"""Clones around one bare remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.audit.sharing import pull_trail, push_trail

from .clone import Clone, clone_of, run


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    run(tmp_path, "init", "-q", "--bare", "origin.git")
    return tmp_path / "origin.git"


@pytest.fixture
def one(tmp_path: Path, origin: Path) -> Clone:
    """The clone that started the trail and pushed it."""
    clone = Clone.start(tmp_path / "one")
    run(clone.folder, "remote", "add", "origin", str(origin))
    run(clone.folder, "push", "-q", "origin", "HEAD:main")
    push_trail(clone.trail, "origin")
    return clone


@pytest.fixture
def two(tmp_path: Path, origin: Path, one: Clone) -> Clone:
    """A second clone that has fetched everything."""
    clone = clone_of(origin, tmp_path / "two", one)
    pull_trail(clone.trail, "origin")
    return clone
