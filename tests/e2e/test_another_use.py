"""Another ``use:`` under the same name: what the old one made is taken down by it first, and never left running unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.serving.files import read_json
from mlopsctl.serving.processes import is_alive
from tests.quickstart import must, shell, take_down
from tests.shelf import BEFORE, block, declare, on

APPLY = f"{BEFORE}mlopsctl apply -y"
FOLDERS = Path(".git/mlops/deployments")


@pytest.fixture
def project(two_models: Path, tmp_path: Path) -> Iterator[Path]:
    folder = Path(shutil.copytree(two_models, tmp_path / "ours", symlinks=True))
    yield folder
    take_down(folder)


def step(project: Path, address: str) -> dict[str, Any]:
    found = json.loads(must("mlopsctl plan --format json 2>/dev/null", project))["steps"]
    return next(one for one in found if one["address"] == address)


def server(project: Path) -> tuple[int, str]:
    found = read_json(project / FOLDERS / "deployments.live" / "supervisor.json") or {}
    return int(found["pid"]), str(found["start"])


@pytest.mark.parametrize("name", ["live", "front"])
def test_a_local_server_is_taken_down_before_a_program_deploys_under_its_name(
    project: Path, shelf: Path, name: str
) -> None:
    declare(project, live="    target: cpu\n")
    must(APPLY, project)
    before = server(project)
    declare(project, "By a program", **{name: block(shelf)})
    if name != "live":
        with (project / "mlops.yaml").open("a") as file:
            file.write("moved: [{from: deployments.live, to: deployments.front}]\n")
        must("git commit -qam 'And another name'", project)
    assert "use: local" in step(project, f"deployments.{name}")["blocked_by"][0]
    done = shell(APPLY, project)
    assert done.returncode == 4 and not on(shelf) and is_alive(*before)
    refused = shell(f"{BEFORE}mlopsctl pin {name}", project)
    assert refused.returncode == 4 and "use: local" in refused.stdout
    must(f"{BEFORE}mlopsctl destroy --target {name} -y", project)
    assert not is_alive(*before) and not (project / FOLDERS / "deployments.live").exists()
    must(APPLY, project)
    assert on(shelf) and "No changes" in must("mlopsctl plan --detailed-exitcode", project)
    assert "0 findings" in must("mlopsctl audit verify", project)


def test_what_a_program_made_is_taken_down_by_it_before_a_local_server_takes_its_name(
    project: Path, shelf: Path
) -> None:
    declare(project, live=block(shelf))
    must(APPLY, project)
    declare(project, "Local", live="    target: cpu\n")
    assert "use: command" in step(project, "deployments.live")["blocked_by"][0]
    done = shell(APPLY, project)
    assert done.returncode == 4 and on(shelf)
    must(f"{BEFORE}mlopsctl destroy --target live -y", project)
    assert not on(shelf)
    must(APPLY, project)
    assert is_alive(*server(project)) and "No changes" in must("mlopsctl plan --detailed-exitcode", project)


def test_another_clone_takes_its_own_server_down_and_touches_nobody_elses(
    project: Path, shelf: Path, tmp_path: Path
) -> None:
    declare(project, live="    target: cpu\n")
    hub = tmp_path / "hub.git"
    must(f"git init -q --bare {hub} && git remote add origin {hub} && git push -q -u origin main", project)
    must(f"{APPLY} && mlopsctl push", project)
    must("git clone -q hub.git theirs && cd theirs && mlopsctl pull && mlopsctl apply -y && mlopsctl push", tmp_path)
    must("mlopsctl pull", project)
    theirs = tmp_path / "theirs"
    try:
        declare(project, "By a program", live=block(shelf))
        must(f"git push -q && {BEFORE}mlopsctl destroy --target live -y && {APPLY}", project)
        before = on(shelf)
        must("git pull -q && mlopsctl pull", theirs)
        assert "use: local" in step(theirs, "deployments.live")["blocked_by"][0]
        must(f"{BEFORE}mlopsctl destroy --target live -y && mlopsctl push", theirs)
        assert on(shelf) == before and "No changes" in must("mlopsctl plan --detailed-exitcode", theirs)
        must("mlopsctl pull", project)
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
    finally:
        take_down(theirs)
