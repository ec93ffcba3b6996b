"""Clones over a bare remote and a shared store: what one made, the others find."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.quickstart import must, shell, take_down


@pytest.fixture
def office(project: Path, tmp_path: Path) -> Path:
    """The applied project with a remote ``hub.git`` and a shared store, pushed."""
    must(f"git init -q --bare {tmp_path}/hub.git", tmp_path)
    must(f"git remote add origin {tmp_path}/hub.git", project)
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text() + f"store: {tmp_path}/store\n")
    must("git commit -qam 'A shared store' && git push -q -u origin main", project)
    must("mlopsctl push", project)
    return project


@pytest.fixture
def clone(office: Path, tmp_path: Path) -> Iterator[Path]:
    """Another clone of the same person."""
    must(f"git clone -q {tmp_path}/hub.git {tmp_path}/clone", tmp_path)
    yield tmp_path / "clone"
    take_down(tmp_path / "clone")


def actions(folder: Path) -> dict[str, str]:
    plan = json.loads(must("mlopsctl plan --format json 2>/dev/null", folder))
    return {step["address"]: step["action"] for step in plan["steps"]}


def test_a_clone_runs_nothing_but_its_own_deployment(clone: Path) -> None:
    manifest = clone / "mlops.yaml"
    manifest.write_text(manifest.read_text() + "deployments:\n  local: {target: cpu}\n")
    must("git commit -qam 'Deploy' ", clone)
    assert {address for address, action in actions(clone).items() if action != "noop"} == {"deployments.local"}
    told = must("mlopsctl apply -y", clone)
    assert "1 applied" in told and "restoring" not in told
    assert "serving" in must("mlopsctl status local", clone)
    assert "0 applied" in must("mlopsctl apply -y", clone)


def test_plan_fetches_a_trail_that_the_clone_never_saw(clone: Path) -> None:
    assert "fetching the audit trail from 'origin'" in must("mlopsctl plan", clone)
    assert set(actions(clone).values()) == {"noop"}


def test_an_unreachable_remote_is_an_error_and_not_a_plan_to_train_everything(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "hub.git").rename(tmp_path / "gone.git")
    done = shell("mlopsctl plan", clone)
    assert done.returncode == 1
    assert "MLO8005" in done.stdout and "mlopsctl pull --trail-only" in done.stdout
    assert shell("mlopsctl plan --offline", clone).returncode == 0


def test_the_trail_is_looked_for_at_every_remote(clone: Path, tmp_path: Path) -> None:
    """A fork has the branches and not the notes."""
    must("git clone -q --bare hub.git fork.git && git -C clone remote rename origin upstream", tmp_path)
    must(f"git remote add origin {tmp_path}/fork.git", clone)
    must(f"git --git-dir {tmp_path}/fork.git update-ref -d refs/notes/mlops", clone)
    assert set(actions(clone).values()) == {"noop"}


def test_a_remote_that_cannot_be_asked_may_be_the_one_that_has_it(clone: Path, tmp_path: Path) -> None:
    must(f"git remote rename origin upstream && git init -q --bare {tmp_path}/empty.git", clone)
    must(f"git remote add origin {tmp_path}/empty.git && git remote set-url upstream {tmp_path}/gone.git", clone)
    done = shell("mlopsctl plan", clone)
    assert (done.returncode, "MLO8005" in done.stdout) == (1, True), done.stdout


def test_a_remote_without_a_trail_is_said_and_nothing_is_made_unrecorded(clone: Path, tmp_path: Path) -> None:
    must(f"git --git-dir {tmp_path}/hub.git update-ref -d refs/notes/mlops", clone)
    assert "'origin' holds no trail yet" in must("mlopsctl plan", clone)
    for line in ("mlopsctl apply -y", "mlopsctl apply -y --offline"):
        done = shell(line, clone)
        assert (done.returncode, "MLO8023" in done.stdout) == (1, True), done.stdout


def test_a_trail_of_another_project_is_no_reason_to_train_everything(clone: Path) -> None:
    manifest = clone / "mlops.yaml"
    manifest.write_text(re.sub(r"log: \w+", f"log: {'a' * 32}", manifest.read_text()))
    for line in ("mlopsctl plan", "mlopsctl apply -y"):
        done = shell(f"git commit -qam 'Another log' --allow-empty && {line}", clone)
        assert (done.returncode, "MLO8022" in done.stdout) == (1, True), done.stdout


def test_outputs_that_are_in_no_store_are_made_again_and_compared(clone: Path, tmp_path: Path) -> None:
    must("mlopsctl pull --trail-only", clone)
    shutil.rmtree(tmp_path / "store")
    manifest = clone / "mlops.yaml"
    manifest.write_text(manifest.read_text() + "deployments:\n  local: {target: cpu}\n")
    must("git commit -qam 'Deploy' ", clone)
    told = must("mlopsctl apply -y", clone)
    assert "restoring targets.cpu" in told
    assert "1 applied" in told
    assert "serving" in must("mlopsctl status local", clone)
    assert "ok" in must("mlopsctl audit verify", clone)


def test_datasets_do_not_travel_in_the_store(office: Path, tmp_path: Path) -> None:
    stored = {path.name for path in (tmp_path / "store").rglob("*") if path.is_file()}
    data = json.loads(must("mlopsctl status data.digits --format json", office))["resources"][0]["outputs"]
    assert stored and not {digest.partition(":")[2] for digest in data.values()} & stored


def test_what_apply_made_is_shared_at_once(office: Path, tmp_path: Path) -> None:
    manifest = office / "mlops.yaml"
    manifest.write_text(
        manifest.read_text().replace("seed: 1", "").replace("python train.py}", "python train.py, seed: 1}")
    )
    must("git commit -qam 'Another seed' && git push -q && mlopsctl apply -y", office)
    must(f"git clone -q {tmp_path}/hub.git {tmp_path}/second", tmp_path)
    assert set(actions(tmp_path / "second").values()) == {"noop"}


def test_done_but_not_shared_is_exit_8_and_nothing_is_lost(office: Path, tmp_path: Path) -> None:
    (tmp_path / "hub.git").rename(tmp_path / "gone.git")
    manifest = office / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("python train.py}", "python train.py, seed: 2}"))
    done = shell("git commit -qam 'Seed 2' && mlopsctl apply -y", office)
    assert done.returncode == 8, done.stdout
    (tmp_path / "gone.git").rename(tmp_path / "hub.git")
    assert "pushed" in must("mlopsctl push", office)


def test_a_key_without_a_role_can_try_things_and_deploy_nothing(clone: Path, tmp_path: Path) -> None:
    home = f"XDG_CONFIG_HOME={tmp_path}/other"
    must(f"mlopsctl pull --trail-only && {home} mlopsctl key new eve", clone)
    manifest = clone / "mlops.yaml"
    text = manifest.read_text().replace("python train.py}", "python train.py, seed: 3}")
    manifest.write_text(text + "deployments:\n  local: {target: cpu}\n")
    must("git commit -qam 'By somebody else'", clone)
    done = shell(f"{home} mlopsctl apply -y --offline", clone)
    assert done.returncode != 0
    assert "untrusted" in done.stdout and "✓ done      train.classifier" in done.stdout
    assert "deployments.local" not in must("mlopsctl audit log", clone)
