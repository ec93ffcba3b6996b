"""``moved:`` of a deployment: another name, and everything else goes on, its processes with it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.serving.files import read_json
from mlopsctl.serving.processes import is_alive
from tests.cli.test_approve import PROTECTED, admit, person
from tests.quickstart import add_deployment, must, shell, take_down

FOLDERS = Path(".git/mlops/deployments")


def rename(project: Path, old: str, new: str) -> None:
    """Writes the new name into the manifest, with the one line that says so."""
    text = (project / "mlops.yaml").read_text().partition("moved:\n")[0].replace(f"\n  {old}:", f"\n  {new}:")
    moved = f"moved:\n  - {{from: deployments.{old}, to: deployments.{new}}}\n"
    (project / "mlops.yaml").write_text(text.rstrip("\n") + "\n" + moved)
    must(f"git commit -qam 'Call {old} {new}'", project)


def runs(project: Path, name: str) -> list[tuple[int, str]]:
    """Supervisor and server of a deployment; they live."""
    found = [read_json(project / FOLDERS / f"deployments.{name}" / f"{one}.json") for one in ("supervisor", "state")]
    processes = [(one["pid"], one["start"]) for one in found if one]
    assert len(processes) == 2 and all(is_alive(*one) for one in processes)
    return processes


def entry_of(project: Path, name: str) -> str:
    return str(re.findall(r"entry ([0-9a-f]{12})", must(f"mlopsctl status {name}", project))[0])


def steps(project: Path) -> dict[str, dict[str, Any]]:
    return {
        step["address"]: step for step in json.loads(must("mlopsctl plan --format json 2>/dev/null", project))["steps"]
    }


def test_what_comes_first_under_another_name_loosens_nothing(applied: Path, tmp_path: Path) -> None:
    project = add_deployment(applied, tmp_path / "project")
    try:
        after = "  local: {target: cpu}\\n  second: {target: cpu, after: local}"
        must(f"sed -i 's/^  local: {{target: cpu}}/{after}/' mlops.yaml && git commit -qam Two", project)
        must("mlopsctl apply -y", project)
        rename(project, "local", "first")
        must("sed -i 's/after: local/after: first/' mlops.yaml && git commit -qam 'Say so'", project)
        assert not steps(project)["deployments.second"]["weakens"]
        must("mlopsctl apply -y", project)
        assert not steps(project)["deployments.second"]["weakens"], "nor once the name was signed"
        must("sed -i 's/, after: first//' mlops.yaml", project)
        assert steps(project)["deployments.second"]["weakens"] == ["deployments.second after is switched off"]
    finally:
        take_down(project)


def answers(project: Path, name: str) -> bool:
    return shell(f"mlopsctl predict {name} data/digits.csv", project).returncode == 0


@pytest.fixture
def live(applied: Path, tmp_path: Path) -> Iterator[Path]:
    """A project whose deployment ``local`` serves."""
    project = add_deployment(applied, tmp_path / "project")
    must("mlopsctl apply -y", project)
    yield project
    take_down(project)


def test_a_renamed_deployment_goes_on(live: Path) -> None:
    before, first = runs(live, "local"), entry_of(live, "local")
    rename(live, "local", "front")
    plan = must("mlopsctl plan", live)
    assert "> deployments.front" in plan and "was deployments.local" in plan and "Plan: 1 to move, 5 unchanged." in plan
    # Until it is moved it is looked at, and cut out, by the new name already.
    assert answers(live, "front")
    must("mlopsctl halt front --reason drill && mlopsctl resume front", live)
    said = must("mlopsctl apply -y", live)
    assert "Apply: 1 applied, 5 unchanged." in said and runs(live, "front") == before
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    assert answers(live, "front") and first in must("mlopsctl audit trace deployments.front", live)
    history = must("mlopsctl show deployments.front --history", live)
    assert "move" in history and first in history
    must("sed -i '/^moved:/,$d' mlops.yaml && git commit -qam 'moved long ago'", live)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    assert "0 findings" in must("mlopsctl audit verify --full", live)
    must("mlopsctl destroy --target front -y", live)
    assert not list((live / FOLDERS).glob("deployments.*")) and not any(is_alive(*one) for one in before)
    assert steps(live)["deployments.front"]["action"] in ("create", "update"), "it is gone, and is wanted again"
    must("mlopsctl apply -y", live)
    assert answers(live, "front")


def test_what_holds_it_goes_along_and_the_way_back_leads_through_the_old_name(live: Path) -> None:
    first = entry_of(live, "local")
    must(
        "sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam 'Another model' && mlopsctl apply -y",
        live,
    )
    must(f"mlopsctl pin local --to {first} --reason audit && mlopsctl halt local --reason 'wrong prices'", live)
    before = runs(live, "local")
    rename(live, "local", "front")
    must("mlopsctl apply -y", live)
    assert runs(live, "front") == before and not answers(live, "front")
    status = must("mlopsctl status front", live)
    assert "wrong prices" in status and "pinned to" in status
    must("mlopsctl resume front && mlopsctl unhold front && mlopsctl apply -y", live)
    assert answers(live, "front") and entry_of(live, "front") != first
    must(f"mlopsctl rollback front --to {first}", live)
    assert "rolled back to " + first in must("mlopsctl status front", live)
    must("mlopsctl halt '*' --reason everything", live)
    must("mlopsctl resume front && mlopsctl apply -y", live)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)


def test_an_interrupted_move_is_signed_by_the_next_apply(live: Path) -> None:
    before = runs(live, "local")
    rename(live, "local", "front")
    # The name is given first and signed then: this is what a kill in between leaves.
    os.symlink("deployments.local", live / FOLDERS / "deployments.front")
    assert steps(live)["deployments.front"]["action"] == "move"
    must("mlopsctl apply -y", live)
    assert runs(live, "front") == before and "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    assert "halt front" in must("mlopsctl audit impact train.classifier --quarantine --reason x", live)


def test_names_follow_each_other_and_lead_back(live: Path) -> None:
    before = runs(live, "local")
    for old, new in (("local", "front"), ("front", "shop"), ("shop", "local"), ("local", "front")):
        rename(live, old, new)
        must("mlopsctl apply -y", live)
        assert runs(live, new) == before
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", live), new
    shutil.rmtree(live / FOLDERS / "deployments.local")
    must("mlopsctl apply -y", live)
    assert answers(live, "front"), "a name whose folder is gone is in nobody's way"


def test_a_branch_that_knows_the_old_name_takes_nothing_down_and_deploys_nothing(live: Path) -> None:
    before = runs(live, "local")
    must("git checkout -q -b renamed", live)
    rename(live, "local", "front")
    must("mlopsctl apply -y && git checkout -q -", live)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    must("sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam 'Another model'", live)
    must("mlopsctl apply -y", live)
    assert "called deployments.front now" in must("mlopsctl plan", live)
    assert runs(live, "front") == before
    done = shell("mlopsctl rollback local", live)
    assert done.returncode == 4 and "called deployments.front now" in done.stdout


def test_the_old_name_is_free_for_another_one_once_what_had_it_is_gone(live: Path) -> None:
    rename(live, "local", "front")
    must("mlopsctl apply -y && mlopsctl halt front --reason x && mlopsctl destroy --target front -y", live)
    must("sed -i '/^moved:/,$d; s/^  front:/  local:/' mlops.yaml && git commit -qam 'Another one'", live)
    must("mlopsctl apply -y", live)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live) and runs(live, "local")


def test_each_clone_moves_its_own(live: Path, tmp_path: Path) -> None:
    must("git clone -q project other && cd other && mlopsctl pull && mlopsctl apply -y", tmp_path)
    other = tmp_path / "other"
    try:
        before = runs(other, "local")
        rename(live, "local", "front")
        must("mlopsctl apply -y && sed -i '/^moved:/,$d' mlops.yaml && git commit -qam 'moved long ago'", live)
        must("git pull -q && mlopsctl pull", other)
        assert steps(other)["deployments.front"]["action"] == "move"
        must("mlopsctl apply -y", other)
        assert runs(other, "front") == before
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", other)
    finally:
        take_down(other)


def test_a_protected_one_is_renamed_with_the_approvals_of_a_release(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().rstrip("\n") + "\n" + PROTECTED)
    admit(project, "ann", "ben")
    must("git add -A && git commit -qm 'A protected deployment'", project)
    agree = " && ".join(f"{person(name)} mlopsctl approve NAME -y" for name in ("ann", "ben"))
    try:
        must(agree.replace("NAME", "local") + " && mlopsctl apply -y", project)
        before = runs(project, "local")
        rename(project, "local", "front")
        assert steps(project)["deployments.front"]["waits_for"] == ["0 of 2 approvals: mlopsctl approve front"]
        done = shell("mlopsctl apply -y", project)
        assert done.returncode == 5 and not (project / FOLDERS / "deployments.front").exists(), done.stdout
        must(agree.replace("NAME", "front") + " && mlopsctl apply -y", project)
        assert runs(project, "front") == before
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
        must("sed -i 's/count: 2/count: 1/' mlops.yaml && git commit -qam 'One is enough'", project)
        must("sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam 'Another model'", project)
        assert "approvals count 2 -> 1" in must("mlopsctl plan", project), "its controls went along"
    finally:
        take_down(project)
        shutil.rmtree(project / FOLDERS, ignore_errors=True)
