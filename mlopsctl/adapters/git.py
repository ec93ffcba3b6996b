"""Git: finding the repository, running git without its side effects, and the files of a tree.

A repository may be hostile. Its hooks, fsmonitor, filters, external diffs and submodules are therefore never
run: everything here is read with the switches below, and file contents are read and hashed without git.
"""

from __future__ import annotations

import os
import re
import subprocess
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MlopsError
from ..gitobjects import object_id
from ..types import TreeFile
from . import watch
from .files import plain_file
from .git_start import HARDENED, environment

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from .statcache import StatCache

LARGE = 1 << 16
"""Bytes from which a file is not read again while its stat is unchanged."""


class GitError(MlopsError):
    """Git itself said no; the message carries git's words."""

    code = "MLO1001"


def git(folder: Path, *args: str, data: bytes | None = None, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Runs git in ``folder``. Raises GitError when it fails and ``check`` is set."""
    try:
        done = subprocess.run(
            ["git", *HARDENED, *args],
            cwd=folder,
            env=environment(),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise MlopsError(
            "git is not installed", hint="install git 2.30 or newer, for example: apt-get install git", code="MLO1002"
        ) from None
    watch.ran(folder, args, data, done.returncode, done.stdout)
    if check and done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"
        raise GitError(f"git {args[0]} failed: {words}", hint=_hint(words))
    return done


def _hint(words: str) -> str:
    if "dubious ownership" in words:
        return "the repository belongs to another user: git config --global --add safe.directory PATH"
    if "Read-only file system" in words or "Permission denied" in words:
        return "the repository is not writable for you: check its owner and mount"
    if "No space left" in words:
        return "the disk is full: free some space and run the command again"
    return ""


@dataclass(frozen=True)
class Repo:
    """A git repository: ``root`` is the top of the working tree (the repository itself where it is bare)."""

    root: Path
    git_dir: Path
    common_dir: Path
    bare: bool = False

    def git(self, *args: str, data: bytes | None = None) -> bytes:
        """Standard output of a git command run in this repository. Raises GitError."""
        return git(self.root, *args, data=data).stdout

    def rev(self, name: str) -> str:
        """The object id that ``name`` stands for, or "" where there is none."""
        done = git(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", name, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    def on_default_branch(self, path: str) -> bytes:
        """The file at the repository's root as the default branch of ``origin`` was last fetched; b"" for none.

        What is checked out, or under review, has no say in it.
        """
        done = git(self.root, "cat-file", "blob", f"refs/remotes/origin/HEAD:{path}", check=False)
        return done.stdout if done.returncode == 0 else b""

    def author(self, commit: str) -> tuple[str, str]:
        """Name and e-mail address of a commit's author, ("", "") for a commit that is not here."""
        done = git(
            self.root, "log", "-1", "--no-mailmap", "--format=%an%x00%ae", "--end-of-options", commit, check=False
        )
        name, _, address = done.stdout.decode(errors="replace").rstrip("\n").partition("\0")
        return name, address

    def commit(self, name: str) -> str:
        """The commit that ``name`` stands for. Raises MlopsError where there is none."""
        found = self.rev(name + "^{commit}")
        if not found:
            raise MlopsError(
                f"'{name}' is no commit of this repository",
                hint="git log --oneline shows commits; in a shallow clone: git fetch --unshallow",
                code="MLO1003",
            )
        return found

    @cached_property
    def _without_filters(self) -> tuple[str, ...]:
        """Switches that turn off every content filter the repository's own configuration defines."""
        texts = [p.read_bytes() for p in (self.common_dir / "config", self.git_dir / "config.worktree") if p.is_file()]
        if not any(b"[filter" in text.lower() or b"[include" in text.lower() for text in texts):
            return ()
        listed = git(self.root, "config", "--name-only", "-z", "--get-regexp", r"^filter\.", check=False)
        drivers = {key.rsplit(".", 1)[0] for key in listed.stdout.decode(errors="replace").split("\0") if key}
        return tuple(
            word
            for driver in sorted(drivers)
            for key, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
            for word in ("-c", f"{driver}.{key}={value}")
        )

    def line_counts(self, old: str, new: str = "") -> dict[str, tuple[int, int]]:
        """Lines added and removed of each text file between two commits, or a commit and the working tree."""
        listed = git(
            self.root, *self._without_filters, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff",
            "--no-textconv", "--ignore-submodules=all", old, *([new] if new else []), "--", check=False,
        ).stdout.decode(errors="surrogateescape")  # fmt: skip
        rows = (line.split("\t", 2) for line in listed.split("\0") if line.count("\t") >= 2)
        return {name: (int(added), int(removed)) for added, removed, name in rows if added != "-"}

    def head(self) -> tuple[str, str, bool]:
        """Commit of HEAD ("" before the first), branch ("" when detached), and whether tracked files differ."""
        if self.bare:
            return *self.where(), False
        listed = self.git(
            *self._without_filters, "status", "--porcelain=v2", "--branch", "-z",
            "--untracked-files=no", "--ignore-submodules=all", "--no-renames",
        ).decode(errors="replace")  # fmt: skip
        commit = branch = ""
        dirty = False
        for line in listed.split("\0"):
            if line.startswith("# branch.oid "):
                commit = line[13:] if line[13:] != "(initial)" else ""
            elif line.startswith("# branch.head "):
                branch = line[14:] if line[14:] != "(detached)" else ""
            elif line and not line.startswith("#"):
                dirty = True
        return commit, branch, dirty

    def where(self) -> tuple[str, str]:
        """Commit of HEAD and the branch checked out; "" before the first commit, and where HEAD is detached."""
        if found := self._where_by_files():
            return found
        done = git(self.root, "rev-parse", "HEAD", "--symbolic-full-name", "HEAD", check=False)
        commit, _, name = done.stdout.decode(errors="replace").strip().partition("\n")
        return (
            (commit, name.removeprefix("refs/heads/") if name != "HEAD" else "") if done.returncode == 0 else ("", "")
        )

    def _where_by_files(self) -> tuple[str, str] | None:
        """The same without a process, where the branch is a file of its own; None where git has to be asked."""
        try:
            kind, _, name = (self.git_dir / "HEAD").read_text().strip().partition("ref: refs/heads/")
            commit = kind or (self.common_dir / "refs" / "heads" / name).read_text().strip()
        except (OSError, ValueError):
            return None
        return (commit, name) if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit) else None

    def default_branch(self) -> str:
        """The branch that ``origin`` calls its own; without that ``main`` or ``master``, and "" where neither exists."""
        done = git(self.root, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD", check=False)
        if done.returncode == 0:
            return done.stdout.decode(errors="replace").strip().removeprefix("refs/remotes/origin/")
        return next((name for name in ("main", "master") if self.rev(f"refs/heads/{name}")), "")

    def branches_with(self, commit: str) -> list[str]:
        """The branches, here and as fetched from ``origin``, that hold a commit."""
        listed = self.git(
            "for-each-ref", "--contains", commit, "--format=%(refname)", "refs/heads", "refs/remotes/origin"
        )
        names = listed.decode(errors="replace").split()
        return sorted({name.removeprefix("refs/heads/").removeprefix("refs/remotes/origin/") for name in names})

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether ``new`` is ``old`` or descends from it; False where either commit is not here."""
        return git(self.root, "merge-base", "--is-ancestor", old, new, check=False).returncode == 0

    def ancestors(self, commits: Collection[str], new: str = "HEAD") -> set[str]:
        """Those of the commits that ``is_ancestor`` says yes to, asked together."""
        if len(commits) < 2:
            return {commit for commit in commits if self.is_ancestor(commit, new)}
        listed = self.git("cat-file", "--batch-check=%(objectname) %(objecttype)", data="\n".join(commits).encode())
        here = {line.split()[0].decode() for line in listed.splitlines() if line.endswith(b" commit")}
        asked = "".join(f"{commit}\n" for commit in here) + f"^{new}\n"
        done = git(self.root, "rev-list", "--stdin", data=asked.encode(), check=False)
        return here - set(done.stdout.decode().split()) if done.returncode == 0 else set()

    def remotes(self) -> list[str]:
        """Names of the configured remotes; ``origin`` first."""
        names = self.git("remote").decode().split()
        return sorted(names, key=lambda name: (name != "origin", name))


def find_repo(start: Path) -> Repo:
    """The repository that ``start`` lies in, bare ones too. Raises MlopsError where there is none."""
    start = start.resolve()
    for folder in (start, *start.parents):
        marker = folder / ".git"
        if marker.is_dir():
            return Repo(folder, marker, marker)
        if marker.is_file():
            git_dir = _linked(marker)
            return Repo(folder, git_dir, _common(git_dir))
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
            return Repo(folder, folder, folder, bare=True)
    raise MlopsError(
        f"{start} is in no git repository",
        hint="git init && mlopsctl init, or use -C to name the project's folder",
        code="MLO1004",
    )


def _linked(marker: Path) -> Path:
    """The git folder that a ``.git`` file of a worktree or submodule points to."""
    text = marker.read_text(encoding="utf-8", errors="replace").strip()
    if not text.startswith("gitdir:"):
        raise MlopsError(f"{marker} is no git folder", hint="git status says what is wrong", code="MLO1004")
    return (marker.parent / text[7:].strip()).resolve()


def _common(git_dir: Path) -> Path:
    pointer = git_dir / "commondir"
    return (git_dir / pointer.read_text().strip()).resolve() if pointer.is_file() else git_dir


class WorkTree:
    """The files below ``folder`` as they lie on disk; links count as absent, so no path leaves the project.

    Each file is looked at once. Ids of large ones are remembered between commands, in the repository's mlops folder.
    """

    def __init__(self, repo: Repo, folder: Path):
        self.repo = repo
        self.folder = folder
        self._seen: dict[str, TreeFile | None] = {}

    @cached_property
    def _listing(self) -> dict[str, bool]:
        """Every path that git does not ignore, and whether the index holds it."""
        listed = git(self.folder, "ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard").stdout
        lines = listed.decode(errors="surrogateescape").split("\0")
        return {line[2:]: line[0] != "?" for line in lines if line}

    @cached_property
    def _memory(self) -> StatCache:
        from .statcache import StatCache

        return StatCache(self.repo.common_dir / "mlops" / "blobs.json")

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._listing)

    def files(self) -> Sequence[str]:
        return self._sorted

    def names(self) -> Collection[str]:
        return self._listing.keys()

    def tracked(self, path: str) -> bool:
        """Whether git's index holds the file."""
        return self._listing.get(path, False)

    def file(self, path: str) -> TreeFile | None:
        if path not in self._seen:
            self._seen[path] = self._look(path)
        return self._seen[path]

    def _look(self, path: str) -> TreeFile | None:
        on_disk = plain_file(self.folder, path)
        if on_disk is None:
            return None
        mode = "100755" if os.access(on_disk, os.X_OK) else "100644"
        with open(on_disk, "rb") as stream:
            start = stream.read(LARGE)
        if b"\r\n" in start:
            self._refuse_rewritten(path, on_disk)
        if len(start) < LARGE:
            return TreeFile(mode, object_id("blob", start))
        return TreeFile(mode, self._memory.blob(on_disk))

    @cached_property
    def _writes_crlf(self) -> bool:
        said = git(self.folder, "config", "--type=bool", "--get", "core.autocrlf", check=False).stdout
        return said.strip() == b"true"

    def _refuse_rewritten(self, path: str, on_disk: Path) -> None:
        """Raises MlopsError for a file that git itself gave other line ends than its index has.

        To git it is unchanged. To everything else it is another file, and all that is made from it would be made again.
        """
        if not self._writes_crlf or not self.tracked(path):
            return
        indexed = git(self.folder, "--literal-pathspecs", "ls-files", "-s", "-z", "--", path).stdout.split()
        body = on_disk.read_bytes()
        if len(indexed) > 1 and indexed[1].decode() == object_id("blob", body.replace(b"\r\n", b"\n")):
            raise MlopsError(
                f"{path} has other line ends here than in git: core.autocrlf made each of them CRLF",
                hint="commit what you changed, then: git config core.autocrlf input && git rm -rq --cached . "
                "&& git reset -q --hard",
                code="MLO1009",
            )

    def remember(self) -> None:
        """Keeps the ids of large files for the next command."""
        if "_memory" in self.__dict__:
            self._memory.save()

    def read(self, path: str, most: int | None = None) -> bytes:
        with open(self.open_path(path), "rb") as stream:
            return stream.read(-1 if most is None else most)

    def open_path(self, path: str) -> Path:
        on_disk = plain_file(self.folder, path)
        if on_disk is None:
            raise FileNotFoundError(path)
        return on_disk


class Blobs:
    """Reads blobs through one ``git cat-file --batch``, which is started by the first and ends with this object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _process(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            ["git", *HARDENED, "cat-file", "--batch"],
            cwd=self._folder,
            env=environment(),
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, process)
        return process

    def read(self, oid: str) -> bytes:
        """The bytes of a blob. Raises GitError where the repository does not hold it, as a partial clone may not."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
        try:
            process.stdin.write(oid.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise _missing(oid) from None
        head = process.stdout.readline().split()
        if len(head) != 3 or head[1] != b"blob":
            raise _missing(oid)
        body = process.stdout.read(int(head[2]) + 1)
        if len(body) != int(head[2]) + 1:
            raise _missing(oid)
        return body[:-1]


def _missing(oid: str) -> GitError:
    return GitError(f"git cannot read blob {oid[:12]}", hint="git fsck; in a partial clone: git fetch --refetch")


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()


class CommitTree:
    """The files below ``prefix`` of one commit; needs no working tree."""

    def __init__(self, repo: Repo, commit: str, prefix: str = ""):
        self.repo = repo
        self.commit = commit
        self.prefix = prefix

    @cached_property
    def _listing(self) -> dict[str, TreeFile]:
        where = f"{self.commit}:{self.prefix.rstrip('/')}" if self.prefix else self.commit
        found = {}
        for line in self.repo.git("ls-tree", "-r", "-z", where).split(b"\0"):
            if line:
                head, _, name = line.partition(b"\t")
                mode, kind, oid = head.decode().split()
                if kind == "blob" and mode != "120000":
                    found[name.decode(errors="surrogateescape")] = TreeFile(mode, oid)
        return found

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._listing)

    def files(self) -> Sequence[str]:
        return self._sorted

    def names(self) -> Collection[str]:
        return self._listing.keys()

    def tracked(self, path: str) -> bool:
        return path in self._listing

    def file(self, path: str) -> TreeFile | None:
        return self._listing.get(path)

    def read(self, path: str, most: int | None = None) -> bytes:
        found = self.file(path)
        if found is None:
            raise FileNotFoundError(path)
        return self._blobs.read(found.oid)[:most]

    @cached_property
    def _blobs(self) -> Blobs:
        return Blobs(self.repo.root)

    def open_path(self, path: str) -> Path:
        body = self.read(path)
        if object_id("blob", body) != self._listing[path].oid:
            raise GitError(f"git returned other bytes than {path} has", hint="git fsck")
        copy = Path(self._copies.name) / self._listing[path].oid
        copy.write_bytes(body)
        return copy

    @cached_property
    def _copies(self) -> TemporaryDirectory[str]:
        """Lives as long as this tree does."""
        from tempfile import TemporaryDirectory

        return TemporaryDirectory(prefix="mlopsctl-")
