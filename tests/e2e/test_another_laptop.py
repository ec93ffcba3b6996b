"""Upgrading mlopsctl, cloning, moving folders, another laptop with other habits: nothing runs again."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.quickstart import must, shell


@pytest.fixture(scope="module")
def hub(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare remote with the applied project and its trail; nobody pushes to it."""
    place = tmp_path_factory.mktemp("laptop")
    folder = Path(shutil.copytree(applied, place / "digits", symlinks=True))
    must(f"git init -q --bare {place}/hub.git && git remote add origin {place}/hub.git", folder)
    must("git push -q origin main && mlopsctl push --trail-only", folder)
    return place / "hub.git"


def planned(folder: Path, before: str = "") -> dict[str, str]:
    """What is planned, other than nothing, with the reason."""
    steps = json.loads(must(f"{before}mlopsctl plan --format json 2>/dev/null", folder))["steps"]
    assert len(steps) == 5
    return {step["address"]: step["reason"] for step in steps if step["action"] != "noop"}


@pytest.mark.parametrize(
    "options",
    [
        "",
        "-c core.autocrlf=input",
        "-c core.fileMode=false",
        "-c core.ignoreCase=true -c core.precomposeUnicode=true",
        "-c core.symlinks=false",
        "--depth 1",
        "--filter=blob:none",
        "--single-branch --no-tags",
        "--separate-git-dir=../apart.git",
        "-c core.compression=0 -c index.version=4 -c feature.manyFiles=true",
    ],
)
def test_a_clone_made_in_another_way(hub: Path, tmp_path: Path, options: str) -> None:
    must(f"umask 077; git clone -q {options} file://{hub} 'elsewhere, ünï côde'", tmp_path)
    assert planned(tmp_path / "elsewhere, ünï côde") == {}


def test_a_clone_in_which_git_writes_other_line_ends(hub: Path, tmp_path: Path) -> None:
    """It is told, and mended, before anything is trained on files that nobody committed."""
    must(f"git clone -q -c core.autocrlf=true {hub} clone", tmp_path)
    clone = tmp_path / "clone"
    assert b"\r\n" in (clone / "train.py").read_bytes() and must("git status --short", clone) == ""
    told = shell("mlopsctl plan", clone)
    assert told.returncode == 1 and "MLO1009" in told.stdout, told.stdout
    fix = told.stdout.partition("then: ")[2].splitlines()[0]
    must(fix, clone)
    assert planned(clone) == {}
    text = (clone / "train.py").read_text()
    (clone / "train.py").write_text(text.replace("\n", "\r\n"), newline="")
    assert "train.py changed" in planned(clone)["train.classifier"], "an edit of one's own is one"


@pytest.fixture
def clone(hub: Path, tmp_path: Path) -> Path:
    must(f"git clone -q {hub} clone && cd clone && mlopsctl pull --trail-only", tmp_path)
    return tmp_path / "clone"


@pytest.mark.parametrize(
    "before",
    [
        "TZ=Pacific/Kiritimati LC_ALL=C ",
        "LC_ALL=tr_TR.UTF-8 LANGUAGE=tr PYTHONHASHSEED=7 ",
        "PYTHONHASHSEED=0 PYTHONUTF8=0 PYTHONDONTWRITEBYTECODE=1 ",
        "PATH=/usr/bin:/bin:$PATH VIRTUAL_ENV=/nowhere ",
        "HOME=/nonexistent XDG_CONFIG_HOME=/nonexistent XDG_CACHE_HOME=/nonexistent XDG_STATE_HOME=/nonexistent ",
        "unshare -Uu sh -c 'hostname laptop; exec \"$@\"' sh " if shutil.which("unshare") else "HOSTNAME=laptop ",
    ],
    ids=["time-and-place", "language", "python", "tools", "home", "host-and-user"],
)
def test_other_habits(clone: Path, before: str) -> None:
    if before.startswith("unshare") and shell(f"{before} true", clone).returncode:
        before = "HOSTNAME=laptop USER=somebody "
    assert planned(clone, before) == {}


def test_folders_that_move_and_copies_beside_them(clone: Path) -> None:
    moved = clone.rename(clone.with_name("a b"))
    assert planned(moved) == {}
    must("git worktree add -q ../beside && cp -r . ../copied", moved)
    assert planned(moved.with_name("beside")) == {} and planned(moved.with_name("copied")) == {}
    must("mkdir -p deep/er", moved)
    assert "No changes" in must("mlopsctl plan", moved / "deep" / "er")


def test_histories_that_are_written_anew(clone: Path) -> None:
    must("git commit -q --amend -m other && git commit -q --allow-empty -m one && git rebase -q --root", clone)
    must("git checkout -q --orphan alone && git commit -qm 'All at once' && git branch -D main -q", clone)
    must("git reflog expire --expire=now --all && git gc -q --prune=now", clone)
    assert planned(clone) == {}
    must("git checkout -q --detach", clone)
    assert planned(clone) == {}


UPGRADED = """\
import sys
import mlopsctl
assert mlopsctl.__version__ != "99.0.0"
mlopsctl.__version__ = "99.0.0"
from mlopsctl.adapters import statcache
from mlopsctl.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_newer_mlopsctl_with_nothing_of_the_old_ones_state(clone: Path, tmp_path: Path) -> None:
    """The version is recorded with what is made, and enters no fingerprint; caches of the old version may be gone."""
    (tmp_path / "upgraded.py").write_text(UPGRADED)
    line = f"{sys.executable} {tmp_path}/upgraded.py"
    assert "No changes" in must(f"{line} plan --detailed-exitcode", clone)
    must("find .git/mlops -type f -delete", clone)
    must(f"{line} pull --trail-only", clone)
    assert "No changes" in must(f"{line} plan --detailed-exitcode", clone)
    assert "0 applied" in must(f"{line} apply -y --offline", clone)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", clone), "and back to the older one"
