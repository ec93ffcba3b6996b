"""Git objects in bulk: many reads through one process, writes without one.

Measured (docs/performance.md): a subprocess costs 1.3-3 ms, an object written here 0.1-0.3 ms; so a group of
entries is written as loose objects, or as one pack when it is large, and only the ref is moved by git itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, cast

from ..errors import EvidenceError
from ..gitobjects import object_id
from .git import Repo
from .git_start import HARDENED, environment

PACK_FROM = 50
"""This many new objects at once go into one pack instead of loose files."""
LARGE = 1 << 20
"""So does an object of this many bytes: a note that everything hangs on is written whole each time, and packs are
what git makes differences of."""

_PACK_TYPES = {"commit": 1, "tree": 2, "blob": 3}


def read_objects(repo: Repo, names: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    """(name asked for, kind, body) of every object, in order; kind is "missing" where git has none.

    Raises EvidenceError when git stops in the middle (a damaged object).
    """
    if not names:
        return
    asked = "\n".join(names).encode() + b"\n"
    process = subprocess.Popen(
        ["git", *HARDENED, "cat-file", "--batch", "--buffer"],
        cwd=repo.root, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        bufsize=1 << 18,
    )  # fmt: skip
    _widen(process.stdout)
    # Beside the reading below: git may wait for us to read before it takes more names.
    feeder = Thread(target=_feed, args=(cast(IO[bytes], process.stdin), asked), daemon=True)
    feeder.start()
    stdout, stderr = cast(IO[bytes], process.stdout), cast(IO[bytes], process.stderr)
    heads, read = stdout.readline, stdout.read
    with process:
        for name in names:
            head = heads().split()
            if len(head) == 2 and head[1] == b"missing":
                yield name, "missing", b""
                continue
            size = int(head[2]) if len(head) == 3 else -1
            body = read(size) if size >= 0 else b""
            if len(body) != size or read(1) != b"\n":
                words = stderr.read().decode(errors="replace").strip()
                raise EvidenceError(
                    f"git cannot read object {name[:12]} of the trail: {words or 'it is damaged'}",
                    hint="git fsck names the damage; mlopsctl pull --trail-only brings the trail back from a remote",
                    code="MLO7031",
                )
            yield name, head[1].decode(), body


def _widen(stream: IO[bytes] | None) -> None:
    """Lets git be a megabyte ahead: with the 64 KB that a pipe has, both wait for each other thousands of times."""
    # Not every kernel has this, and the pipes of one user may use up what is allowed them.
    with suppress(AttributeError, OSError):
        fcntl.fcntl(cast(IO[bytes], stream).fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _feed(stream: IO[bytes], data: bytes) -> None:
    # A reader that stops early closes the pipe; that is its right.
    with suppress(BrokenPipeError, ValueError), stream:
        stream.write(data)


def known_objects(repo: Repo, names: Sequence[str]) -> set[str]:
    """Those of the object ids that the repository has."""
    if not names:
        return set()
    listed = repo.git("cat-file", "--batch-check=%(objectname) %(objecttype)", data="\n".join(names).encode() + b"\n")
    return {line.split()[0].decode() for line in listed.splitlines() if not line.endswith(b" missing")}


def write_objects(repo: Repo, objects: Iterable[tuple[str, bytes]]) -> None:
    """Writes (kind, body) pairs durably. Raises OSError (full disk, read-only folder) with nothing half-written."""
    named = {object_id(kind, body): (kind, body) for kind, body in objects}
    if len(named) >= PACK_FROM or any(len(body) >= LARGE for _, body in named.values()):
        _write_pack(repo, named)
        return
    for oid, (kind, body) in named.items():
        _write_loose(repo.common_dir / "objects", oid, kind, body)


def _write_loose(folder: Path, oid: str, kind: str, body: bytes) -> None:
    """Source: gitformat-loose(5); git's own prune clears a temporary file that a killed process leaves."""
    final = folder / oid[:2] / oid[2:]
    if final.exists():
        return
    final.parent.mkdir(exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix="tmp_obj_", dir=final.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(zlib.compress(f"{kind} {len(body)}\0".encode() + body, 1))
            stream.flush()
            os.fchmod(stream.fileno(), 0o444)
            os.fsync(stream.fileno())
        os.replace(temporary, final)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _write_pack(repo: Repo, named: Mapping[str, tuple[str, bytes]]) -> None:
    """One pack without deltas, indexed by git. Source: gitformat-pack(5)."""
    digest = hashlib.sha1(usedforsecurity=False)
    with tempfile.TemporaryFile() as pack:

        def emit(data: bytes) -> None:
            digest.update(data)
            pack.write(data)

        emit(struct.pack(">4sII", b"PACK", 2, len(named)))
        for kind, body in named.values():
            emit(_pack_head(_PACK_TYPES[kind], len(body)) + zlib.compress(body, 1))
        pack.write(digest.digest())
        pack.seek(0)
        repo.git("index-pack", "--stdin", data=pack.read())


def _pack_head(kind: int, size: int) -> bytes:
    byte, size, head = (kind << 4) | (size & 15), size >> 4, bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head)


def parse_tree(body: bytes) -> dict[str, tuple[str, str]]:
    """Name -> (mode, object id) of a tree object's body."""
    found, at = {}, 0
    while at < len(body):
        space, null = body.index(b" ", at), body.index(b"\0", at)
        name = body[space + 1 : null].decode(errors="surrogateescape")
        found[name] = (body[at:space].decode(), body[null + 1 : null + 21].hex())
        at = null + 21
    return found


@dataclass
class TreeEdit:
    """A tree to be changed: folders are read when a path first goes through them."""

    repo: Repo
    oid: str = ""
    _entries: dict[str, tuple[str, str]] | None = None
    _below: dict[str, TreeEdit] = field(default_factory=dict)

    @property
    def entries(self) -> dict[str, tuple[str, str]]:
        if self._entries is None:
            body = next(read_objects(self.repo, [self.oid]))[2] if self.oid else b""
            self._entries = parse_tree(body)
        return self._entries

    def load(self, names: Sequence[str]) -> None:
        """Reads several sub-folders through one process."""
        wanted = [name for name in names if name in self.entries and name not in self._below]
        oids = [self.entries[name][1] for name in wanted]
        for name, (oid, _, body) in zip(wanted, read_objects(self.repo, oids), strict=True):
            self._below[name] = TreeEdit(self.repo, oid, parse_tree(body))

    def folder(self, name: str) -> TreeEdit:
        if name not in self._below:
            mode, oid = self.entries.get(name, ("40000", ""))
            self._below[name] = TreeEdit(self.repo, oid if mode == "40000" else "")
        return self._below[name]

    def get(self, path: str) -> str:
        """The object id at a path, or ""."""
        head, slash, rest = path.partition("/")
        if head not in self.entries and head not in self._below:
            return ""
        return self.folder(head).get(rest) if slash else self.entries.get(head, ("", ""))[1]

    def put(self, path: str, mode: str, oid: str) -> None:
        head, slash, rest = path.partition("/")
        if slash:
            self.folder(head).put(rest, mode, oid)
        else:
            self.entries[head] = (mode, oid)

    def write(self, into: list[tuple[str, bytes]]) -> str:
        """Adds the changed tree objects to ``into`` and returns the root's id."""
        for name, below in self._below.items():
            self.entries[name] = ("40000", below.write(into))
        order = sorted(self.entries, key=lambda n: _bytes(n) + (b"/" if self.entries[n][0] == "40000" else b""))
        body = b"".join(
            self.entries[n][0].encode() + b" " + _bytes(n) + b"\0" + bytes.fromhex(self.entries[n][1]) for n in order
        )
        oid = object_id("tree", body)
        if oid != self.oid:
            into.append(("tree", body))
        return oid


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
