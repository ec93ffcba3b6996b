"""``moved:`` of a shared deployment: its place keeps the name that it knows, and all that is known and signed goes along."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.cli.project import open_project
from mlopsctl.types import Address
from tests.audit.test_predicates import documented
from tests.cli.test_approve import admit, person
from tests.quickstart import must, shell
from tests.shelf import BEFORE, PROGRAM, another_model, block, declare, on

APPLY = f"{BEFORE}mlopsctl apply -y"
FRONT = Address("deployments", "front")
# The program remembers the name that it deployed under, and knows nothing by any other one.
_NAMED = b"""verb, spec = request["verb"], request["spec"]
book = spec["to"] + "/name"
if os.path.exists(book) and open(book).read() != request["address"]:
    sys.exit("there is no " + request["address"])
if verb == "apply":
    open(book, "w").write(request["address"])
if verb == "remove":
    os.remove(book)
"""


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.shelf.PROGRAM", PROGRAM.replace(b'verb, spec = request["verb"], request["spec"]\n', _NAMED)
    )


@pytest.fixture
def live(two_models: Path, tmp_path: Path, shelf: Path) -> Path:
    """A project whose shared deployment ``live`` runs."""
    project = Path(shutil.copytree(two_models, tmp_path / "ours", symlinks=True))
    declare(project, live=block(shelf))
    must(APPLY, project)
    return project


@pytest.fixture
def hub(live: Path, tmp_path: Path) -> Path:
    place = tmp_path / "hub.git"
    must(f"git init -q --bare {place} && git remote add origin {place} && git push -q -u origin main", live)
    must("mlopsctl push", live)
    return place


@pytest.fixture
def other(hub: Path, live: Path, tmp_path: Path) -> Path:
    """Another clone over the same remote, before anything is renamed."""
    return Path(shutil.copytree(live, tmp_path / "theirs", symlinks=True))


def rename(project: Path, old: str, new: str) -> None:
    text = (project / "mlops.yaml").read_text().partition("moved:\n")[0].replace(f"\n  {old}:", f"\n  {new}:")
    moved = f"moved:\n  - {{from: deployments.{old}, to: deployments.{new}}}\n"
    (project / "mlops.yaml").write_text(text.rstrip("\n") + "\n" + moved)
    must(f"git commit -qam 'Call {old} {new}'", project)


def steps(project: Path) -> dict[str, dict[str, Any]]:
    found = json.loads(must("mlopsctl plan --format json 2>/dev/null", project))["steps"]
    return {step["address"]: step for step in found}


def test_a_renamed_deployment_goes_on_and_its_program_hears_the_name_that_it_knows(live: Path, shelf: Path) -> None:
    before, label = on(shelf), (shelf / "label").read_text()
    rename(live, "live", "front")
    plan = must("mlopsctl plan", live)
    assert "> deployments.front" in plan and "was deployments.live" in plan and "1 to move" in plan
    must(f"{BEFORE}mlopsctl halt front --reason drill && {BEFORE}mlopsctl resume front", live)
    must(APPLY, live)
    assert (on(shelf), (shelf / "label").read_text()) == (before, label), "nothing was deployed"
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    entry = open_project(live).trail.latest(FRONT, ("move",))
    assert entry is not None and set(entry.facts) <= documented()[entry.predicate_type]
    assert (entry.location, entry.facts["scope"]) == (str(shelf), "shared")
    must("sed -i '/^moved:/,$d' mlops.yaml && git commit -qam 'moved long ago'", live)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    assert "serving" in must(f"{BEFORE}mlopsctl status front --refresh", live)
    another_model(live)
    must(APPLY, live)
    assert on(shelf) != before and "No changes" in must("mlopsctl plan --detailed-exitcode", live)
    made = open_project(live).trail.latest(FRONT)
    assert made is not None and (made.facts["address"], made.facts["named"]) == (str(FRONT), "deployments.live")
    assert set(made.facts) <= documented()[made.predicate_type]
    must(f"{BEFORE}mlopsctl rollback front && {BEFORE}mlopsctl unhold front", live)
    assert on(shelf) == before
    must(f"{BEFORE}mlopsctl destroy --target front -y", live)
    assert not on(shelf) and not list((live / ".git/mlops/deployments").glob("deployments.*"))
    assert "0 findings" in must("mlopsctl audit verify --full", live)
    must(APPLY, live)
    assert (shelf / "name").read_text() == "deployments.front", (
        "what was taken down is deployed under the name of today"
    )


def test_what_holds_it_goes_along(live: Path, shelf: Path) -> None:
    first = re.findall(r"entry ([0-9a-f]{12})", must("mlopsctl status live", live))[0]
    another_model(live)
    must(APPLY, live)
    must(f"{BEFORE}mlopsctl pin live --to {first} --reason audit", live)
    must(f"{BEFORE}mlopsctl halt live --reason 'wrong prices'", live)
    held = on(shelf)
    rename(live, "live", "front")
    must(APPLY, live)
    status = must("mlopsctl status front", live)
    assert "wrong prices" in status and "pinned to" in status and on(shelf) == held
    must(f"{BEFORE}mlopsctl resume front && {BEFORE}mlopsctl unhold front && {APPLY}", live)
    assert on(shelf) != held and not (shelf / "closed").exists()
    # Without trail or manifest it is halted by either name.
    must("echo '{' > mlops.yaml", live)
    must(f"{BEFORE}mlopsctl halt front --reason 'no manifest' || [ $? = 8 ]", live)
    assert (shelf / "closed").read_text() == "no manifest"


def test_an_interrupted_move_is_signed_by_the_next_apply(live: Path) -> None:
    folders = live / ".git/mlops/deployments"
    rename(live, "live", "front")
    # The name is given in the clone first and signed then: this is what a kill in between leaves.
    (folders / "deployments.front").symlink_to("deployments.live")
    assert steps(live)["deployments.front"]["action"] == "move"
    must(APPLY, live)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", live)


def test_names_lead_on_and_back(live: Path, shelf: Path) -> None:
    label = (shelf / "label").read_text()
    for old, new in (("live", "front"), ("front", "shop"), ("shop", "live"), ("live", "front")):
        rename(live, old, new)
        must(APPLY, live)
        assert (shelf / "label").read_text() == label
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", live), new
    another_model(live)
    must(APPLY, live)
    must(f"{BEFORE}mlopsctl destroy --target front -y", live)


def test_one_signature_is_enough_for_all_clones(live: Path, other: Path, shelf: Path) -> None:
    rename(live, "live", "front")
    must(APPLY + " && git push -q", live)
    must("git pull -q && mlopsctl pull", other)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", other)
    must(f"{BEFORE}mlopsctl halt front --reason theirs && {BEFORE}mlopsctl resume front", other)
    before = on(shelf)
    another_model(other)
    must(APPLY, other)
    assert on(shelf) != before
    must("mlopsctl pull", live)
    assert "deployments.front  update" in must("mlopsctl plan", live), "the model here is the older one"


def test_whoever_still_has_the_old_name_changes_nothing(live: Path, other: Path, shelf: Path) -> None:
    rename(live, "live", "front")
    must(APPLY, live)
    before = on(shelf)
    another_model(other)
    # A place knows nothing of names, so that a clone which says that it goes on alone does.
    must(APPLY + " --offline", other)
    after = on(shelf)
    assert after != before
    another_model(live, 3.0)
    done = shell(APPLY, live)
    assert done.returncode == 6 and "MLO6021" in done.stdout and on(shelf) == after
    must("mlopsctl push", other)
    must("mlopsctl pull", live)
    step = steps(live)["deployments.front"]
    assert step["action"] == "update" and "was deployments.live" in step["notes"], "it has to follow once more"
    must(APPLY, live)
    assert on(shelf) != after and "No changes" in must("mlopsctl plan --detailed-exitcode", live)


def test_a_clone_that_plans_before_it_hears_of_the_name_gives_way(
    live: Path, other: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_model(other)
    must(f"{BEFORE}mlopsctl apply -y --exclude deployments.live", other)
    must("mlopsctl plan -o theirs.plan", other)
    rename(live, "live", "front")
    must(APPLY, live)
    before = on(shelf)
    done = shell(f"{BEFORE}mlopsctl apply theirs.plan", other)
    assert done.returncode in (4, 6) and on(shelf) == before, done.stdout
    assert "called deployments.front now" in must("mlopsctl plan", other)
    assert shell(f"{BEFORE}mlopsctl rollback live", other).returncode == 4
    # What halts it since stands under its name of today: by the old one it is cut out, and not opened again.
    must(f"{BEFORE}mlopsctl halt front --reason 'wrong prices'", live)
    must("mlopsctl pull", other)
    done = shell(f"{BEFORE}mlopsctl resume live", other)
    assert done.returncode == 4 and "called deployments.front now" in done.stdout, done.stdout
    assert (shelf / "closed").read_text() == "wrong prices"
    must(f"{BEFORE}mlopsctl halt live --reason 'still wrong'", other)
    assert (shelf / "closed").read_text() == "still wrong"
    must(f"mlopsctl pull && {BEFORE}mlopsctl resume front", live)
    assert not (shelf / "closed").exists()


def test_nothing_is_renamed_that_somebody_else_deployed_to(live: Path, tmp_path: Path, shelf: Path) -> None:
    theirs = Path(shutil.copytree(live, tmp_path / "theirs", symlinks=True))
    another_model(theirs)
    must(APPLY, theirs)
    rename(live, "live", "front")
    done = shell(APPLY, live)
    assert done.returncode == 6 and "MLO6021" in done.stdout
    assert open_project(live).trail.latest(FRONT, ("move",)) is None


def test_nothing_is_renamed_while_somebody_else_is_at_work_on_it(live: Path, other: Path, shelf: Path) -> None:
    opened = open_project(other)
    opened.trail.append("intent", address="deployments.live", facts={"does": "deploy"}, location=str(shelf))
    opened.trail.flush()
    must("mlopsctl push", other)
    rename(live, "live", "front")
    done = shell(APPLY, live)
    assert done.returncode == 6 and "MLO6022" in done.stdout, done.stdout
    assert open_project(live).trail.latest(FRONT, ("move",)) is None
    must("mlopsctl unlock front --force --reason 'the runner is gone'", live)
    must(APPLY, live)
    assert open_project(live).trail.latest(FRONT, ("move",)) is not None


def test_another_place_is_taken_after_the_name(live: Path, tmp_path: Path, shelf: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    declare(live, "Elsewhere", front=block(there))
    with (live / "mlops.yaml").open("a") as file:
        file.write("moved: [{from: deployments.live, to: deployments.front}]\n")
    must("git commit -qam 'And another name'", live)
    assert f"what runs at {shelf} stays there" in must("mlopsctl plan", live)
    must(APPLY, live)
    assert on(shelf) and on(there) and (there / "name").read_text() == "deployments.front"
    must(f"{BEFORE}mlopsctl destroy --target front -y", live)
    assert not on(there)
    must("sed -i '/^moved:/,$d' mlops.yaml && git commit -qam 'moved long ago'", live)
    must(f"sed -i 's/^  front:/  live:/' mlops.yaml && git commit -qam 'A new one' && {APPLY}", live)
    assert (there / "name").read_text() == "deployments.live", "the name is free again"


def test_a_protected_one_is_renamed_with_the_approvals_of_a_release(
    two_models: Path, tmp_path: Path, shelf: Path
) -> None:
    project = Path(shutil.copytree(two_models, tmp_path / "ours", symlinks=True))
    admit(project, "ann")
    declare(project, live=block(shelf, "approvals: {count: 1}"))
    agree = f"{person('ann')} mlopsctl approve NAME -y"
    must(f"{agree.replace('NAME', 'live')} && {APPLY}", project)
    rename(project, "live", "front")
    assert steps(project)["deployments.front"]["waits_for"] == ["0 of 1 approvals: mlopsctl approve front"]
    done = shell(APPLY, project)
    assert done.returncode == 5 and open_project(project).trail.latest(FRONT, ("move",)) is None, done.stdout
    must(f"{agree.replace('NAME', 'front')} && {APPLY}", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
