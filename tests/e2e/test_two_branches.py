"""Two branches, each with a model of its own: switching, merging and rebasing train nothing again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.quickstart import must, shell
from tests.shelf import BEFORE, block, declare, make_small, on, write_model

APPLY = f"{BEFORE}mlopsctl apply -y"


def made(folder: Path) -> Counter[str]:
    """How many results the trail has of each address."""
    entries = json.loads(must("mlopsctl audit log -n -1 --format json", folder))["entries"]
    return Counter(entry["address"] for entry in entries if entry["kind"] == "result")


def actions(folder: Path) -> dict[str, str]:
    """What is planned, other than nothing."""
    steps = json.loads(must("mlopsctl plan --format json 2>/dev/null", folder))["steps"]
    return {step["address"]: step["action"] for step in steps if step["action"] != "noop"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deployed from main; another model on main since, a third one on ``feature``, all trained. Copy it."""
    place = tmp_path_factory.mktemp("branches")
    folder, shelf = make_small(place / "small"), place / "shelf"
    shelf.mkdir()
    declare(folder, live=block(shelf))
    must(f"{APPLY} && git branch feature", folder)
    write_model(folder, 2.0)
    must(f"git commit -qam 'Another model' && {APPLY} && git checkout -q feature", folder)
    write_model(folder, 3.0)
    must(f"git commit -qam 'A third model' && {APPLY}", folder)
    return folder


@pytest.fixture
def branches(trained: Path, tmp_path: Path) -> Path:
    """A copy, shelf included: the shelf's path is part of the manifest, so that the copy takes the place of the first."""
    kept = trained.parent.with_name(f"{trained.parent.name}-kept")
    if not kept.exists():
        shutil.copytree(trained.parent, kept, symlinks=True)
    shutil.rmtree(trained.parent)
    shutil.copytree(kept, trained.parent, symlinks=True)
    return trained


def test_switching_between_trained_branches_trains_nothing(branches: Path) -> None:
    before = made(branches)
    assert before == {
        "data.rows": 1,
        "train.m": 3,
        "gates.accuracy": 3,
        "gates.scan": 3,
        "targets.cpu": 3,
        "deployments.live": 2,
    }
    for branch in ("main", "feature", "main"):
        must(f"git checkout -q {branch} && {APPLY}", branches)
        assert actions(branches) == {}
    assert made(branches) == before


@pytest.mark.parametrize("way", ["merge -X theirs", "merge -X ours", "rebase -X theirs"])
def test_two_trained_branches_become_one_and_nothing_is_trained(branches: Path, way: str) -> None:
    """Only where the merge brings another model to main something is deployed, and then as a change of the model."""
    shelf = branches.parent / "shelf"
    before, running = made(branches), on(shelf)
    if way.startswith("merge"):
        must(f"git checkout -q main && git {way} -q -m merged feature", branches)
    else:
        must(f"git {way} -q main && git checkout -q main && git merge -q --ff-only feature", branches)
    brings = way != "merge -X ours"
    assert actions(branches) == ({"deployments.live": "update"} if brings else {})
    said = must("mlopsctl plan", branches)
    assert ("targets.cpu changed" in said) == brings, "a reason with a name"
    assert on(shelf) == running, "merging deploys nothing"
    must(APPLY, branches)
    assert (on(shelf) != running) == brings
    assert made(branches) - before == ({"deployments.live": 1} if brings else {}), (
        "nothing is trained, measured, compiled"
    )
    assert "ok:" in must("mlopsctl audit verify", branches)


def test_a_merge_on_another_laptop_trains_nothing_either(branches: Path, tmp_path: Path) -> None:
    """The branches were trained here; somebody else merges them, and has never trained anything."""
    hub, other = tmp_path / "hub.git", tmp_path / "other"
    must("git checkout -q main", branches)
    must(f"git clone -q --bare . {hub} && git remote add origin {hub} && git fetch -q && mlopsctl push", branches)
    must(f"git clone -q -b main {hub} {other}", tmp_path)
    must("git merge -q -X theirs -m merged origin/feature", other)
    assert actions(other) == {"deployments.live": "update"}
    assert shell("mlopsctl plan --detailed-exitcode --exclude deployments.live", other).returncode == 0
    must("git push -q origin main", other)
    must("git pull -q origin main", branches)
    assert actions(branches) == {"deployments.live": "update"}
