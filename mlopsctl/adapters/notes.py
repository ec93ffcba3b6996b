"""The trail's home: ``refs/notes/mlops``, one note an object, one entry a line; and how it travels.

Stock git reads it (``git notes --ref mlops show``). ``git notes append`` is never used: 20 writers at once kept 1 of
20 entries. Code trees of results lie beside the notes as ``code/<tree-oid>/``, so that one fetched ref carries them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EvidenceError
from ..gitobjects import object_id
from ..types import TreeFile
from .git import GitError, Repo, git

if TYPE_CHECKING:
    from .objects import TreeEdit

REF = "refs/notes/mlops"
_NOTE = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_LISTED = r"(?:^|\0)\d+ [a-z]+ ([0-9a-f]+)\t((?:[0-9a-f]{2}/)+[0-9a-f]+)(?=\0)"
_FANOUT = r"[0-9a-f]{2}"
_ZERO = "0" * 40


def tracking_ref(remote: str) -> str:
    """Where the trail of a remote is kept after a fetch; never the ref we write to."""
    return f"refs/notes/{remote}/mlops"


def seen_ref(remote: str) -> str:
    """What the remote had when we last spoke to it ourselves."""
    return f"refs/mlops/seen/{remote}"


@dataclass
class NotesLog:
    """Lines of the trail in git notes. Every call reads what is there now."""

    repo: Repo
    ref: str = REF

    def tip(self, ref: str = "") -> str:
        """The commit the ref stands at, or ""; one small file where the ref is loose."""
        ref = ref or self.ref
        loose = self.repo.common_dir / ref
        try:
            text = loose.read_text(encoding="ascii").strip()
            if re.fullmatch(_NOTE, text):
                return text
        except (OSError, UnicodeError):
            pass  # packed, absent or in another ref format: git knows
        return self.repo.rev(ref)

    def notes(self, tip: str) -> dict[str, str]:
        """Object id annotated -> blob id, whatever fan-out git or we gave it."""
        if not tip:
            return {}
        top = [line.split(b"\t") for line in self.repo.git("ls-tree", "-z", tip).split(b"\0") if line]
        found, folders = {}, []
        for head, name in top:
            _, kind, oid = head.decode().split()
            text = name.decode(errors="replace")
            if kind == "blob" and re.fullmatch(_NOTE, text):
                found[text] = oid
            elif kind == "tree" and re.fullmatch(_FANOUT, text):
                folders.append(text)
        if folders:
            listed = self.repo.git("ls-tree", "-r", "-z", tip, "--", *folders)
            names = re.findall(_LISTED, listed.decode(errors="replace"))
            found |= {note: oid for oid, path in names if len(note := path.replace("/", "")) in (40, 64)}
        return found

    def blobs(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """(blob id, body) of each. Raises EvidenceError for damaged and missing objects."""
        from .objects import read_objects

        for oid, kind, body in read_objects(self.repo, oids):
            if kind != "blob":
                raise EvidenceError(
                    f"object {oid[:12]} of the trail is {kind} in this clone",
                    hint="git fsck names what else is; mlopsctl pull --trail-only, or copy it from another clone",
                    code="MLO7031",
                )
            yield oid, body

    def history(self, old: str, new: str) -> Iterator[tuple[str, str, str, str]]:
        """(commit, note, old blob, new blob) wherever a commit since ``old`` changed or removed a note."""
        span = [f"{old}..{new}"] if old else [new]
        text = self.repo.git(
            "log",
            "-m",
            "--raw",
            "-r",
            "--no-renames",
            "--no-abbrev",
            "--diff-filter=MD",
            "--format=%x01%H",
            *span,
            "--",
        )
        commit = ""
        for line in text.decode(errors="replace").splitlines():
            if line.startswith("\x01"):
                commit = line[1:]
            elif line.startswith(":"):
                head, _, path = line.partition("\t")
                note = path.replace("/", "")
                if re.fullmatch(_NOTE, note):
                    _, _, before, after, _ = head.split()
                    yield commit, note, before, "" if after == _ZERO else after

    def code_names(self, tip: str) -> set[str]:
        """The code trees that the trail keeps: those that lie under their own name."""
        if not tip:
            return set()
        done = git(self.repo.root, "ls-tree", "-d", f"{tip}:code", check=False)
        listed = [line.split() for line in done.stdout.splitlines()] if done.returncode == 0 else []
        return {oid.decode() for _, kind, oid, *name in listed if kind == b"tree" and name == [oid]}

    def code_files(self, oid: str) -> dict[str, TreeFile]:
        """The files of a kept code tree; {} where this clone does not have it."""
        if not re.fullmatch(_NOTE, oid):
            return {}
        done = git(self.repo.root, "ls-tree", "-r", "-z", oid, check=False)
        found = {}
        for line in done.stdout.split(b"\0") if done.returncode == 0 else ():
            head, _, name = line.partition(b"\t")
            if name:
                mode, _, blob = head.decode().split()
                found[name.decode(errors="surrogateescape")] = TreeFile(mode, blob)
        return found

    def keep_objects(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Writes git objects that are not there yet."""
        from .objects import known_objects, write_objects

        named = {object_id(kind, body): (kind, body) for kind, body in objects}
        there = known_objects(self.repo, list(named))
        write_objects(self.repo, [pair for oid, pair in named.items() if oid not in there])

    def add(
        self,
        tip: str,
        lines: Mapping[str, Sequence[bytes]],
        code: Iterable[str] = (),
        merged: str = "",
        message: str = "mlopsctl: entries",
    ) -> tuple[str, dict[str, str]] | None:
        """Moves the ref from ``tip`` to a commit that also has these lines and code trees; ``merged`` is a second parent.

        Returns the new commit and the new blob of every note touched, None where somebody else moved the ref first.
        Raises OSError and GitError; the ref then stands where it stood.
        """
        from .objects import TreeEdit, known_objects, write_objects

        root = TreeEdit(self.repo, self.repo.git("rev-parse", f"{tip}^{{tree}}").decode().strip() if tip else "")
        root.load(sorted({note[:2] for note in lines}))
        paths = {note: _path_of(root, note) for note in lines}
        existing = {note: root.get(path) for note, path in paths.items()}
        bodies = dict(self.blobs([oid for oid in existing.values() if oid]))
        fresh: list[tuple[str, bytes]] = []
        blobs = {}
        for note, more in lines.items():
            body = _union(bodies.get(existing[note], b""), more)
            blobs[note] = object_id("blob", body)
            fresh.append(("blob", body))
            root.put(paths[note], "100644", blobs[note])
        wanted = [oid for oid in code if not root.get(f"code/{oid}")]
        for oid in sorted(set(wanted) & known_objects(self.repo, wanted)):
            root.put(f"code/{oid}", "40000", oid)
        commit = _commit(root.write(fresh), [tip, merged] if merged else [tip], message)
        fresh.append(("commit", commit))
        write_objects(self.repo, fresh)
        new = object_id("commit", commit)
        return (new, blobs) if self.move(tip, new) else None

    def move(self, old: str, new: str, ref: str = "") -> bool:
        """Compare-and-swap of the ref, "" for none; False where it no longer stands at ``old``. Raises GitError."""
        values = (new or _ZERO, old or _ZERO)
        done = git(self.repo.root, "update-ref", "-m", "mlopsctl", ref or self.ref, *values, check=False)
        if done.returncode == 0:
            return True
        words = done.stderr.decode(errors="replace").strip()
        lost = ("but expected", "already exists", "unable to resolve reference", "File exists")
        if any(sign in words for sign in lost):
            return False
        raise GitError(f"git update-ref failed: {words}", hint="check that .git is writable and the disk has room")

    def is_ancestor(self, old: str, new: str) -> bool:
        return git(self.repo.root, "merge-base", "--is-ancestor", old, new, check=False).returncode == 0

    def remotes(self) -> list[str]:
        return self.repo.remotes()

    def tracking(self) -> dict[str, str]:
        """Remote -> tip of its trail as last fetched."""
        listed = self.repo.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/notes").decode()
        found = {}
        for line in listed.splitlines():
            oid, _, name = line.partition(" ")
            parts = name.split("/")
            if len(parts) > 3 and parts[-1] == "mlops":
                found["/".join(parts[2:-1])] = oid
        return found

    # --- Remotes -------------------------------------------------------------------------------------------

    def fetch(self, remote: str) -> tuple[str, str]:
        """Fetches the remote's trail into its tracking ref: the tip we saw there before and its tip now, "" for none.

        Raises NotSharedError where the remote can't be reached.
        """
        from .transfer import fetch_ref

        track = tracking_ref(remote)
        before = self.tip(seen_ref(remote)) or self.tip(track)
        if not fetch_ref(self.repo, remote, self.ref, track):
            # What a remote has no more must not count as shared with it.
            git(self.repo.root, "update-ref", "-d", track)
            return before, ""
        theirs = self.tip(track)
        self._saw(remote, theirs)
        return before, theirs

    def push(self, remote: str, tip: str) -> str:
        """Pushes the trail: "" once it is there, git's words where somebody was faster. Raises NotSharedError."""
        from .transfer import push_ref

        lost = push_ref(self.repo, remote, tip, self.ref)
        if not lost:
            git(self.repo.root, "update-ref", tracking_ref(remote), tip)
            self._saw(remote, tip)
        return lost

    def _saw(self, remote: str, tip: str) -> None:
        """Remembers what a remote had, where neither ``git fetch`` nor ``--prune`` reaches."""
        if self.tip(seen_ref(remote)) != tip:
            git(self.repo.root, "update-ref", seen_ref(remote), tip)

    def is_cut(self) -> bool:
        """Whether a shallow clone's boundary cuts the history of the ref (not its entries: each commit has all)."""
        from .transfer import is_cut

        return is_cut(self.repo, self.ref)

    def remembered(self) -> list[str]:
        """Commits at which the trail stood by what this clone remembers: the ref's own log, then the remotes' tips."""
        done = git(self.repo.root, "reflog", "show", "--format=%H", self.ref, "--", check=False)
        before = done.stdout.decode().split() if done.returncode == 0 else []
        seen = [self.tip(seen_ref(remote)) for remote in self.remotes()]
        return list(dict.fromkeys(oid for oid in (*before, *self.tracking().values(), *seen) if oid))


def _path_of(root: TreeEdit, note: str) -> str:
    """Where the note is, else where it goes: fan-out by the first two digits, which git reads as its own."""
    for path in (f"{note[:2]}/{note[2:]}", note, f"{note[:2]}/{note[2:4]}/{note[4:]}"):
        if root.get(path):
            return path
    return f"{note[:2]}/{note[2:]}"


def _union(body: bytes, more: Sequence[bytes]) -> bytes:
    """The lines there are and those that are not there yet, each once."""
    lines = [line for line in body.split(b"\n") if line]
    there = set(lines)
    for line in more:
        if line not in there:
            there.add(line)
            lines.append(line)
    return b"".join(line + b"\n" for line in lines)


def _commit(tree: str, parents: Sequence[str], message: str) -> bytes:
    # No person's name: who said what is in the signed entries.
    who = f"mlopsctl <> {int(time.time())} +0000"
    lines = [
        f"tree {tree}",
        *(f"parent {oid}" for oid in parents if oid),
        f"author {who}",
        f"committer {who}",
        "",
        message,
    ]
    return ("\n".join(lines) + "\n").encode()
