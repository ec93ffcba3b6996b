"""Who may change a deployment from where: branches, commits, people and clones, with real git and real entries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import config_folder
from mlopsctl.cli.project import open_project
from mlopsctl.cli.trail import read_pin
from mlopsctl.types import Entry
from tests.cli.test_approve import admit, person
from tests.quickstart import must, shell, take_down
from tests.shelf import BEFORE, PROGRAM, another_model, block, declare, on, write_model

APPLY = f"{BEFORE}mlopsctl apply -y"


@pytest.fixture
def project(two_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_models, tmp_path / "small", symlinks=True))


@pytest.fixture
def live(project: Path, shelf: Path) -> Path:
    """The applied project with one shared deployment, on the branch main."""
    declare(project, live=block(shelf))
    must(APPLY, project)
    return project


def entry_of(project: Path) -> str:
    """The newest deployment."""
    return str(re.findall(r"entry ([0-9a-f]{12})", must("mlopsctl status live", project))[0])


def two_people(project: Path) -> None:
    """Ann may approve; ben may too, and holds the role govern."""
    admit(project, "ann", "ben")
    trust = project / "trust.yaml"
    before, ben, after = trust.read_text().partition("  ben:")
    trust.write_text(before + ben + after.replace("[approve, train]", "[approve, govern]"))
    must("mlopsctl trust apply -y", project)


def release(project: Path, name: str) -> None:
    """Makes what is left to make, has somebody approve it, and deploys."""
    assert shell(APPLY, project).returncode == 5
    must(f"{person(name)} mlopsctl approve live -y && {APPLY}", project)


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


def test_destroy_takes_no_protected_deployment_down_without_the_people_apply_would_wait_for(
    project: Path, shelf: Path
) -> None:
    two_people(project)
    declare(project, live=block(shelf, "approvals: {count: 1}"))
    must(f"{person('ann')} mlopsctl approve live -y", project)
    must(APPLY, project)
    for line in ("destroy --target live -y", "destroy --all -y"):
        done = shell(f"{BEFORE}mlopsctl {line}", project)
        assert (done.returncode, "MLO5003" in done.stdout) == (5, True), done.stdout
    declare(project, "Without its approvals", live=block(shelf))
    assert shell(f"{BEFORE}mlopsctl destroy --all -y", project).returncode == 5, "it is protected by what is in force"
    must(f"{BEFORE}mlopsctl halt live --reason wrong", project)
    assert on(shelf) and (shelf / "closed").exists(), "a halt needs nobody"
    declare(project, "Take it down")
    assert shell(f"{BEFORE}mlopsctl destroy --all -y", project).returncode == 5
    must(f"{person('ben')} mlopsctl approve live -y", project)
    assert "gone" in must(f"{BEFORE}mlopsctl destroy --all -y", project)
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


def two_results(project: Path) -> None:
    """Has the training step make one of two models, by what the environment says: its code is the same."""
    for name, weight in (("one", 1.0), ("two", 2.0)):
        write_model(project, weight)
        (project / "model.onnx").rename(project / f"{name}.onnx")
    manifest = project / "mlops.yaml"
    step = """  m:
    run: sh -c 'cp "$CHOICE.onnx" "$MLOPS_OUT/model.onnx"'
    code: [one.onnx, two.onnx]
    env: {CHOICE: env:CHOICE}
"""
    manifest.write_text(re.sub(r"  m: .*\n", lambda _: step, manifest.read_text()))


def share(project: Path, hub: Path) -> None:
    must(f"git clone -q --bare . {hub} && git remote add origin {hub} && git fetch -q && mlopsctl push", project)


def make_elsewhere(project: Path, other: Path) -> None:
    """Two clones make one model each from the same code; of the two results the other clone's will be in force."""
    shutil.copytree(project, other, symlinks=True)
    must("CHOICE=two mlopsctl apply -y --target targets.cpu --offline", other)
    # The result with fewer entries before it is in force.
    must("mlopsctl apply -y --offline --target data.rows --replace data.rows", project)


def test_a_merge_that_changes_the_winner_deploys_nothing_by_itself(project: Path, shelf: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    two_results(project)
    declare(project, live=block(shelf))
    share(project, tmp_path / "hub.git")
    make_elsewhere(project, other)
    must(f"CHOICE=one {APPLY} --offline", project)
    mine = on(shelf)
    must("mlopsctl push", other)
    must("mlopsctl pull", project)
    plan = must("mlopsctl plan", project)
    assert "another result of train.m is in force since a merge" in plan
    assert "mlopsctl apply --replace deployments.live takes it" in plan
    must(APPLY, project)
    assert on(shelf) == mine
    must(f"{APPLY} --replace deployments.live", project)
    assert on(shelf) != mine


def test_what_a_changed_winner_holds_is_brought_back_under_the_controls_that_were_approved(
    project: Path, shelf: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    two_people(project)
    two_results(project)
    declare(project, live=block(shelf, "approvals: {count: 1}"))
    share(project, tmp_path / "hub.git")
    make_elsewhere(project, other)
    assert shell(f"CHOICE=one {APPLY} --offline", project).returncode == 5
    must(f"{person('ann')} mlopsctl approve live -y && {APPLY} --offline", project)
    mine = on(shelf)
    shutil.rmtree(shelf / "current")
    (shelf / "current").write_text("in the way")
    assert shell(f"{APPLY} --offline --replace deployments.live", project).returncode == 1
    (shelf / "current").unlink()
    must("mlopsctl push", other)
    must("mlopsctl pull", project)
    must("sed -i 's/min: 0.7/min: 0.5/' mlops.yaml", project)
    declare(project, "No approvals, and a low bar", live=block(shelf))
    must(APPLY, project)
    assert on(shelf) == mine, "what was approved once serves again"
    plan = must("mlopsctl plan --replace deployments.live", project)
    assert "weakens gates.accuracy min 0.7 -> 0.5" in plan and "approvals is switched off" in plan
    assert shell(f"{APPLY} --replace deployments.live", project).returncode == 5, "nobody approved anything looser"
    assert on(shelf) == mine


def test_a_pin_and_a_promotion_hold_until_unhold(project: Path, shelf: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    declare(project, staging=block(shelf), live=block(second))
    must(APPLY, project)
    first = on(second)
    must("mlopsctl pin live --reason 'the fair is on'", project)
    another_model(project)
    must(APPLY, project)
    assert on(second) == first != on(shelf), "one is pinned, the other follows: two versions are live"
    plan = must("mlopsctl plan --detailed-exitcode", project)
    assert "held: pinned to" in plan and "the fair is on" in plan
    must(f"{BEFORE}mlopsctl promote live --from staging --reason RISK-1", project)
    assert on(second) == on(shelf)
    assert "promoted to" in must("mlopsctl status live", project) and "pinned" not in must("mlopsctl plan", project)
    write_model(project, 1.0)
    must(f"git commit -qam Back && {APPLY}", project)
    assert on(second) != on(shelf) == first
    assert "lifted: promoted to" in must("mlopsctl unhold live", project)
    assert "nothing holds the artifact" in must("mlopsctl unhold live", project)
    must(APPLY, project)
    assert on(second) == first
    must("mlopsctl audit verify --full", project)


@pytest.mark.parametrize(
    ("line", "code", "status"),
    [
        ("pin train.m", "MLO1541", 1),
        ("pin live", "MLO1542", 1),
        ("promote live --from targets.cpu", "MLO1542", 1),
        ("promote live", "MLO6400", 64),
        ("promote live --from live", "MLO6480", 64),
        ("promote deployments.live --from live", "MLO6480", 64),
        ("unhold nowhere", "MLO1012", 1),
        ("pin live --to beef", "MLO7104", 1),
        ("resume train.m", "MLO1541", 1),
    ],
)
def test_what_cannot_be_held(two_models: Path, tmp_path: Path, line: str, code: str, status: int) -> None:
    project = Path(shutil.copytree(two_models, tmp_path / "small", symlinks=True))
    declare(project, live=block(tmp_path))
    done = shell(f"mlopsctl {line}", project)
    assert (done.returncode, code in done.stdout) == (status, True), done.stdout


def test_a_job_of_a_pull_request_switches_nothing(live: Path, shelf: Path) -> None:
    before = on(shelf)
    must(f"{BEFORE}mlopsctl halt live --reason wrong", live)
    for verb in ("pin live", "resume live", "destroy --target live -y"):
        done = shell(f"GITHUB_EVENT_NAME=pull_request {BEFORE}mlopsctl {verb}", live)
        assert (done.returncode, "MLO4510" in done.stdout) == (4, True), done.stdout
    assert on(shelf) == before and (shelf / "closed").exists()


def test_elsewhere_than_on_its_branch_nothing_is_switched(live: Path, shelf: Path) -> None:
    """A branch could have left out the gates that judge what is switched to."""
    another_model(live)
    must(APPLY, live)
    before = on(shelf)
    must("git checkout -q -b feature", live)
    for verb in ("rollback", "pin", "unhold"):
        done = shell(f"{BEFORE}mlopsctl {verb} live", live)
        assert (done.returncode, "branch main does that" in done.stdout) == (4, True), done.stdout
    assert on(shelf) == before and "held" not in must("git checkout -q main && mlopsctl plan", live)


def test_a_rollback_is_barred_by_what_bars_an_apply(live: Path, shelf: Path, tmp_path: Path) -> None:
    """Whoever can swap the root of the trail can write themselves a past to go back to."""
    another_model(live)
    must(APPLY, live)
    before = on(shelf)
    key = read_pin(re.findall(r"log: (\w+)", (live / "mlops.yaml").read_text())[0])["key"]
    shutil.copytree(config_folder(), tmp_path / "mlops", ignore=shutil.ignore_patterns("trust"))
    for verb in ("apply -y --replace deployments.live", "rollback live"):
        done = shell(f"XDG_CONFIG_HOME={tmp_path} MLOPS_KEY={key} {BEFORE}mlopsctl {verb}", live)
        assert (done.returncode, "the root of the trail, which nobody pinned" in done.stdout) == (4, True), done.stdout
    assert on(shelf) == before


def test_a_hold_brings_no_settings_along_that_nobody_approved(project: Path, shelf: Path) -> None:
    two_people(project)
    declare(project, live=block(shelf, "approvals: {count: 1}"))
    must(f"{person('ann')} mlopsctl approve live -y", project)
    must(f"{APPLY} && mlopsctl pin live", project)
    before = must("git show refs/notes/mlops", project)
    declare(project, "Other settings", live=block(shelf, "approvals: {count: 1}\nparams: {traffic: all}"))
    for line in (APPLY, f"{BEFORE}mlopsctl rollback live --to {entry_of(project)}"):
        done = shell(line, project)
        assert (done.returncode, "settings that nobody approved" in done.stdout) == (4, True), done.stdout
    under_review = f"GITHUB_EVENT_NAME=pull_request {APPLY}"
    assert "pull request" in shell(under_review, project).stdout
    assert must("git show refs/notes/mlops", project) == before
    must("mlopsctl unhold live", project)
    assert shell(APPLY, project).returncode == 5, "and then people are asked"


def test_an_older_artifact_is_judged_by_what_was_approved_and_not_by_a_looser_manifest(
    project: Path, shelf: Path
) -> None:
    two_people(project)
    must("sed -i 's/min: 0.7/min: 0.0/' mlops.yaml", project)
    write_model(project, -1.0)
    protected = block(shelf, "approvals: {count: 1}")
    declare(project, "A bad model", live=protected)
    release(project, "ann")
    bad = entry_of(project)
    must("sed -i 's/min: 0.0/min: 0.7/' mlops.yaml", project)
    write_model(project, 1.0)
    declare(project, "A better one, and a bar", live=protected)
    release(project, "ann")
    good = on(shelf)
    must("sed -i 's/min: 0.7/min: 0.0/' mlops.yaml", project)
    declare(project, "Merged, and approved by nobody", live=protected)
    for verb in (f"rollback live --to {bad}", f"pin live --to {bad}", "rollback live"):
        done = shell(f"{BEFORE}mlopsctl {verb}", project)
        assert (done.returncode, "gates.accuracy failed" in done.stdout) == (4, True), done.stdout
    must("sed -i '/^gates:/,/^targets:/{/accuracy/d};s/^gates:$/gates: {}/' mlops.yaml", project)
    declare(project, "Without the gate", live=protected)
    assert shell(f"{BEFORE}mlopsctl rollback live --to {bad}", project).returncode == 4, (
        "a gate that is gone judges too"
    )
    assert on(shelf) == good and "held" not in must("mlopsctl plan", project)
    must("git checkout -q HEAD~1 -- mlops.yaml && git commit -qm 'The gate again'", project)
    write_model(project, 3.0)
    must("git commit -qam 'A third model'", project)
    release(project, "ben")
    assert "weakens" not in must("mlopsctl plan", project)
    must(f"{BEFORE}mlopsctl rollback live --to {bad}", project)
    assert on(shelf) != good, "what was approved is in force now"


@pytest.mark.parametrize(
    ("old", "new"), [("env: [SHELF_TOKEN]", "env: [SHELF_TOKEN, OTHER]"), ("paths: [", "paths: [/var/tmp, "),
                     ("program: tools/shelf.py", "program: tools/other.py")]
)  # fmt: skip
def test_a_hold_hands_a_program_nothing_more_than_was_approved(project: Path, shelf: Path, old: str, new: str) -> None:
    """None of these makes another result; each decides what the program is or reaches."""
    two_people(project)
    protected = block(shelf, "approvals: {count: 1}")
    declare(project, live=protected)
    release(project, "ann")
    must("mlopsctl pin live", project)
    (project / "tools/other.py").write_bytes(PROGRAM)
    declare(project, "More for the program", live=protected.replace(old, new))
    done = shell(f"{BEFORE}mlopsctl rollback live --to {entry_of(project)}", project)
    assert (done.returncode, "settings that nobody approved" in done.stdout) == (4, True), done.stdout
    assert shell(f"{APPLY} --replace deployments.live", project).returncode == 4


def test_a_rollback_says_that_what_it_brings_back_was_deployed_otherwise(live: Path, shelf: Path) -> None:
    first = entry_of(live)
    another_model(live)
    must(APPLY, live)
    assert "other settings" not in must(f"{BEFORE}mlopsctl rollback live && mlopsctl unhold live", live)
    declare(live, "More for the program", live=block(shelf).replace("[SHELF_TOKEN]", "[SHELF_TOKEN, OTHER]"))
    assert "with other settings; now it is with today's" in must(f"{BEFORE}mlopsctl rollback live --to {first}", live)


def test_a_halt_by_somebody_without_the_role_acts_stops_no_apply_and_is_no_part_of_the_trail(
    live: Path, shelf: Path
) -> None:
    admit(live, "ann")
    trust = live / "trust.yaml"
    trust.write_text(trust.read_text().replace("[approve, train]", "[data, train, gate, compile, deploy]"))
    must("mlopsctl trust apply -y && git add -A && git commit -qm People", live)
    ann = f"{person('ann')} {BEFORE}"
    done = shell(f"{ann}mlopsctl halt live --reason 'wrong prices'", live)
    assert (done.returncode, "MLO8501" in done.stdout) == (8, True), done.stdout
    assert (shelf / "closed").exists()
    another_model(live)
    told = must(f"{ann}mlopsctl apply -y", live)
    assert "wrong prices" in told and "has no role 'halt'" in told and "mlopsctl resume live" in told
    assert (shelf / "closed").exists(), "what is deployed anew stays cut out"
    assert "halted by" not in must("mlopsctl plan", live) and not halts(live), "shown, and not believed"
    assert "halt is done and not signed yet" in must("mlopsctl status live", live)
    must(f"{ann}mlopsctl resume live --reason over", live)
    assert not (shelf / "closed").exists() and "not signed yet" not in must("mlopsctl status live", live)
    resumed = open_project(live).trail.latest("deployments.live", ("resume",))
    assert resumed is not None and resumed.facts["unsigned"] == ["wrong prices"]
    shell(f"{ann}mlopsctl halt live --reason again", live)
    must(APPLY, live)
    assert [entry.facts["reason"] for entry in halts(live)] == ["again"], "somebody with the role put it on record"
    must("mlopsctl audit verify --full", live)


def halts(project: Path) -> list[Entry]:
    return open_project(project).trail.entries("deployments.live", ("halt",))


def test_a_halt_whose_reason_no_entry_can_hold_stops_no_apply_afterwards(live: Path) -> None:
    token = "ghp_" + "a" * 40
    shown = must(f"{BEFORE}mlopsctl halt live --reason $'\\xff\\e[31m {token} {'long ' * 2000}'", live)
    assert "halted" in shown and "\x1b" not in shown and token not in shown
    must(APPLY, live)
    assert "long long" in must(f"{BEFORE}mlopsctl resume live", live)


def test_one_that_cannot_say_how_it_is_stops_no_halt_of_others(
    project: Path, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.shelf.PROGRAM", PROGRAM.replace(b'"halted" if closed', b'"odd" if closed'))
    second = tmp_path / "second"
    second.mkdir()
    declare(project, one=block(shelf), two=block(second))
    must(APPLY, project)
    done = shell(f"{BEFORE}mlopsctl halt '*' --reason wrong", project)
    assert done.returncode == 0 and "its deployment is 'odd'" in done.stdout
    assert (shelf / "closed").exists() and (second / "closed").exists()
    must(f"{BEFORE}mlopsctl resume one", project)
    assert not (shelf / "closed").exists()


@pytest.mark.slow  # tests/test_holds.py holds the rule
def test_a_halt_of_one_clone_survives_the_resume_of_another(live: Path, shelf: Path, tmp_path: Path) -> None:
    """The resume has more entries before it than the halt, and knew nothing of it."""
    hub, other = tmp_path / "hub.git", tmp_path / "other"
    must(f"{BEFORE}mlopsctl halt live --reason first", live)
    must(f"git clone -q --bare . {hub} && git remote add origin {hub} && git fetch -q && mlopsctl push", live)
    shutil.copytree(live, other, symlinks=True)
    must(f"{BEFORE}mlopsctl halt live --reason 'still wrong'", other)
    must(f"{BEFORE}mlopsctl resume live && {BEFORE}mlopsctl pin live && mlopsctl unhold live", live)
    must("mlopsctl push", other)
    must("mlopsctl pull", live)
    plan = must("mlopsctl plan", live)
    assert "halted by" in plan and "still wrong" in plan and "first" not in plan
    (shelf / "closed").touch()
    must(f"{BEFORE}mlopsctl resume live", live)
    assert "halted by" not in must("mlopsctl plan", live)


def test_a_halt_of_another_clones_own_server_is_history_here(project: Path, tmp_path: Path) -> None:
    """Each clone has a ``use: local`` of its own."""
    declare(project, local="    target: cpu\n")
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    try:
        must("mlopsctl apply -y && mlopsctl halt local --reason mine", project)
        must(f"git fetch -q {project} +refs/notes/mlops:refs/notes/mlops", other)
        assert "held" not in must("mlopsctl plan", other)
        assert "nothing holds" in shell("mlopsctl resume local", other).stdout
        assert "mine" in must("mlopsctl plan", project)
    finally:
        take_down(project)


def test_two_deployments_that_met_in_a_merge_are_contested_until_one_follows_both(
    live: Path, shelf: Path, tmp_path: Path
) -> None:
    hub, other = tmp_path / "hub.git", tmp_path / "other"
    must(f"git clone -q --bare . {hub} && git remote add origin {hub} && git fetch -q && mlopsctl push", live)
    shutil.copytree(live, other, symlinks=True)
    another_model(other)
    must(f"{APPLY} --offline", other)
    must(f"{APPLY} --offline --replace deployments.live", live)
    before = on(shelf)
    must("mlopsctl push", other)
    must("mlopsctl pull", live)
    assert "contested by entry" in must("mlopsctl plan", live)
    assert "contested" in must("mlopsctl status live", live)
    must(f"{APPLY} --offline", live)
    assert on(shelf) == before, "nobody decided yet"
    must(f"{APPLY} --offline --replace deployments.live", live)
    assert "contested" not in must("mlopsctl plan", live)
