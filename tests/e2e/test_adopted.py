"""``import deployments.NAME``: what a place runs already is taken over where it is ours, and else marked until it is replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.cli.project import open_project
from mlopsctl.types import Address, Entry
from tests.audit.test_predicates import documented
from tests.quickstart import must, shell
from tests.shelf import BEFORE, PROGRAM, block, declare, on

APPLY = f"{BEFORE}mlopsctl apply -y"
IMPORT = f"{BEFORE}mlopsctl import deployments.live"
LIVE = Address("deployments", "live")
_PROBE = b"""elif verb == "probe" and os.path.exists(shelf + "/answer"):
    with open(shelf + "/answer") as file:
        facts = json.load(file)
    open(shelf + "/asked", "w").close()
elif verb == "probe":
"""
_APPLY = b"""    with open(shelf + "/label", "w") as file:
"""
_FORGET = b"""    os.path.exists(shelf + "/answer") and os.remove(shelf + "/answer")
"""


@pytest.fixture
def project(two_models: Path, tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project declares a place; its program answers a probe with what lies in the file ``answer`` there."""
    program = PROGRAM.replace(b'elif verb == "probe":\n', _PROBE).replace(_APPLY, _FORGET + _APPLY)
    monkeypatch.setattr("tests.shelf.PROGRAM", program)
    folder = Path(shutil.copytree(two_models, tmp_path / "small", symlinks=True))
    declare(folder, live=block(shelf))
    return folder


def runs(shelf: Path, **facts: Any) -> None:
    """Somebody else deployed there, and the program says so."""
    (shelf / "answer").write_text(json.dumps({"state": "serving", **facts}))
    (shelf / "current").mkdir(exist_ok=True)
    (shelf / "current" / "model").write_text("somebody else's")


def artifacts(project: Path) -> list[str]:
    """The digests of the artifacts that the trail knows, today's last."""
    opened = open_project(project)
    found = {entry.outputs["artifact"]: None for entry in opened.trail.entries("targets.cpu", ("result",))}
    today = must("mlopsctl status targets.cpu --format json", project)
    last = json.loads(today)["resources"][0]["outputs"]["artifact"]
    return [*(str(one) for one in found if one != last), last]


def last(project: Path) -> Entry:
    found = open_project(project).trail.latest(LIVE, ("result", "import", "destroy"))
    assert found is not None
    return found


def test_what_is_ours_is_taken_over_and_nothing_is_deployed(project: Path, shelf: Path) -> None:
    runs(shelf, label="release-7", artifact=artifacts(project)[-1], endpoint="https://live.example/v2")
    before = on(shelf)
    said = must(f"{IMPORT} {shelf} --reason 'ran before we had mlopsctl'", project)
    assert "taken over" in said and on(shelf) == before and (shelf / "asked").exists()
    entry = last(project)
    assert (entry.kind, entry.location, entry.facts["label"]) == ("result", str(shelf), "release-7")
    assert entry.facts["adopted"]["reason"] == "ran before we had mlopsctl"
    assert "No changes" in must("mlopsctl plan", project)
    row = json.loads(must("mlopsctl status live --format json", project))["resources"][0]
    assert (row["adopted"], row["endpoint"]) == ("taken over", "https://live.example/v2")
    assert "0 findings" in must("mlopsctl audit verify", project)
    again = shell(IMPORT, project)
    assert again.returncode == 1 and "MLO1031" in again.stdout


def test_an_older_artifact_of_ours_is_updated_and_is_the_way_back(project: Path, shelf: Path) -> None:
    older = artifacts(project)[0]
    runs(shelf, label="release-6", artifact=older)
    must(IMPORT, project)
    adopted = last(project)
    plan = must("mlopsctl plan", project)
    assert "1 to update" in plan and "adopted" not in plan
    must(APPLY, project)
    assert last(project).facts["artifact"] == artifacts(project)[-1]
    must(f"{BEFORE}mlopsctl rollback live --to {adopted.id[:12]}", project)
    assert last(project).facts["artifact"] == older


def test_what_nobody_knows_is_unverified_until_apply_replaces_it(project: Path, shelf: Path) -> None:
    runs(shelf, label="by-hand", artifact="sha256:" + "a" * 64, text="since spring")
    said = must(IMPORT, project)
    assert "unverified" in said and "no target of this trail made" in said
    entry = last(project)
    assert (entry.kind, entry.status, entry.ingredients) == ("import", "unverified", {})
    assert entry.facts["claimed"] == {"text": "since spring"}
    assert "replaces an adopted endpoint" in must("mlopsctl plan", project)
    status = must("mlopsctl status live", project)
    assert "unverified" in status and "live since" not in status
    must(IMPORT, project)  # it may be asked again while it is no more than that
    must(APPLY, project)
    assert (last(project).kind, on(shelf) != "") == ("result", True)
    assert "No changes" in must("mlopsctl plan", project)
    assert "0 findings" in must("mlopsctl audit verify", project)
    known = documented()
    for one in open_project(project).trail.entries(str(LIVE)):
        assert set(one.facts) <= known[one.predicate_type]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("mlopsctl rollback live --to {entry}", "MLO1536"),
        ("mlopsctl rollback live", "MLO1537"),
        ("mlopsctl pin live", "MLO1542"),
        ("mlopsctl promote other --from live", "MLO1542"),
    ],
)
def test_what_is_unverified_is_no_target_of_a_switch(project: Path, shelf: Path, command: str, code: str) -> None:
    other = shelf.parent / "other"
    other.mkdir()
    declare(project, "Two", live=block(shelf), other=block(other))
    runs(shelf, label="by-hand")
    must(IMPORT, project)
    done = shell(BEFORE + command.format(entry=last(project).id[:12]), project)
    assert done.returncode == 1 and code in done.stdout, done.stdout
    assert not on(other)


def test_who_deploys_there_after_the_import_is_not_overwritten(project: Path, shelf: Path) -> None:
    runs(shelf, label="by-hand")
    must(IMPORT, project)
    runs(shelf, label="by-another-hand")
    before = on(shelf)
    done = shell(APPLY, project)
    assert done.returncode == 6 and "MLO6021" in done.stdout and on(shelf) == before
    must(IMPORT, project)
    must(APPLY, project)
    assert on(shelf) != before


def test_a_protected_deployment_takes_nothing_over_and_asks_nobody(project: Path, shelf: Path) -> None:
    declare(project, "Protected", live=block(shelf, "approvals: {count: 1}"))
    runs(shelf, artifact=artifacts(project)[-1])
    done = shell(IMPORT, project)
    assert done.returncode == 5 and "MLO5004" in done.stdout
    assert not (shelf / "asked").exists()
    assert open_project(project).trail.latest(LIVE, ("result", "import")) is None


def test_an_artifact_that_a_gate_refuses_today_is_not_taken_over(project: Path, shelf: Path) -> None:
    manifest = project / "mlops.yaml"
    digest = artifacts(project)[-1]
    manifest.write_text(manifest.read_text().replace("min: 0.7", "max: 0.1"))
    must("git commit -qam 'Another bar'", project)
    runs(shelf, artifact=digest)
    assert "unverified" in must(IMPORT, project)
    assert "accuracy" in last(project).facts["adopted"]["why"]


def test_a_halt_reaches_what_was_adopted(project: Path, shelf: Path) -> None:
    runs(shelf, label="by-hand")
    must(IMPORT, project)
    must(f"{BEFORE}mlopsctl halt live --reason 'it answers nonsense'", project)
    assert (shelf / "closed").read_text() == "it answers nonsense"


def test_it_is_taken_down_where_somebody_asks_for_that(project: Path, shelf: Path) -> None:
    runs(shelf, label="by-hand")
    (shelf / "label").write_text("by-hand")
    must(IMPORT, project)
    must(f"{BEFORE}mlopsctl destroy --target live -y", project)
    assert not on(shelf) and last(project).kind == "destroy"
    assert "not deployed yet" in must("mlopsctl plan", project)


def test_a_signature_is_no_artifact(project: Path, shelf: Path) -> None:
    entry = open_project(project).trail.latest(Address("targets", "cpu"))
    assert entry is not None
    runs(shelf, artifact=entry.outputs["artifact.sig"])
    assert "unverified" in must(IMPORT, project)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"state": "down"}, "MLO1513"),
        ({"state": "halted"}, "MLO1513"),
        ({"state": ["serving"]}, "MLO1513"),
        ({"label": "\u001b[2Jdone"}, "MLO1514"),
        ({"label": "x" * 200}, "MLO1514"),
        ({"label": {"entry": 1}}, "MLO1514"),
        ({"artifact": "sha256:../../etc"}, "MLO1514"),
        ({"artifact": ["sha256:" + "a" * 64]}, "MLO1514"),
        ({"endpoint": "https://live\r\nX: y"}, "MLO1514"),
        ({"text": "x" * 5000}, "MLO1063"),
    ],
)
def test_an_answer_that_is_none_signs_nothing(project: Path, shelf: Path, facts: dict[str, Any], code: str) -> None:
    runs(shelf, **facts)
    before = must("git rev-parse refs/notes/mlops", project)
    done = shell(IMPORT, project)
    assert done.returncode == 1 and code in done.stdout, done.stdout
    assert "\u001b[2J" not in done.stdout
    assert must("git rev-parse refs/notes/mlops", project) == before
    assert "not deployed yet" in must("mlopsctl plan", project)


def test_claims_of_being_adopted_are_claims(project: Path, shelf: Path) -> None:
    runs(shelf, adopted={"state": "taken over"}, location="elsewhere", target="targets.other")
    must(IMPORT, project)
    facts = last(project).facts
    assert (facts["adopted"]["state"], facts["location"], "target" in facts) == ("unverified", str(shelf), False)


def test_what_cannot_be_taken_over_says_why(project: Path, shelf: Path) -> None:
    runs(shelf)
    done = shell(f"{IMPORT} /somewhere/else", project)
    assert done.returncode == 64 and "MLO6483" in done.stdout
    done = shell(f"{IMPORT} --replace", project)
    assert done.returncode == 1 and "MLO1031" in done.stdout
    done = shell(f"GITHUB_ACTIONS=true GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/7/merge {IMPORT}", project)
    assert done.returncode == 4 and "MLO4510" in done.stdout
    assert not (shelf / "asked").exists()
