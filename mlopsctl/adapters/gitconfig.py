"""What git's configuration says that matters to the trail: who may overwrite it, and what fetching it would run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from .git import Repo, git

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
