"""A real repository with a trail, and an attacker who knows git's plumbing."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlopsctl.adapters.git import Repo, find_repo
from mlopsctl.adapters.keys import Signer, key_file, load_signer, new_key
from mlopsctl.audit.checks import verify
from mlopsctl.audit.dsse import encode, pae
from mlopsctl.audit.entry import read_line
from mlopsctl.audit.statement import MEMBER, statement
from mlopsctl.audit.trail import TrailLog
from mlopsctl.audit.verify import Verdict
from mlopsctl.canonical import digest_of
from mlopsctl.cli.trail import init_trail, new_log_id, open_trail
from mlopsctl.types import Digest, Entry

Notes = dict[str, list[bytes]]
# No clean-up in the background while a test works on the same repository.
GIT = ("git", "-c", "gc.auto=0", "-c", "maintenance.auto=false")


def run(folder: Path, *args: str, data: bytes | None = None) -> str:
    """Output of a git command."""
    done = subprocess.run([*GIT, *args], cwd=folder, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def owner() -> Signer:
    """The key that every test trail starts with."""
    path = key_file("owner")
    return load_signer(path) if path.exists() else new_key(path)


class Clone:
    """One clone of one project."""

    def __init__(self, folder: Path, log: str):
        self.folder = folder
        self.log = log
        self.signer = owner()

    @classmethod
    def start(cls, folder: Path) -> Clone:
        """A fresh repository with one commit and a new trail."""
        run(folder.parent, "init", "-q", str(folder))
        clone = cls(folder, new_log_id())
        clone.commit()
        init_trail(clone.repo, clone.state, clone.log, clone.signer)
        return clone

    def again(self, folder: Path, *args: str) -> Clone:
        """Another clone by ``git clone``."""
        run(folder.parent, "clone", "-q", *args, str(self.folder), str(folder))
        return Clone(folder, self.log)

    @property
    def repo(self) -> Repo:
        return find_repo(self.folder)

    @property
    def state(self) -> Path:
        return self.repo.common_dir / "mlops"

    @property
    def trail(self) -> TrailLog:
        """The trail as a new process opens it."""
        trail = open_trail(self.repo, self.state, self.log)
        trail.signer = lambda: self.signer
        return trail

    def commit(self) -> str:
        run(self.folder, "commit", "-q", "--allow-empty", "-m", "work")
        return run(self.folder, "rev-parse", "HEAD")

    def train(self, name: str, **more: Any) -> Entry:
        """One result on a commit of its own, in the notes."""
        trail = self.trail
        entry = trail.append("result", **{**result(name), "commit": self.commit(), **more})
        trail.flush()
        return entry

    def verdict(self, **how: bool) -> Verdict:
        return verify(self.trail.ledger, **how)

    def codes(self, **how: bool) -> set[tuple[str, str]]:
        """(code, entry) of every finding."""
        return {(one.code, one.entry) for one in self.verdict(**how).findings}

    def forget(self) -> None:
        """Deletes what this clone remembers, the anchor too."""
        gc.collect()  # An index that nobody holds any more still takes its own files away.
        shutil.rmtree(self.state)

    # --- The attacker ------------------------------------------------------------------------------------

    def notes(self, ref: str = "refs/notes/mlops") -> Notes:
        found = {}
        for line in run(self.folder, "ls-tree", "-r", ref).splitlines():
            head, path = line.split("\t")
            if not path.startswith("code/"):
                body = subprocess.run(
                    ["git", "cat-file", "blob", head.split()[2]], cwd=self.folder, capture_output=True, check=True
                ).stdout
                found[path.replace("/", "")] = body.split(b"\n")[:-1]
        return found

    def write(self, notes: Notes, *, orphan: bool = True) -> None:
        """Replaces the trail by plumbing: as one orphan commit, or on top of what is there."""
        listing = ""
        for note, lines in sorted(notes.items()):
            oid = run(self.folder, "hash-object", "-w", "--stdin", data=b"".join(x + b"\n" for x in lines))
            listing += f"100644 blob {oid}\t{note}\n"
        tree = run(self.folder, "mktree", data=listing.encode())
        parents = () if orphan else ("-p", "refs/notes/mlops")
        run(self.folder, "update-ref", "refs/notes/mlops", run(self.folder, "commit-tree", tree, *parents, "-m", "x"))

    def tamper(self, change: Callable[[Notes], None], *, orphan: bool = True) -> None:
        notes = self.notes()
        change(notes)
        self.write({note: lines for note, lines in notes.items() if lines}, orphan=orphan)

    def replace(self, entry: str, line: bytes, **how: bool) -> str:
        """Puts ``line`` where ``entry`` was; returns the new line's entry id."""

        def change(notes: Notes) -> None:
            for lines in notes.values():
                for n, old in enumerate(lines):
                    if line_id(old) == entry:
                        lines[n] = line

        self.tamper(change, **how)
        return line_id(line)

    def line(self, entry: str) -> bytes:
        return next(line for lines in self.notes().values() for line in lines if line_id(line) == entry)


def line_id(line: bytes) -> str:
    try:
        return read_line(line).id
    except ValueError:
        return ""


def result(name: str) -> dict[str, Any]:
    """The fields of one training result, small but with all that matters."""
    digest = name.encode().hex().ljust(64, "0")[:64]
    spec = {"run": f"python {name}.py"}
    ingredients = {"provider": "train/local", "version": 1, "spec": spec, "inputs": {}}
    return {
        "address": f"train.{name}" if name.isalpha() else "train.model",
        "status": "done",
        "made_from": digest_of(ingredients),
        "ingredients": ingredients,
        "outputs": {"model": Digest("dirhash:" + digest), "model.sig": Digest("sha256:" + digest[::-1])},
        "facts": {"kind": "onnx", "opset": 17},
        "made_with": {"python": "3.11"},
    }


def payload_of(line: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(b64decode(json.loads(line)["dsse"]["payload"]))
    return value


def with_payload(line: bytes, payload: bytes) -> bytes:
    """The same signatures around another payload."""
    outer = json.loads(line)
    outer["dsse"]["payload"] = b64encode(payload).decode()
    return json.dumps(outer, separators=(",", ":"), sort_keys=True).encode()


def signed(payload: bytes, signer: Signer) -> bytes:
    return encode(payload, [(signer.key_id, signer.sign(pae(payload)))])


def forged(line: bytes, key: Signer, /, **changes: Any) -> bytes:
    """The entry with other fields, signed anew and well-formed in every way."""
    record = read_line(line)
    commit = changes.pop("commit", record.commit)
    return signed(statement({**payload_of(line)["predicate"][MEMBER], **changes}, commit), key)


def clone_of(origin: Path, folder: Path, other: Clone, *args: str) -> Clone:
    run(folder.parent, "clone", "-q", *args, f"file://{origin}", str(folder))
    return Clone(folder, other.log)


def append(clone: Clone, name: str, commit: str = "") -> str:
    trail = clone.trail
    commit = commit or run(clone.folder, "rev-parse", "origin/main" if name else "HEAD")
    return trail.append("result", **{**result(name), "address": "train.model"}, commit=commit).id


def ids(clone: Clone) -> set[str]:
    return {entry.id for entry in clone.trail.entries()}
