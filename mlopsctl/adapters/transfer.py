"""One ref over the wire: fetched whole beside ours, pushed alone, and what git's answers mean.

Measured on git 2.39, and why each switch is there:

* Named on the command line, a ref is still written where ``remote.*.fetch`` says too: ``+refs/notes/*:refs/notes/*``
  would overwrite our ref while we fetch beside it. ``--refmap=`` forgets those lines.
* A partial clone filters what it fetches: the notes would come without their lines. ``--no-filter``.
* From a remote that is itself shallow, git takes nothing and says nothing. ``--update-shallow``: every commit of the
  notes holds all entries, so what comes is whole but for its history.
* ``push.followTags``, ``remote.*.mirror``, submodules and signed pushes would push or run more than was asked for.
"""

from __future__ import annotations

from ..errors import NotSharedError
from .git import Repo, git

_FETCH = (
    "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--refmap=", "--no-prune",
    "--no-filter", "--no-auto-maintenance", "--no-write-commit-graph", "--update-shallow",
)  # fmt: skip
_PUSH = (
    "push", "--porcelain", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed",
)  # fmt: skip
_WHOLE = "--depth=2147483646"
"""One less than git's own infinity, which would deepen every branch and not only the ref that is fetched."""

# The reasons in brackets behind [rejected] and [remote rejected] by which somebody else was faster.
_FASTER = (
    "fetch first", "non-fast-forward", "stale info", "failed to lock", "cannot lock ref", "failed to update ref",
    "incorrect old value provided", "reference already exists",
)  # fmt: skip


def fetch_ref(repo: Repo, remote: str, ref: str, track: str) -> bool:
    """Fetches ``ref`` of the remote, history and objects whole, into ``track``; False where the remote has none.

    Raises NotSharedError (MLO8001) where the remote can't be reached or refuses.
    """
    refspec = f"+{ref}:{track}"
    if not _fetched(repo, remote, refspec):
        return False
    if is_cut(repo, track):
        # Somebody fetched it with --depth. That cuts no entry off, but what commits did to the notes is unseen.
        _fetched(repo, remote, refspec, _WHOLE)
    if lacks_objects(repo, track):
        _fetched(repo, remote, refspec, "--refetch")
    return True


def _fetched(repo: Repo, remote: str, refspec: str, *more: str) -> bool:
    done = git(repo.root, *_FETCH, *more, "--", remote, refspec, check=False)
    if done.returncode == 0:
        return True
    words = printable(done.stderr)
    if "couldn't find remote ref" in words:
        return False
    raise NotSharedError(
        f"the trail could not be fetched from '{remote}': {words or 'git says nothing about it'}",
        hint=f"git fetch {remote} shows whether the remote can be reached; --offline works without it",
        code="MLO8001",
    )


def push_ref(repo: Repo, remote: str, commit: str, ref: str) -> str:
    """Pushes one commit onto one ref: "" once it is there, git's words where somebody was faster.

    Raises NotSharedError: MLO8011 where the server refuses for good, MLO8002 where it can't be reached.
    """
    done = git(
        repo.root, "-c", f"remote.{remote}.mirror=false", *_PUSH, "--", remote, f"{commit}:{ref}", check=False
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    verdict = next((line for line in printable(done.stdout).splitlines() if line.startswith("!")), "")
    words = "\n".join(text for text in (verdict.replace("\t", " "), printable(done.stderr)) if text)
    if not verdict or "[remote failure]" in verdict or "(unpacker error)" in verdict:
        raise NotSharedError(
            f"the trail could not be pushed to '{remote}': {words or 'git says nothing about it'}",
            hint="everything is kept here; mlopsctl push --trail-only tries again",
            code="MLO8002",
        )
    if any(f"({reason}" in verdict for reason in _FASTER):
        return words
    raise NotSharedError(
        f"'{remote}' refuses the trail, and would again: {words}",
        hint="everything is kept here; settle with whoever runs the server what its words mean, then mlopsctl push",
        code="MLO8011",
    )


def is_cut(repo: Repo, ref: str) -> bool:
    """Whether the history of ``ref`` ends in a shallow clone's boundary."""
    try:
        boundary = set((repo.common_dir / "shallow").read_text(encoding="ascii").split())
    except (OSError, UnicodeError):
        return False
    listed = git(repo.root, "rev-list", "--end-of-options", ref, check=False)
    return bool(boundary) and not boundary.isdisjoint(listed.stdout.decode().split())


def lacks_objects(repo: Repo, ref: str) -> bool:
    """Whether a partial clone lacks objects of ``ref``."""
    done = git(repo.root, "config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$", check=False)
    if done.returncode != 0:
        return False
    listed = git(repo.root, "rev-list", "--objects", "--missing=print", "--end-of-options", ref, check=False)
    return any(line.startswith(b"?") for line in listed.stdout.splitlines())


def printable(words: bytes) -> str:
    """What a server said, without what a terminal would obey."""
    text = words.decode(errors="replace").strip()
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
