"""What git's configuration says that matters to the trail: who may overwrite it, and what fetching it would run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from .git import Repo, git
from .notes import REF, tracking_ref

OWN = ("local", "worktree")
"""Scopes that lie in the repository itself, and come with it when it is unpacked or copied."""

# What git starts, or writes, because a key of this name says so, when it fetches or pushes. Hooks, fsmonitor, ext:: and
# the background clean-up are switched off by us (git.py, transfer.py) and need no refusal.
_RUNS = re.compile(
    r"core\.(sshcommand|gitproxy|askpass|alternaterefscommand)"
    r"|remote\..*\.(uploadpack|receivepack|vcs)"
    r"|credential(\..*)?\.helper"
    r"|http(\..*)?\.(cookiefile|savecookies)"
    r"|protocol(\..*)?\.allow|fetch\.bundleuri",
    re.DOTALL,
)
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")


class Setting(NamedTuple):
    """One line of configuration; ``key`` as git spells it, ``scope`` system, global, local, worktree or command."""

    key: str
    value: str
    scope: str = "local"
    origin: str = ""


class Refspec(NamedTuple):
    """``remote.NAME.fetch`` or ``push``: what is copied where, and whether what stands there is overwritten."""

    remote: str
    direction: str
    text: str
    scope: str

    @property
    def key(self) -> str:
        return f"remote.{self.remote}.{self.direction}"

    @property
    def forced(self) -> bool:
        return self.text.startswith("+")

    def to(self, ref: str) -> str:
        """Where ``ref`` would go, "" for nowhere."""
        source, _, target = self.text.removeprefix("+").partition(":")
        if source.startswith("^") or not source:
            return ""
        if "*" not in source:
            return (target or (source if self.direction == "push" else "")) if source == ref else ""
        before, _, behind = source.partition("*")
        if not ref.startswith(before) or not ref.endswith(behind) or len(ref) < len(before) + len(behind):
            return ""
        return target.replace("*", ref[len(before) : len(ref) - len(behind)], 1)

    def onto(self, ref: str) -> bool:
        """Whether something could be written onto ``ref``."""
        return fnmatchcase(ref, _glob(self.text.partition(":")[2]))


def _glob(pattern: str) -> str:
    # A refspec knows the star only.
    return re.sub(r"[\[?]", r"[\g<0>]", pattern)


def settings(repo: Repo) -> list[Setting]:
    """All of git's configuration here, includes followed, in the order in which git reads it."""
    listed = git(repo.root, "config", "--list", "--show-scope", "--show-origin", "-z", "--includes").stdout
    words = listed.decode(errors="replace").split("\0")
    found = []
    for scope, origin, line in zip(words[0::3], words[1::3], words[2::3], strict=False):
        key, _, value = line.partition("\n")
        found.append(Setting(key, value, scope, origin.removeprefix("file:")))
    return found


def refspecs(found: list[Setting]) -> Iterator[Refspec]:
    """Every refspec of every remote."""
    for one in found:
        head, _, direction = one.key.rpartition(".")
        if head.startswith("remote.") and direction in ("fetch", "push") and ":" in one.value:
            yield Refspec(head.removeprefix("remote."), direction, one.value, one.scope)


def programs(repo: Repo, remote: str) -> list[Setting]:
    """What the repository's own configuration would have git run, or write, when it talks to ``remote``."""
    own = [one for one in settings(repo) if one.scope in OWN]
    # An empty helper runs nothing: it forgets those named before.
    found = [one for one in own if _RUNS.fullmatch(one.key) and (one.value or not one.key.endswith(".helper"))]
    for words in (("get-url", remote), ("get-url", "--push", remote)):
        done = git(repo.root, "remote", *words, check=False)
        url = done.stdout.decode(errors="replace").strip()
        if _HELPER.match(url):
            key = next((one.key for one in own if one.key.startswith("url.")), f"remote.{remote}.url")
            found.append(Setting(key, url))
    return list(dict.fromkeys(found))


def safe_refspec(remote: str) -> str:
    """The line under which a plain ``git fetch`` brings the remote's trail beside ours.

    With a star, because git calls a ref that is named in full and not there an error: every fetch would fail until
    somebody has pushed a trail.
    """
    return f"+{REF}*:{tracking_ref(remote)}*"


def is_safe(remote: str, found: list[Setting]) -> bool:
    """Whether a plain fetch from ``remote`` brings its trail where we look for it."""
    specs = [spec for spec in refspecs(found) if (spec.remote, spec.direction) == (remote, "fetch")]
    return any(spec.to(REF) == tracking_ref(remote) for spec in specs)


def set_safe_refspec(repo: Repo) -> list[str]:
    """Adds the safe line for every remote that lacks it, and takes nothing away; the remotes it was added for."""
    found = settings(repo)
    lacking = [remote for remote in repo.remotes() if not is_safe(remote, found)]
    for remote in lacking:
        repo.git("config", "--local", "--add", f"remote.{remote}.fetch", safe_refspec(remote))
    return lacking


def dangerous(found: list[Setting]) -> list[Refspec]:
    """Refspecs under which a plain fetch writes onto our own ref, or a plain push overwrites the remote's."""
    return [
        spec
        for spec in refspecs(found)
        if (spec.onto(REF) if spec.direction == "fetch" else spec.forced and spec.onto(REF))
    ]


def rewriting(found: list[Setting]) -> list[Setting]:
    """Settings by which git itself edits the trail's notes: when a commit is rewritten, or a note is added."""
    return [
        one
        for one in found
        if (one.key == "notes.rewriteref" and fnmatchcase(REF, _glob(one.value)))
        or (one.key == "core.notesref" and one.value == REF)
    ]
