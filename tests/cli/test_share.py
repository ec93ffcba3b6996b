"""Sharing as people type it: settings of git, hostile ones too, remotes that refuse, and what is not shared yet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.contract import follows
from tests.quickstart import make_small, must, shell

POPULAR = "+refs/notes/*:refs/notes/*"


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    must(f"git init -q --bare {tmp_path}/hub.git", tmp_path)
    return tmp_path / "hub.git"


@pytest.fixture
def mine(tmp_path: Path, hub: Path) -> Path:
    """A fresh project that pushed its branch and its trail."""
    folder = make_small(tmp_path / "mine")
    must(f"git remote add origin file://{hub} && git push -q -u origin main && mlopsctl push --trail-only", folder)
    return folder


@pytest.fixture
def fresh(tmp_path: Path, hub: Path, mine: Path) -> Path:
    """A clone that never saw the trail."""
    must(f"git clone -q file://{hub} fresh", tmp_path)
    return tmp_path / "fresh"


def checks(folder: Path, name: str) -> list[dict[str, str]]:
    found = json.loads(shell("mlopsctl doctor --format json", folder).stdout)["checks"]
    return [one for one in found if one["name"] == name]


# --- Refspecs ------------------------------------------------------------------------------------------------


def test_init_sets_the_safe_refspec_for_remotes_that_are_there(tmp_path: Path, hub: Path) -> None:
    must(f"git init -q p && cd p && git remote add origin file://{hub}", tmp_path)
    said = must("mlopsctl init --template quickstart p", tmp_path)
    assert "git config --add remote.origin.fetch '+refs/notes/mlops*:refs/notes/origin/mlops*'" in said
    folder = tmp_path / "p"
    must("git add -A && git commit -qm x && git fetch && git push -q origin HEAD:main && mlopsctl push", folder)
    assert checks(folder, "refspec origin")[0]["state"] == "ok"


def test_the_doctor_finds_a_missing_refspec_and_its_command_mends_it(fresh: Path) -> None:
    (found,) = checks(fresh, "refspec origin")
    assert found["state"] == "note"
    must(found["fix"], fresh)
    assert checks(fresh, "refspec origin")[0]["state"] == "ok"
    must("git fetch -q", fresh)
    must("git rev-parse refs/notes/origin/mlops", fresh)
    must("mv ../hub.git ../gone.git", fresh)
    assert "fetching" not in must("mlopsctl plan", fresh), "what git fetch brought is enough"
    assert must("mlopsctl audit verify", fresh).startswith("ok")


@pytest.mark.parametrize("where", ["", "--global "])
def test_the_doctor_finds_the_dangerous_refspec_and_its_command_mends_it(fresh: Path, where: str) -> None:
    must(f"export GIT_CONFIG_GLOBAL=$PWD/../g; git config {where}--add remote.origin.fetch '{POPULAR}'", fresh)
    line = "export GIT_CONFIG_GLOBAL=$PWD/../g; mlopsctl doctor --format json"
    found = [one for one in json.loads(shell(line, fresh).stdout)["checks"] if one["name"] == "refspec origin"]
    assert [one["state"] for one in found] == ["problem"] and "not pushed" in found[0]["text"]
    must(f"export GIT_CONFIG_GLOBAL=$PWD/../g; {found[0]['fix']}", fresh)
    found = [one for one in json.loads(shell(line, fresh).stdout)["checks"] if one["name"] == "refspec origin"]
    assert [one["state"] for one in found] == ["ok"]


def test_the_doctor_finds_what_edits_notes_and_its_command_mends_it(fresh: Path) -> None:
    must("git config notes.rewriteRef 'refs/notes/*' && git config core.notesRef refs/notes/mlops", fresh)
    found = checks(fresh, "notes")
    assert [one["state"] for one in found] == ["problem", "problem"]
    for one in found:
        must(one["fix"], fresh)
    assert checks(fresh, "notes") == []


def test_a_forced_fetch_is_missed_and_pull_takes_everything_back(mine: Path, fresh: Path) -> None:
    must("mlopsctl pull --trail-only && mlopsctl apply -y --offline", fresh)
    entries = must("mlopsctl audit log -n -1 --format json", fresh)
    must(f"git fetch -q origin '{POPULAR}'", fresh)
    told = shell("mlopsctl audit verify", fresh)
    assert told.returncode == 7 and "MLO7040" in told.stdout
    assert "took back" in must("mlopsctl pull --trail-only", fresh)
    assert must("mlopsctl audit log -n -1 --format json", fresh) == entries
    assert must("mlopsctl audit verify", fresh).startswith("ok")


def test_what_is_gone_is_taken_back_without_a_remote_too(tmp_path: Path) -> None:
    folder = make_small(tmp_path / "alone")
    must("git update-ref -d refs/notes/mlops", folder)
    assert "took back 1 entries" in must("mlopsctl pull --trail-only", folder)
    assert shell("mlopsctl pull --trail-only", folder).returncode == 1


# --- What fetching would run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["plan", "status", "show data.digits", "apply -y"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("remote.origin.uploadpack", "touch {mark}; git-upload-pack"),
        ("core.sshCommand", "touch {mark}; false"),
        ("credential.helper", "!touch {mark}; true"),
    ],
)
def test_a_first_fetch_runs_no_program_that_the_repository_names(
    fresh: Path, tmp_path: Path, key: str, value: str, verb: str
) -> None:
    mark = tmp_path / "mark"
    must(f"git config {key} '{value.format(mark=mark)}'", fresh)
    if key == "core.sshCommand":
        must("git remote set-url origin ssh://localhost/x", fresh)
    told = shell(f"mlopsctl {verb}", fresh)
    assert told.returncode == 1 and "MLO8010" in told.stdout and key.lower() in told.stdout, told.stdout
    assert not mark.exists()


def test_the_trap_works_and_typing_pull_allows_it_until_it_changes(fresh: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    must(f"git config remote.origin.uploadpack 'touch {mark}; git-upload-pack'", fresh)
    must("mlopsctl pull --trail-only", fresh)
    assert mark.exists(), "on purpose it runs, as git fetch does"
    must("rm -r .git/mlops && git update-ref -d refs/notes/mlops && git update-ref -d refs/notes/origin/mlops", fresh)
    must("mlopsctl plan", fresh)
    must("rm -r .git/mlops && git update-ref -d refs/notes/mlops && git update-ref -d refs/notes/origin/mlops", fresh)
    must(f"git config remote.origin.uploadpack 'touch {mark}; touch {mark}; git-upload-pack'", fresh)
    assert "MLO8010" in shell("mlopsctl plan", fresh).stdout


def test_a_url_of_ext_runs_nothing(fresh: Path, tmp_path: Path) -> None:
    must(f"git remote set-url origin 'ext::sh -c touch% {tmp_path}/mark'", fresh)
    assert "MLO8010" in shell("mlopsctl plan", fresh).stdout
    assert "MLO8001" in shell("mlopsctl pull --trail-only", fresh).stdout
    assert not (tmp_path / "mark").exists()


def test_apply_pushes_through_no_program_that_the_repository_names(mine: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    must(f"git config remote.origin.receivepack 'touch {mark}; git-receive-pack'", mine)
    told = shell("mlopsctl apply -y", mine)
    assert told.returncode == 8 and "MLO8010" in told.stdout and not mark.exists(), told.stdout
    assert "not shared:" in told.stdout
    must("mlopsctl push --trail-only", mine)
    assert mark.exists()


# --- What is not shared yet ----------------------------------------------------------------------------------


def test_status_says_what_is_not_shared(mine: Path) -> None:
    found = follows("status", must("mlopsctl status --format json", mine))
    assert found["trail"] == {"remotes": [{"name": "origin", "unpushed": 0}]}
    must("mlopsctl apply -y --offline", mine)
    found = follows("status", must("mlopsctl status --format json", mine))
    (remote,) = found["trail"]["remotes"]
    assert remote["unpushed"] > 0
    assert f"{remote['unpushed']} entries are not on 'origin' yet" in must("mlopsctl status", mine)
    must("mlopsctl push --trail-only", mine)
    assert "are not on" not in must("mlopsctl status", mine)


def test_two_remotes_are_both_served(mine: Path, tmp_path: Path) -> None:
    must(f"git init -q --bare {tmp_path}/second.git && git remote add second {tmp_path}/second.git", mine)
    must("mlopsctl push --trail-only --remote second", mine)
    must("mlopsctl apply -y", mine)
    remotes = json.loads(must("mlopsctl status --format json", mine))["trail"]["remotes"]
    assert remotes[0] == {"name": "origin", "unpushed": 0} and remotes[1]["unpushed"] > 0
    must("mlopsctl push --trail-only --remote second && mlopsctl pull --trail-only --remote second", mine)
    assert must(f"git -C {tmp_path}/second.git rev-parse refs/notes/mlops", mine) == must(
        "git rev-parse refs/notes/mlops", mine
    )


def test_a_push_of_the_trail_pushes_nothing_else(mine: Path, hub: Path) -> None:
    before = must("git for-each-ref", hub)
    must("git config push.followTags true && git config remote.origin.push '+refs/*:refs/*'", mine)
    must("git config remote.origin.mirror true && git tag -a -m v1 v1 && git branch secret", mine)
    must("mlopsctl apply -y", mine)
    after = must("git for-each-ref --format='%(refname)'", hub).split()
    assert after == [line.split()[2] for line in before.splitlines()] == ["refs/heads/main", "refs/notes/mlops"]


def test_a_server_that_refuses_for_good_is_asked_once(mine: Path, hub: Path) -> None:
    hook = hub / "hooks" / "pre-receive"
    hook.write_text('#!/bin/sh\necho x >> count\nprintf "no notes \\033[2J on Fridays\\n" >&2\nexit 1\n')
    hook.chmod(0o755)
    told = shell("mlopsctl apply -y", mine)
    assert told.returncode == 8 and "MLO8011" in told.stdout, told.stdout
    assert "no notes" in told.stdout and "on Fridays" in told.stdout and "\x1b" not in told.stdout
    assert (hub / "count").read_text() == "x\n"
    hook.unlink()
    must("mlopsctl push", mine)


def test_a_lock_left_on_the_server_is_no_race_for_ever(mine: Path, hub: Path) -> None:
    (hub / "refs" / "notes" / "mlops.lock").touch()
    told = shell("mlopsctl apply -y", mine)
    assert told.returncode == 8 and "MLO8012" in told.stdout, told.stdout
    (hub / "refs" / "notes" / "mlops.lock").unlink()
    must("mlopsctl push", mine)


def test_a_remote_that_goes_away_half_way(mine: Path, tmp_path: Path) -> None:
    dying = tmp_path / "dying"
    dying.write_text('#!/bin/sh\nhead -c 300 | git-receive-pack "$@"\nkill -9 $$\n')
    dying.chmod(0o755)
    must(f"mlopsctl apply -y --offline && git config remote.origin.receivepack {dying}", mine)
    told = shell("mlopsctl push --trail-only", mine)
    assert told.returncode == 8 and "MLO8002" in told.stdout, told.stdout
    must("git config --unset remote.origin.receivepack && mlopsctl push --trail-only", mine)
    assert json.loads(must("mlopsctl status --format json", mine))["trail"]["remotes"][0]["unpushed"] == 0


@pytest.fixture
def daemon(hub: Path) -> Iterator[str]:
    """The hub over git's own protocol, for reading only."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", "--export-all", "--reuseaddr"]
    with subprocess.Popen([*words, f"--base-path={hub.parent}", str(hub)], stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            import time

            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}/hub.git"
        server.terminate()


def test_a_remote_for_reading_only(mine: Path, tmp_path: Path, daemon: str) -> None:
    must(f"git clone -q {daemon} reader && cd reader && mlopsctl plan", tmp_path)
    told = shell("mlopsctl apply -y", tmp_path / "reader")
    assert told.returncode == 8 and "MLO8002" in told.stdout and "not shared:" in told.stdout, told.stdout


def test_a_second_project_in_one_repository_is_refused_clearly(mine: Path) -> None:
    told = shell("mlopsctl init --template quickstart models/second", mine)
    assert told.returncode == 7 and "MLO7108" in told.stdout
    assert "a repository of its own" in told.stdout
    assert not (mine / "models" / "second" / "mlops.yaml").exists()


def test_the_doctor_in_a_shallow_clone(mine: Path, hub: Path, tmp_path: Path) -> None:
    must("mlopsctl apply -y", mine)
    must(f"git clone -q --depth 1 file://{hub} shallow", tmp_path)
    folder = tmp_path / "shallow"
    must("git fetch -q --depth 1 origin refs/notes/mlops:refs/notes/mlops", folder)
    assert checks(folder, "shallow")[0]["state"] == "note"
    assert "MLO7172" in must("mlopsctl audit verify", folder)
    must("mlopsctl pull --trail-only", folder)
    assert checks(folder, "shallow")[0]["state"] == "ok"
    assert "MLO7172" not in must("mlopsctl audit verify", folder)
