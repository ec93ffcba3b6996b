"""Who may change a deployment from where: branches, commits, people and clones, with real git and real entries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.test_approve import admit, person
from tests.quickstart import must, shell
from tests.shelf import BEFORE, block, declare, make_small, on, write_model

APPLY = f"{BEFORE}mlopsctl apply -y"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose trail knows two models already, so that only deployments are left to make."""
    folder = make_small(tmp_path_factory.mktemp("made") / "small")
    must("mlopsctl apply -y && git checkout -q -b warm", folder)
    another_model(folder)
    must("mlopsctl apply -y && git checkout -q main && git branch -qD warm", folder)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "small", symlinks=True))


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    place = tmp_path / "shelf"
    place.mkdir()
    return place


@pytest.fixture
def live(project: Path, shelf: Path) -> Path:
    """The applied project with one shared deployment, on the branch main."""
    declare(project, live=block(shelf))
    must(APPLY, project)
    return project


def another_model(project: Path) -> None:
    write_model(project, 2.0)
    must("git commit -qam 'Another model'", project)


def two_people(project: Path) -> None:
    """Ann may approve; ben may too, and holds the role govern."""
    admit(project, "ann", "ben")
    trust = project / "trust.yaml"
    before, ben, after = trust.read_text().partition("  ben:")
    trust.write_text(before + ben + after.replace("[approve, train]", "[approve, govern]"))
    must("mlopsctl trust apply -y", project)


def test_a_branch_that_never_declared_it_takes_nothing_down(live: Path, shelf: Path) -> None:
    must("git checkout -q -b other HEAD~1", live)
    plan = must("mlopsctl plan", live)
    assert "not managed from here" in plan and "delete" not in plan
    must(APPLY, live)
    assert on(shelf)
    must("git checkout -q main", live)
    declare(live, "Take it down")
    assert "1 to delete" in must("mlopsctl plan", live)
    must(APPLY, live)
    assert not on(shelf)


def test_elsewhere_than_on_its_branch_nothing_is_deployed(live: Path, shelf: Path) -> None:
    before = on(shelf)
    must("git checkout -q -b feature", live)
    another_model(live)
    must(APPLY, live)
    plan = must("mlopsctl plan --detailed-exitcode", live)
    assert "not managed from here: branch main does that" in plan and on(shelf) == before
    must("git checkout -q main && git merge -q --ff-only feature", live)
    must(APPLY, live)
    assert on(shelf) != before


def test_the_key_branch_names_where_it_is_managed_from(live: Path, shelf: Path) -> None:
    declare(live, live=block(shelf, "branch: release/*"))
    another_model(live)
    must(APPLY, live)
    assert "branch release/* does that" in must("mlopsctl plan", live)
    must("git checkout -q -b release/1", live)
    assert "deployments.live  update" in " ".join(must("mlopsctl plan", live).split()).replace(" update", "  update")
    must("git checkout -q --detach", live)
    assert "not managed" not in must("mlopsctl plan", live), "a detached commit counts as every branch that holds it"


def test_an_ancestor_of_what_runs_is_refused_and_rollback_is_the_way_back(live: Path, shelf: Path) -> None:
    first = on(shelf)
    another_model(live)
    must(APPLY, live)
    second = on(shelf)
    assert first != second
    must("git reset -q --hard HEAD~1", live)
    done = shell(APPLY, live)
    assert done.returncode == 4 and "mlopsctl rollback live" in done.stdout and on(shelf) == second
    must(f"{BEFORE}mlopsctl rollback live", live)
    assert on(shelf) == first


def test_taking_down_a_protected_deployment_needs_people_who_govern(project: Path, shelf: Path) -> None:
    two_people(project)
    declare(project, live=block(shelf, "approvals: {count: 1}"))
    must(f"{person('ann')} mlopsctl approve live -y", project)
    must(APPLY, project)
    declare(project, "Take it down")
    plan = must("mlopsctl plan", project)
    assert "deployments.live is taken down" in plan and "0 of 1 approvals by the role govern" in plan
    assert shell(APPLY, project).returncode == 5 and on(shelf)
    refused = shell(f"{person('ann')} mlopsctl approve live -y", project)
    assert refused.returncode == 5 and "has no role govern" in refused.stdout
    under_review = f"GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/7/merge {APPLY}"
    assert shell(under_review, project).returncode == 4 and on(shelf)
    assert "1 of 1 approvals" in must(f"{person('ben')} mlopsctl approve live -y", project)
    must(APPLY, project)
    assert not on(shelf)


def test_a_protected_deployment_with_looser_controls_needs_people_who_govern(project: Path, shelf: Path) -> None:
    two_people(project)
    declare(project, live=block(shelf, "approvals: {count: 1}"))
    must(f"{person('ann')} mlopsctl approve live -y", project)
    must(APPLY, project)
    must("sed -i 's/min: 0.7/min: 0.5/' mlops.yaml", project)
    declare(project, "No approvals, and a low bar", live=block(shelf))
    another_model(project)
    assert shell(APPLY, project).returncode == 5, "protected by what is in force, not by the new manifest"
    plan = must("mlopsctl plan", project)
    assert "weakens gates.accuracy min 0.7 -> 0.5" in plan and "approvals is switched off" in plan
    assert shell(f"{person('ann')} mlopsctl approve live -y", project).returncode == 5
    shown = must(f"{person('ben')} mlopsctl approve live -y", project)
    assert "What it loosens" in shown and "gates.accuracy min 0.7 -> 0.5" in shown
    must(APPLY, project)
    must("mlopsctl audit verify --full", project)
    assert "weakens" not in must("mlopsctl plan", project), "what was approved is in force now"
