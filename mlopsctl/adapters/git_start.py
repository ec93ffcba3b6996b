"""How git is started: without anything that a repository could make it run.

Apart from ``git`` because a remembered plan asks git again before anything heavy is imported.
"""

from __future__ import annotations

import os

HARDENED = (
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.untrackedCache=false",
    "-c", "core.quotePath=false",
    "-c", "submodule.recurse=false",
    "-c", "protocol.ext.allow=never",
)  # fmt: skip

_DROPPED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_COMMON_DIR", "GIT_NAMESPACE")

_QUESTIONS = ("cat-file", "for-each-ref", "ls-files", "ls-tree", "merge-base", "rev-parse", "status", "symbolic-ref")


def environment() -> dict[str, str]:
    """The environment of every git process."""
    found = {key: value for key, value in os.environ.items() if key not in _DROPPED}
    found.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C", GIT_PAGER="cat")
    # In a partial clone a missing object would be fetched by whatever program the repository names for that.
    found["GIT_NO_LAZY_FETCH"] = "1"
    return found


def is_question(args: tuple[str, ...]) -> bool:
    """Whether a git command only looks, so that asking it again does no harm; switches of git itself may come first."""
    words = list(args)
    while words[:1] == ["-c"]:
        del words[:2]
    if words == ["remote"] or words[:2] == ["config", "--name-only"]:
        return True
    return bool(words) and words[0] in _QUESTIONS
