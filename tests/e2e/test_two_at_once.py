"""Two clones and one place: what runs changes only from what was seen, and nobody touches what another one announced."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import pytest

from mlopsctl.audit.sharing import pull_trail
from mlopsctl.audit.trail import TrailLog
from mlopsctl.cli.announce import Announcer
from mlopsctl.cli.announced import foreign_intents, open_intents
from mlopsctl.cli.project import Project, open_project
from mlopsctl.cli.world import ProjectWorld
from mlopsctl.errors import StaleError
from mlopsctl.types import Address, Resource
from tests.audit.test_predicates import documented
from tests.quickstart import BIN, must, shell
from tests.shelf import BEFORE, PROGRAM, another_model, block, declare, on

APPLY = f"{BEFORE}mlopsctl apply -y"
LIVE = Address("deployments", "live")


@pytest.fixture
def ours(two_models: Path, tmp_path: Path, shelf: Path) -> Path:
    """The project with one shared deployment that runs, and nobody to share the trail with."""
    project = Path(shutil.copytree(two_models, tmp_path / "ours", symlinks=True))
    declare(project, live=block(shelf))
    must(APPLY, project)
    return project


@pytest.fixture
def theirs(ours: Path, tmp_path: Path) -> Path:
    """Another clone, with another model."""
    return clone(ours, tmp_path / "theirs")


@pytest.fixture
def hub(ours: Path, tmp_path: Path) -> Path:
    """What both clones push to; ask for it before ``theirs``."""
    place = tmp_path / "hub.git"
    must(f"git init -q --bare {place} && git remote add origin {place} && git push -q -u origin main", ours)
    must("mlopsctl push", ours)
    return place


def clone(ours: Path, place: Path) -> Path:
    shutil.copytree(ours, place, symlinks=True)
    another_model(place)
    return place


def slow(project: Path, shelf: Path) -> None:
    """The deployment takes some seconds from now on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tests.shelf.PROGRAM",
            PROGRAM.replace(b"    shutil.copytree", b"    import time; time.sleep(6)\n    shutil.copytree"),
        )
        declare(project, "Slowly", live=block(shelf))


def at_once(line: str, *folders: Path) -> list[tuple[int, str]]:
    """Exit codes and words of one command in several folders, all started together."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CI": "true"}
    started = [
        Popen(["bash", "-c", line], cwd=folder, env=env, stdout=PIPE, stderr=STDOUT, text=True) for folder in folders
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    return [(process.returncode, words) for process, words in zip(started, said, strict=True)]


def opened(folder: Path) -> tuple[Project, Resource]:
    project = open_project(folder)
    return project, project.resource("live")


def announcer(folder: Path) -> tuple[Announcer, Resource]:
    """One that has seen how its clone stands, as after a plan."""
    project, want = opened(folder)
    found = Announcer(project)
    found.plan_from_here(project.resources)
    return found, want


# --- Compare and swap ---------------------------------------------------------------------------------------------


def test_of_two_clones_that_deploy_to_one_place_without_knowing_each_other_one_wins(
    ours: Path, theirs: Path, shelf: Path
) -> None:
    another_model(ours, 3.0)
    before = on(shelf)
    ended = at_once(APPLY, ours, theirs)
    assert sorted(code for code, _ in ended) == [0, 6], ended
    loser = next(words for code, words in ended if code == 6)
    assert "MLO6021" in loser or "MLO6001" in loser
    winner = ours if ended[0][0] == 0 else theirs
    assert on(shelf) != before
    project, want = opened(winner)
    seen = ProjectWorld(project).read(want, None)
    assert seen is not None and seen.mark is not None
    assert (shelf / "label").read_text() == seen.mark.entry, "the place names the entry of whoever won"


@pytest.mark.parametrize("verb", ["apply -y", "rollback live", "pin live", "pin live --to {first}", "destroy --all -y"])
def test_what_somebody_else_deployed_is_not_overwritten(ours: Path, theirs: Path, shelf: Path, verb: str) -> None:
    first = opened(ours)[0].trail.latest(LIVE)
    another_model(ours, 2.0)
    must(APPLY, ours)
    another_model(theirs, 3.0)
    must(f"{APPLY} --replace deployments.live", theirs)
    now = on(shelf)
    another_model(ours, 1.0)
    assert first is not None
    done = shell(f"{BEFORE}mlopsctl {verb.format(first=first.id[:12])}", ours)
    assert done.returncode == 6 and "somebody else deployed there" in done.stdout, done.stdout
    assert on(shelf) == now and "held" not in must("mlopsctl plan", ours)


def test_destroy_looks_where_it_was_deployed_and_not_where_the_manifest_says_since(
    ours: Path, theirs: Path, shelf: Path, tmp_path: Path
) -> None:
    must(f"{APPLY} --replace deployments.live", theirs)
    now, other = on(shelf), tmp_path / "elsewhere"
    other.mkdir()
    declare(ours, "Elsewhere", live=block(other))
    done = shell(f"{BEFORE}mlopsctl destroy --all -y", ours)
    assert done.returncode == 6 and "MLO6021" in done.stdout, done.stdout
    assert on(shelf) == now, "what somebody else deployed there stays"
    must("git reset -q --hard HEAD~1", theirs)
    declare(theirs, "Elsewhere", live=block(other))
    plan = " ".join(must("mlopsctl plan", theirs).split())
    assert f"what runs at {shelf} stays there; to take it down first: mlopsctl destroy --target live" in plan
    must(f"{BEFORE}mlopsctl destroy --target live -y", theirs)
    assert not on(shelf), "one's own goes"
    assert "stays there" not in must("mlopsctl plan", theirs)
    assert opened(theirs)[0].trail.entries(str(LIVE), ("intent",))[-1].location == str(shelf)


def test_whoever_looked_may_replace_it(ours: Path, theirs: Path, shelf: Path) -> None:
    must(APPLY, theirs)
    another_model(ours, 3.0)
    refused = shell(APPLY, ours)
    assert refused.returncode == 6 and "--replace deployments.live" in refused.stdout
    before = on(shelf)
    must(f"{APPLY} --replace deployments.live", ours)
    assert on(shelf) != before
    must("mlopsctl audit verify --full", ours)
    assert "0 applied" in must(APPLY, ours)


def test_a_program_that_cannot_say_what_runs_is_asked_again_and_not_passed_over(
    ours: Path, shelf: Path, tmp_path: Path
) -> None:
    mute = PROGRAM.replace(
        b'elif verb == "probe":\n',
        b'elif verb == "probe":\n    os.path.exists(shelf + "/mute") and sys.exit("no route")\n',
    ).replace(
        b"    shutil.copytree",
        b'    os.path.exists(shelf + "/mute") and os.remove(shelf + "/mute")\n    shutil.copytree',
    )
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.shelf.PROGRAM", mute)
        declare(ours, "It may be mute", live=block(shelf))
        must(APPLY, ours)
        declare(ours, "Elsewhere", live=block(fresh))
        (fresh / "mute").touch()
        must(APPLY, ours)
        assert on(fresh), "where nothing was deployed yet, nobody has to answer"
    (fresh / "mute").touch()
    another_model(ours, 3.0)
    before = on(fresh)
    for verb in ("apply -y", "pin live", "destroy --all -y"):
        done = shell(f"{BEFORE}mlopsctl {verb}", ours)
        assert (done.returncode, "MLO1515" in done.stdout, "no route" in done.stdout) == (1, True, True), done.stdout
        assert on(fresh) == before
    assert "mlopsctl apply --replace deployments.live" in done.stdout
    must(f"{APPLY} --replace deployments.live", ours)
    assert on(fresh) != before
    must(f"{BEFORE}mlopsctl destroy --all -y", ours)


def test_an_announcement_is_ones_own_from_the_moment_it_is_signed(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, want = announcer(ours)
    signs = TrailLog.journal_line

    def killed(log: TrailLog, *given: Any) -> None:
        signs(log, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrailLog, "journal_line", killed)
        with pytest.raises(KeyboardInterrupt):
            found.announce(want, ())
    project, _ = opened(ours)
    assert len(open_intents(project, LIVE)) == 1 and foreign_intents(project, LIVE) == ()
    another_model(ours)
    must(APPLY, ours)
    assert open_intents(opened(ours)[0], LIVE) == ()


def test_an_attempt_of_ones_own_that_failed_half_way_bars_nothing(ours: Path, shelf: Path) -> None:
    """The program changed the place, and then it said that it failed."""
    broken = PROGRAM.replace(b'    facts = {"endpoint"', b'    sys.exit(1)\n    facts = {"endpoint"')
    assert broken != PROGRAM
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.shelf.PROGRAM", broken)
        declare(ours, "A broken program", live=block(shelf))
        assert shell(APPLY, ours).returncode == 1
    project, _ = opened(ours)
    assert open_intents(project, LIVE) == (), "the failure ended what was announced"
    declare(ours, "Mended", live=block(shelf))
    another_model(ours)
    must(APPLY, ours)


def test_what_an_attempt_left_half_way_is_mended_also_where_the_manifest_goes_back(ours: Path, shelf: Path) -> None:
    """The last result says what ran before the attempt, and no longer what runs."""
    before = on(shelf)
    with pytest.MonkeyPatch.context() as patch:
        late = PROGRAM.replace(
            b'    facts = {"endpoint"', b'    sys.exit(spec["previous"] is not None)\n    facts = {"endpoint"'
        )
        patch.setattr("tests.shelf.PROGRAM", late)
        declare(ours, "It fails late", live=block(shelf))
        another_model(ours, 3.0)
        assert shell(APPLY, ours).returncode == 1 and on(shelf) != before
    must("git revert --no-edit HEAD HEAD~1", ours)
    assert "nobody knows what the attempt left" in must("mlopsctl plan", ours)
    must(APPLY, ours)
    assert on(shelf) == before and "No changes" in must("mlopsctl plan", ours)


# --- Intents ------------------------------------------------------------------------------------------------------


def test_of_two_clones_over_one_remote_that_deploy_at_once_exactly_one_does(
    hub: Path, ours: Path, theirs: Path, shelf: Path
) -> None:
    for folder, weight in ((ours, 3.0), (theirs, 4.0)):
        # Long enough for the other one to come.
        slow(folder, shelf)
        another_model(folder, weight)
    ended = at_once(APPLY, ours, theirs)
    assert sorted(code for code, _ in ended) == [0, 6], ended
    loser = next(words for code, words in ended if code == 6)
    assert any(code in loser for code in ("MLO6022", "MLO6023", "MLO6001")), loser
    for folder in (ours, theirs):
        must("mlopsctl pull --trail-only", folder)
        assert open_intents(opened(folder)[0], LIVE) == ()
        assert "contested" not in must("mlopsctl plan", folder)
    must("mlopsctl audit verify --full", ours)


def test_whoever_pushes_second_gives_way(hub: Path, ours: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have pulled, and neither has seen the other's intent when it signs its own."""
    mine, want = announcer(ours)
    other, wanted = announcer(theirs)
    pulled: list[int] = []

    def meanwhile(*given: object) -> object:
        done = pull_trail(*given)  # type: ignore[arg-type]
        if not pulled:
            pulled.append(1)
            assert other.announce(wanted, ())
        return done

    monkeypatch.setattr("mlopsctl.cli.announce.pull_trail", meanwhile)
    with pytest.raises(StaleError, match="is being changed by somebody else") as refused:
        mine.announce(want, ())
    assert refused.value.exit_code == 6 and refused.value.code == "MLO6022"
    assert mine.ended(LIVE) != other.ended(LIVE) != "", "both signed one, and the one that landed first goes on"


def test_a_deployment_of_somebody_else_since_the_plan_stops_it(
    hub: Path, ours: Path, theirs: Path, shelf: Path
) -> None:
    another_model(ours, 3.0)
    mine, want = announcer(ours)
    must(APPLY, theirs)
    before = on(shelf)
    with pytest.raises(StaleError, match="deployed to it at") as refused:
        mine.announce(want, ())
    assert refused.value.code == "MLO6023" and on(shelf) == before
    must("mlopsctl plan", ours)
    must(APPLY, ours)
    assert on(shelf) != before, "planned anew on top of it"


def test_a_halt_of_somebody_else_since_the_plan_stops_it(hub: Path, ours: Path, theirs: Path) -> None:
    mine, want = announcer(ours)
    must(f"{BEFORE}mlopsctl halt live --reason fire && mlopsctl push", theirs)
    with pytest.raises(StaleError, match=r"halted by .* fire"):
        mine.announce(want, ())


def test_an_intent_whose_author_is_gone_is_shown_with_its_age_and_ended_by_force(
    hub: Path, ours: Path, theirs: Path, shelf: Path
) -> None:
    gone, wanted = announcer(theirs)
    gone.announce(wanted, ())
    another_model(ours, 3.0)
    before = on(shelf)
    done = shell(APPLY, ours)
    assert done.returncode == 6 and "MLO6022" in done.stdout and "mlopsctl unlock live" in done.stdout
    assert on(shelf) == before
    assert "apply waits until that is ended" in must("mlopsctl plan", ours)
    told = must("mlopsctl status live", ours)
    assert "announced at" in told and " s ago; if whoever it is has gone: mlopsctl unlock live" in told
    rows = json.loads(must("mlopsctl status live --format json", ours))["resources"]
    assert "to remove" in rows[0]["announced"][0]
    refused = shell("mlopsctl unlock live", ours)
    assert refused.returncode == 6 and "MLO6025" in refused.stdout
    assert "ended without knowing" in must("mlopsctl unlock live --force --reason 'the runner burnt'", ours)
    assert "Nobody is changing" in must("mlopsctl unlock live", ours)
    must(APPLY, ours)
    assert on(shelf) != before
    must("mlopsctl audit verify --full", ours)


def test_an_interrupted_deployment_is_taken_up_by_its_own_clone(
    hub: Path, ours: Path, theirs: Path, shelf: Path
) -> None:
    left, want = announcer(ours)
    left.announce(want, ())
    assert shell(APPLY, theirs).returncode == 6
    another_model(ours, 3.0)
    must(APPLY, ours)
    assert open_intents(opened(ours)[0], LIVE) == ()
    must(APPLY, theirs)


def test_what_cannot_be_announced_is_not_touched(hub: Path, ours: Path, shelf: Path) -> None:
    another_model(ours)
    before = on(shelf)
    hub.rename(hub.with_name("gone.git"))
    done = shell(APPLY, ours)
    assert done.returncode == 1 and "MLO8021" in done.stdout and on(shelf) == before
    assert shell(f"{BEFORE}mlopsctl destroy --all -y", ours).returncode == 1 and on(shelf) == before
    assert "nobody there knows of this" in must(f"{APPLY} --offline", ours)
    assert on(shelf) != before


def test_rollback_and_pin_tell_the_others_at_once(hub: Path, ours: Path, theirs: Path, shelf: Path) -> None:
    must(APPLY, theirs)
    must(f"{BEFORE}mlopsctl rollback live --reason RISK-1", theirs)
    must("mlopsctl pull --trail-only", ours)
    assert "RISK-1" in must("mlopsctl plan", ours)
    entries = opened(ours)[0].trail.entries(str(LIVE))
    assert [entry.kind for entry in entries[-3:]] == ["intent", "rollback", "result"]
    known = documented()
    for entry in entries:
        assert set(entry.facts) <= known[entry.predicate_type], (
            entry.kind,
            set(entry.facts) - known[entry.predicate_type],
        )


def test_a_halt_and_its_end_tell_the_others_at_once(hub: Path, ours: Path, theirs: Path, shelf: Path) -> None:
    """Whoever deploys next hands their program the halt, and does not deploy over it."""
    must(f"{BEFORE}mlopsctl halt live --reason fire", ours)
    must(APPLY, theirs)
    facts = opened(theirs)[0].trail.latest(LIVE)
    assert facts is not None and facts.facts["claimed"]["halted"] is True, facts
    must("mlopsctl pull --trail-only", ours)
    must(f"{BEFORE}mlopsctl resume live", ours)
    must("mlopsctl pull --trail-only", theirs)
    assert "halted" not in must("mlopsctl plan", theirs)
    hub.rename(hub.with_name("gone.git"))
    done = shell(f"{BEFORE}mlopsctl halt live --reason again", ours)
    assert done.returncode == 8 and (shelf / "closed").read_text() == "again", (
        "it acts, and then it says who was not told"
    )
    must(f"{BEFORE}mlopsctl resume live --offline", ours)


@pytest.mark.parametrize("verb", ["rollback live", "destroy --all -y"])
def test_a_switch_that_fails_keeps_nobody_waiting(hub: Path, ours: Path, theirs: Path, shelf: Path, verb: str) -> None:
    broken = PROGRAM.replace(b'    facts = {"endpoint"', b'    sys.exit(1)\n    facts = {"endpoint"')
    broken = broken.replace(b'    shutil.rmtree(shelf + "/current")\n', b"    sys.exit(1)\n")
    assert broken.count(b"sys.exit(1)") == 2
    another_model(ours, 3.0)
    must(APPLY, ours)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.shelf.PROGRAM", broken.replace(b"    sys.exit(1)\n    facts", b"    facts"))
        declare(ours, "It never goes away", live=block(shelf))
        must(APPLY, ours)
        patch.setattr("tests.shelf.PROGRAM", broken)
        declare(ours, "It never comes", live=block(shelf))
    must("git push -q && mlopsctl push", ours)
    assert shell(f"{BEFORE}mlopsctl {verb}", ours).returncode == 1
    must("git fetch -q && git reset -q --hard origin/main && mlopsctl pull --trail-only", theirs)
    assert open_intents(opened(theirs)[0], LIVE) == (), "the failure came along"


# --- Contested ----------------------------------------------------------------------------------------------------


def test_only_a_deployment_that_follows_both_settles_what_is_contested(
    hub: Path, ours: Path, theirs: Path, shelf: Path, tmp_path: Path
) -> None:
    alone = f"{APPLY} --offline --replace deployments.live"
    must(alone, theirs)
    third = Path(shutil.copytree(theirs, tmp_path / "third", symlinks=True))
    another_model(ours, 3.0)
    must(alone, ours)
    must("mlopsctl push --trail-only", theirs)
    must("mlopsctl push --trail-only", ours)
    must("mlopsctl pull --trail-only", theirs)
    for folder in (ours, theirs):
        assert "contested" in must("mlopsctl status live", folder) and open_intents(opened(folder)[0], LIVE) == ()
    before = on(shelf)
    (tmp_path / "other").mkdir()
    declare(ours, "Two", live=block(shelf), other=block(tmp_path / "other"))
    for verb in ("pin live", "promote other --from live"):
        done = shell(f"{BEFORE}mlopsctl {verb}", ours)
        assert (done.returncode, "MLO6026" in done.stdout) == (6, True), done.stdout
    shown = must(f"{BEFORE}mlopsctl status live --refresh", theirs)
    assert (shelf / "label").read_text()[:12] in shown, "the place says who won"
    another_model(third, 4.0)
    must(alone, third)
    must("mlopsctl push --trail-only", third)
    assert "contested" in must("mlopsctl pull --trail-only && mlopsctl status live", theirs), "it knew of one only"
    assert on(shelf) != before
    must(APPLY, theirs)
    assert "contested" in must("mlopsctl status live", theirs), "nobody decided"
    must(f"{APPLY} --replace deployments.live", theirs)
    for folder in (ours, theirs, third):
        must("mlopsctl pull --trail-only", folder)
        assert "contested" not in must("mlopsctl status live", folder)
    must("mlopsctl audit verify --full", ours)
