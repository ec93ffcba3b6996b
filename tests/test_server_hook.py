"""templates/hooks/update on a real bare repository, pushed to by real git: the trail only grows."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mlopsctl.audit.sharing import pull_trail, push_trail
from mlopsctl.errors import NotSharedError
from mlopsctl.resources import data_dir
from tests.audit.clone import Clone, Notes, append, clone_of, ids, result, run
from tests.audit.conftest import one, origin, two

__all__ = ["one", "origin", "two"]
REF = "refs/notes/mlops"


@pytest.fixture
def guarded(one: Clone, origin: Path) -> Clone:
    """A clone with three results, pushed to a server that has the hook."""
    install(origin)
    for name in ("first", "middle", "last"):
        one.train(name)
    push_trail(one.trail, "origin")
    return one


def install(origin: Path) -> None:
    shutil.copy(data_dir("templates") / "hooks" / "update", origin / "hooks" / "update")
    assert os.access(origin / "hooks" / "update", os.X_OK)


def push(clone: Clone, *args: str) -> str:
    """Git's and the server's words for a push that has to be refused."""
    before = run(clone.folder, "ls-remote", "origin", REF)
    words = ["git", "push", "--porcelain", *args]
    done = subprocess.run(words, cwd=clone.folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "hook declined" in done.stdout, done.stdout + done.stderr
    assert run(clone.folder, "ls-remote", "origin", REF) == before
    assert not list(Path(clone.folder.parent, "origin.git").rglob("tmp*"))
    return done.stderr


def test_normal_pushes_of_two_clones_pass(guarded: Clone, two: Clone) -> None:
    from .audit.test_trail import code_of

    pull_trail(two.trail, "origin")
    commit = run(two.folder, "rev-parse", "HEAD")
    for turn in range(3):
        append(guarded, f"a{turn}", commit)
        two.trail.append("result", **result(f"b{turn}"), commit=commit, code=code_of({"t.py": b"%d\n" % turn}))
        push_trail(guarded.trail, "origin")
        push_trail(two.trail, "origin")
    pull_trail(guarded.trail, "origin")
    assert ids(guarded) == ids(two) and guarded.verdict(full=True).ok


def test_other_refs_are_not_looked_at(guarded: Clone) -> None:
    run(guarded.folder, "push", "-q", "origin", "HEAD:refs/heads/x", "HEAD:refs/notes/other")
    run(guarded.folder, "push", "-q", "--force", "origin", "HEAD~1:refs/heads/x", ":refs/notes/other")


def test_an_older_ref_is_refused(guarded: Clone) -> None:
    assert "older or unrelated" in push(guarded, "--force", "origin", f"{REF}~1:{REF}")


def test_a_deletion_is_refused(guarded: Clone) -> None:
    assert "deletes the trail" in push(guarded, "origin", f":{REF}")


def test_an_orphan_with_the_same_lines_is_refused(guarded: Clone) -> None:
    guarded.tamper(lambda notes: None)
    assert "unrelated" in push(guarded, "--force", "origin", REF)


@pytest.mark.parametrize("how", ["drop", "change", "empty", "remove"])
def test_a_line_that_is_dropped_or_changed_is_refused(guarded: Clone, how: str) -> None:
    note = guarded.trail.entries()[2].commit
    run(guarded.folder, "update-ref", REF, guarded_with_two_lines(guarded, note))
    run(guarded.folder, "push", "-q", "origin", REF)

    def change(notes: Notes) -> None:
        if how == "drop":
            del notes[note][0]
        elif how == "change":
            notes[note][0] = notes[note][0].replace(b"}", b"} ")
        else:
            notes[note] = [] if how == "remove" else [b""]

    guarded.tamper(change, orphan=False)
    said = push(guarded, "origin", REF)
    assert note in said and "remove" in said


def guarded_with_two_lines(clone: Clone, note: str) -> str:
    append(clone, "more", note)
    clone.trail.flush()
    # ``tamper`` writes no code, flat notes: an honest commit in that form, which moves notes to another fan-out.
    clone.tamper(lambda notes: None, orphan=False)
    return run(clone.folder, "rev-parse", REF)


def test_reordered_lines_and_another_fan_out_pass(guarded: Clone) -> None:
    note = guarded.trail.entries()[2].commit
    guarded_with_two_lines(guarded, note)
    guarded.tamper(lambda notes: notes[note].reverse(), orphan=False)
    run(guarded.folder, "push", "-q", "origin", REF)


def test_git_notes_prune_is_refused(guarded: Clone) -> None:
    run(guarded.folder, "reset", "-q", "--hard", "HEAD~1")
    run(guarded.folder, "reflog", "expire", "--expire=now", "--all")
    run(guarded.folder, "gc", "-q", "--prune=now")
    run(guarded.folder, "notes", "--ref", "mlops", "prune")
    assert "removes the note" in push(guarded, "origin", REF)


@pytest.mark.parametrize("path", ["README.md", "code.txt", "aa/bb/cc/dd", '"quoted"', "code/x/y", "new\nline"])
def test_a_path_that_is_no_note_is_refused(guarded: Clone, path: str) -> None:
    commit_with(guarded, path, "100644")
    said = push(guarded, "origin", REF)
    assert "neither a note" in said or "not hold the code" in said


@pytest.mark.parametrize("mode", ["120000", "100755"])
def test_a_note_that_is_no_plain_file_is_refused(guarded: Clone, mode: str) -> None:
    commit_with(guarded, "0" * 40, mode)
    assert "no plain file" in push(guarded, "origin", REF)


def test_kept_code_is_neither_changed_nor_taken_out(guarded: Clone) -> None:
    from .audit.test_trail import code_of

    code = code_of({"train.py": b"print(1)\n"})
    guarded.trail.append("result", **result("coded"), commit=guarded.commit(), code=code)
    push_trail(guarded.trail, "origin")
    good = run(guarded.folder, "rev-parse", REF)
    commit_with(guarded, f"code/{code.oid}/train.py", "100644")
    assert "does not hold the code" in push(guarded, "origin", REF)
    run(guarded.folder, "update-ref", REF, good)
    commit_with(guarded, f"code/{'0' * 40}/train.py", "100644")
    assert "does not hold the code" in push(guarded, "origin", REF)
    run(guarded.folder, "update-ref", REF, good)
    commit_with(guarded, "", "", drop=f"code/{code.oid}/train.py")
    assert "takes code/" in push(guarded, "origin", REF)


def commit_with(clone: Clone, path: str, mode: str, drop: str = "") -> None:
    """A commit on top of the trail with one file more, or one less."""
    environment = {**os.environ, "GIT_INDEX_FILE": str(clone.folder / ".git" / "other-index")}
    blob = run(clone.folder, "hash-object", "-w", "--stdin", data=b"x\n")
    line = f"0 {'0' * 40}\t{drop}\0" if drop else f"{mode} {blob}\t{path}\0"
    for words, data in ((["read-tree", REF], ""), (["update-index", "-z", "--index-info"], line)):
        subprocess.run(["git", *words], cwd=clone.folder, env=environment, input=data.encode(), check=True)
    done = subprocess.run(["git", "write-tree"], cwd=clone.folder, env=environment, capture_output=True, check=True)
    commit = run(clone.folder, "commit-tree", done.stdout.decode().strip(), "-p", REF, "-m", "x")
    run(clone.folder, "update-ref", REF, commit)


def test_a_tag_or_tree_is_no_trail(guarded: Clone) -> None:
    said = push(guarded, "--force", "origin", f"{REF}^{{tree}}:{REF}")
    assert "is no commit" in said


def test_mlopsctl_says_the_servers_words_and_tries_once(guarded: Clone) -> None:
    commit_with(guarded, "README.md", "100644")
    with pytest.raises(NotSharedError) as caught:
        push_trail(guarded.trail, "origin")
    assert caught.value.code == "MLO8011"
    assert "README.md is neither a note nor kept code" in caught.value.message


def test_the_first_push_is_looked_at_too(tmp_path: Path, origin: Path) -> None:
    install(origin)
    clone = Clone.start(tmp_path / "new")
    run(clone.folder, "remote", "add", "origin", str(origin))
    good = run(clone.folder, "rev-parse", REF)
    commit_with(clone, "README.md", "100644")
    assert "neither a note" in push(clone, "origin", REF)
    run(clone.folder, "update-ref", REF, good)
    push_trail(clone.trail, "origin")
    fresh = clone_of(origin, tmp_path / "fresh", clone)
    pull_trail(fresh.trail, "origin")
    assert ids(fresh) == ids(clone)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_it_is_plain_posix_shell(shell: str) -> None:
    path = shutil.which(shell)
    words = [path, *(["--posix"] if shell == "bash" else [])]
    if path is None:
        pytest.fail(f"{shell} is not installed")
    hook = data_dir("templates") / "hooks" / "update"
    assert subprocess.run([*map(str, words), "-n", str(hook)], check=False).returncode == 0
