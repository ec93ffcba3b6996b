"""Repositories are found and read; nothing that a hostile one configures is run."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters import statcache
from mlopsctl.adapters.git import LARGE, CommitTree, WorkTree, find_repo
from mlopsctl.adapters.notes import NotesLog
from mlopsctl.adapters.statcache import Hashes, StatCache, hash_once
from mlopsctl.errors import MlopsError
from mlopsctl.gitobjects import tree_oid


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.com")
    (folder / "train.py").write_text("print(1)\n")
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "deep" / "model.py").write_text("x = 1\n")
    (folder / "src" / "deep.py").write_text("y = 1\n")
    (folder / "run.sh").write_text("echo hi\n")
    (folder / "run.sh").chmod(0o755)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


def test_a_folder_inside_finds_its_repository(clone: Path) -> None:
    repo = find_repo(clone / "src" / "deep")
    assert repo.root == clone and not repo.bare


def test_no_repository_is_said_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(MlopsError, match="in no git repository") as error:
        find_repo(tmp_path)
    assert "git init" in error.value.hint


def test_a_linked_work_tree_shares_the_common_folder(clone: Path, tmp_path: Path) -> None:
    git(clone, "worktree", "add", "-q", str(tmp_path / "linked"))
    repo = find_repo(tmp_path / "linked")
    assert repo.common_dir == (clone / ".git").resolve()
    assert repo.head()[1] == "linked"


def test_a_bare_clone_is_found_and_read(clone: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(clone), "bare.git")
    repo = find_repo(tmp_path / "bare.git")
    assert repo.bare
    assert CommitTree(repo, repo.commit("main")).read("train.py") == b"print(1)\n"


def test_tree_ids_are_those_of_git(clone: Path) -> None:
    repo = find_repo(clone)
    tree = CommitTree(repo, repo.commit("HEAD"))
    files = {path: found for path in tree.files() if (found := tree.file(path))}
    assert tree_oid(files) == git(clone, "rev-parse", "HEAD^{tree}")


def test_working_tree_and_commit_agree_on_every_file(clone: Path) -> None:
    repo = find_repo(clone)
    disk, commit = WorkTree(repo, clone), CommitTree(repo, repo.commit("HEAD"))
    assert disk.files() == commit.files()
    assert [disk.file(path) for path in disk.files()] == [commit.file(path) for path in commit.files()]
    assert disk.tracked("train.py") and not disk.tracked("other.py")


def test_a_dirty_tree_and_a_detached_head_are_seen(clone: Path) -> None:
    repo = find_repo(clone)
    assert repo.head()[1:] == ("main", False)
    (clone / "train.py").write_text("print(2)\n")
    git(clone, "checkout", "-q", "--detach")
    assert repo.head()[1:] == ("", True)


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert find_repo(tmp_path).head()[0] == ""


def test_no_path_leaves_the_project(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (clone / "link").symlink_to(tmp_path / "secret")
    (clone / "linked").symlink_to(tmp_path)
    tree = WorkTree(find_repo(clone), clone)
    for path in ("../secret", "/etc/passwd", "link", "linked/secret", "src/../../secret", ""):
        assert tree.file(path) is None
        with pytest.raises(FileNotFoundError):
            tree.read(path)


def test_filters_monitors_and_hooks_of_the_repository_do_not_run(clone: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho trapped >> {tmp_path}/trapped\ncat\n")
    trap.chmod(0o755)
    (clone / ".gitattributes").write_text("*.py filter=trap diff=trap\n")
    for key in ("filter.trap.clean", "filter.trap.smudge", "core.fsmonitor", "diff.trap.textconv", "diff.external"):
        git(clone, "config", key, str(trap))
    for name in ("post-index-change", "fsmonitor-watchman"):
        hook = clone / ".git" / "hooks" / name
        hook.write_text(trap.read_text())
        hook.chmod(0o755)
    (clone / "train.py").write_text("print(3)\n")
    (tmp_path / "trapped").unlink(missing_ok=True)
    repo = find_repo(clone)
    assert repo.head()[2] is True
    WorkTree(repo, clone).files()
    CommitTree(repo, repo.commit("HEAD")).read("train.py")
    assert not (tmp_path / "trapped").exists()


def test_an_unknown_revision_is_said(clone: Path) -> None:
    with pytest.raises(MlopsError, match="'v9' is no commit"):
        find_repo(clone).commit("v9")


def test_a_large_file_is_hashed_once_and_again_when_it_changes(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = find_repo(clone)
    data = clone / "data.csv"
    data.write_bytes(b"1,2\n" * LARGE)
    # As if it had been written long ago: what was just written is never trusted.
    monkeypatch.setattr(statcache, "GRAIN_NS", 0)
    time.sleep(0.02)
    tree = WorkTree(repo, clone)
    first = tree.file("data.csv")
    assert first is not None and first.oid == git(clone, "hash-object", "data.csv")
    tree.remember()

    hashed: list[Path] = []

    def noted(path: Path, **how: Any) -> Hashes:
        hashed.append(path)
        return hash_once(path, **how)

    monkeypatch.setattr(statcache, "hash_once", noted)
    assert WorkTree(repo, clone).file("data.csv") == first and hashed == []

    before = data.stat()
    time.sleep(0.02)
    data.write_bytes(b"3,4\n" * LARGE)
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = WorkTree(repo, clone).file("data.csv")
    assert changed is not None and changed.oid == git(clone, "hash-object", "data.csv") != first.oid
    assert hashed == [data]


def test_a_large_file_that_was_just_written_is_hashed_each_time(clone: Path) -> None:
    repo = find_repo(clone)
    (clone / "data.csv").write_bytes(b"1,2\n" * LARGE)
    tree = WorkTree(repo, clone)
    tree.file("data.csv")
    tree.remember()
    assert StatCache(repo.common_dir / "mlops" / "blobs.json").get(clone / "data.csv") is None


def test_what_git_ignores_is_no_file_of_the_tree_and_what_is_new_is_untracked(clone: Path) -> None:
    (clone / ".gitignore").write_text("*.tmp\n")
    (clone / "a.tmp").write_text("")
    (clone / "new.py").write_text("")
    (clone / "train.py").unlink()
    tree = WorkTree(find_repo(clone), clone)
    assert tree.files() == [".gitignore", "new.py", "run.sh", "src/deep.py", "src/deep/model.py", "train.py"]
    assert tree.tracked("train.py") and not tree.tracked("new.py") and not tree.tracked("a.tmp")
    assert tree.file("train.py") is None


def test_ancestors_asked_together_are_those_asked_one_by_one(clone: Path) -> None:
    repo, tree = find_repo(clone), git(clone, "rev-parse", "HEAD^{tree}")
    first = git(clone, "rev-parse", "HEAD")
    second = git(clone, "commit-tree", tree, "-p", first, "-m", "x")
    git(clone, "update-ref", "HEAD", second)
    side = git(clone, "commit-tree", tree, "-p", first, "-m", "side")
    alone = git(clone, "commit-tree", tree, "-m", "alone")
    asked = [first, second, side, alone, tree, "0" * 40]
    assert repo.ancestors(asked) == {one for one in asked if repo.is_ancestor(one, "HEAD")} == {first, second}
    assert repo.ancestors([side]) == repo.ancestors([]) == repo.ancestors([first, second], "nothing") == set()


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_notes_are_found_in_every_fan_out_and_object_format(form: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", f"--object-format={form}")
    git(tmp_path, "config", "user.name", "Ada")
    git(tmp_path, "config", "user.email", "ada@example.com")
    (tmp_path / "line").write_text("{}")
    blob = git(tmp_path, "hash-object", "-w", "line")
    flat, fanned = "a" * len(blob), "b" * len(blob)
    for path in (flat, f"bb/{fanned[2:]}", "code/other", "bb/README"):
        git(tmp_path, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    git(tmp_path, "commit", "-qm", "notes")
    tip = git(tmp_path, "rev-parse", "HEAD")
    assert NotesLog(find_repo(tmp_path)).notes(tip) == {flat: blob, fanned: blob}
