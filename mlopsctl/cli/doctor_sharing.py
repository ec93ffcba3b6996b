"""The doctor on how the trail travels: settings of git that overwrite it, and what a plain ``git fetch`` brings."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .check import NOTE, OK, PROBLEM, Check

if TYPE_CHECKING:
    from ..adapters.git import Repo
    from ..adapters.gitconfig import Refspec, Setting


def sharing(repo: Repo) -> Iterator[Check]:
    """Dangerous refspecs, missing safe ones, settings that edit notes, and a history that a shallow fetch cut."""
    from ..adapters.gitconfig import dangerous, is_safe, rewriting, safe_refspec, settings

    found = settings(repo)
    bad = dangerous(found)
    for spec in bad:
        yield _overwrites(spec)
    for one in rewriting(found):
        yield _edits(one)
    mending = {spec.remote for spec in bad if spec.direction == "fetch"}
    for remote in repo.remotes():
        if remote in mending:
            continue
        name = f"refspec {remote}"
        if is_safe(remote, found):
            yield Check(name, OK, "git fetch brings the trail beside this clone's")
            continue
        fix = f"git config --add remote.{remote}.fetch {shlex.quote(safe_refspec(remote))}"
        text = "a plain git fetch does not bring the trail; mlopsctl pull does"
        yield Check(name, NOTE, text, fix)
    yield from _shallow(repo)


def _overwrites(spec: Refspec) -> Check:
    from ..adapters.gitconfig import safe_refspec

    mend = f"git config {_scope(spec.scope)}--unset-all --fixed-value {spec.key} {shlex.quote(spec.text)}"
    if spec.direction == "push":
        text = f"{spec.key} = {spec.text}: git push overwrites what others signed on '{spec.remote}'"
        return Check(f"refspec {spec.remote}", PROBLEM, text, mend)
    what = "overwrites entries that are not pushed yet" if spec.forced else "takes entries in that nobody verified"
    text = f"{spec.key} = {spec.text}: every git fetch {what}"
    fix = f"{mend} && git config --add {spec.key} {shlex.quote(safe_refspec(spec.remote))}"
    return Check(f"refspec {spec.remote}", PROBLEM, text, fix)


def _edits(one: Setting) -> Check:
    fix = f"git config {_scope(one.scope)}--unset-all --fixed-value {one.key} {shlex.quote(one.value)}"
    if one.key == "core.notesref":
        return Check("notes", PROBLEM, "core.notesRef is the trail: git notes add would write into it", fix)
    text = f"notes.rewriteRef = {one.value}: git commit --amend and rebase copy entries to commits they are not about"
    return Check("notes", PROBLEM, text, fix)


def _shallow(repo: Repo) -> Iterator[Check]:
    from ..adapters.notes import NotesLog

    if not (repo.common_dir / "shallow").exists():
        return
    if NotesLog(repo).is_cut():
        text = "a shallow fetch cut the history of the notes; all entries are here, what commits took away is unseen"
        yield Check("shallow", NOTE, text, "mlopsctl pull --trail-only")
    else:
        yield Check("shallow", OK, "a shallow clone; its trail is whole")


def _scope(scope: str) -> str:
    return f"--{scope} " if scope in ("global", "system", "worktree") else ""
