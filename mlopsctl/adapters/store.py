"""The content-addressed store of outputs: files by sha256, folders by the listing of their files.

    sha256/ab/<hex>    one file's bytes, mode 0444
    dirhash/ab/<hex>   a folder's listing: "<sha256 hex>  <relative/path>" a line, sorted by the bytes of the path

A folder's digest is the sha256 of its listing, which ``sha256sum`` itself can write and check. Modes are not part of
it: a checked-out file is executable where its bytes say so (``#!`` or ELF), on every machine alike.
A store may be written by strangers: no byte is used before its digest was compared.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ..errors import EvidenceError, MlopsError, ProviderError
from ..types import Digest
from .files import left_behind
from .statcache import Hashes, StatCache, hash_once

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_AT_ONCE, _MOST_WAITING = 8, 256
"""So many files are synced at a time, and so many wait for their names at most."""
_FICLONE = 0x40049409  # linux/fs.h
_EXECUTABLE = (b"#!", b"\x7fELF")


def check_name(name: str) -> None:
    """Raises ProviderError where ``name`` is no plain relative path: absolute, ``..``, not NFC, control characters."""
    from unicodedata import is_normalized

    parts = name.split("/")
    if (
        not name
        or name.startswith("/")
        or any(part in ("", ".", "..") for part in parts)
        or any(ord(letter) < 32 or letter in "\\\x7f" or "\ud800" <= letter <= "\udfff" for letter in name)
        or not is_normalized("NFC", name)
    ):
        raise ProviderError(
            f"{name!r} is no name that every machine can hold",
            hint="use relative paths without '..', backslashes, control characters or decomposed accents",
            code="MLO1121",
        )


def files_below(folder: Path) -> list[tuple[str, Path]]:
    """Every file of a folder as (relative name, path), sorted by the bytes of the name.

    Raises ProviderError for links, devices and names that are not portable.
    """
    found: list[tuple[str, Path]] = []
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            entries = list(listed)
        for entry in entries:
            path = Path(entry.path)
            name = path.relative_to(folder).as_posix()
            check_name(name)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_file(follow_symlinks=False):
                found.append((name, path))
            else:
                raise ProviderError(
                    f"{path} is a link or a device, not a plain file",
                    hint="put the file itself there: cp --dereference",
                    code="MLO1121",
                )
    return sorted(found, key=lambda item: item[0].encode())


def listing_of(hashes: Iterable[tuple[str, str]]) -> bytes:
    """A folder's listing from (relative name, sha256 hex) pairs."""
    return b"".join(f"{digest}  {name}\n".encode() for name, digest in sorted(hashes, key=lambda it: it[0].encode()))


def parse_listing(text: bytes) -> list[tuple[str, str]]:
    """The (relative name, sha256 hex) pairs of a listing. Raises EvidenceError where it is none."""
    pairs: list[tuple[str, str]] = []
    try:
        for line in text.decode("utf-8").splitlines():
            digest, gap, name = line[:64], line[64:66], line[66:]
            if gap != "  " or len(bytes.fromhex(digest)) != 32:
                raise ValueError(line)
            check_name(name)
            pairs.append((name, digest))
        if listing_of(pairs) != text or len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("order")
    except (ValueError, ProviderError) as error:
        raise EvidenceError(
            f"the store holds a folder listing that is not one ({error})", hint="mlopsctl pull", code="MLO1134"
        ) from None
    return pairs


def dirhash(listing: bytes) -> Digest:
    """The digest of a folder with this listing."""
    return Digest("dirhash:" + hashlib.sha256(listing).hexdigest())


def hash_file(path: Path) -> Digest:
    """``sha256:`` of a file. Raises OSError."""
    with path.open("rb") as source:
        return Digest("sha256:" + hashlib.file_digest(source, "sha256").hexdigest())


def hash_folder(path: Path) -> Digest:
    """``dirhash:`` of a folder. Raises as ``files_below`` does."""
    return dirhash(listing_of((name, hash_file(file)[7:]) for name, file in files_below(path)))


def hash_path(path: Path) -> Digest:
    """The digest of a file or folder."""
    return hash_folder(path) if path.is_dir() else hash_file(path)


def sync_folder(folder: Path) -> None:
    """Makes renames inside ``folder`` survive a power cut, where the file system can."""
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@cache
def _syncing() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_AT_ONCE, "sync")


def _sync_all(sync: Callable[[Path], None], paths: Collection[Path]) -> None:
    """Syncs side by side: the disk waits once for all of them, and not for each."""
    if len(paths) == 1:
        sync(*paths)
    elif paths:
        list(_syncing().map(sync, paths))


def copy_hashed(source: Path, destination: Path, mode: int = 0o644, *, synced: bool = True) -> Hashes:
    """Copies a file and hashes the very bytes that were written; synced to disk. Leaves nothing behind on failure.

    Where the file system can, the copy shares its blocks with the source (a reflink); never is it a hard link, because
    whoever writes the source later would write the copy.
    """
    try:
        with destination.open("xb") as out:
            found = hash_once(destination) if _reflink(source, out) else hash_once(source, out.write)
            out.flush()
            os.fchmod(out.fileno(), mode)
            if synced:
                os.fsync(out.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            destination.unlink()
        raise
    return found


def _reflink(source: Path, out: BinaryIO) -> bool:
    """Whether the file system made ``out`` a clone of ``source``; most can not, and then it is copied."""
    import fcntl

    try:
        with source.open("rb") as file:
            fcntl.ioctl(out.fileno(), _FICLONE, file.fileno())
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM):
            return False
        raise
    return True


class LocalStore:
    """A store in a folder. Two processes may put the same thing at once: the last rename wins with equal bytes.

    ``memory`` remembers what was verified (by stat); give one kept outside the store to remember across commands.
    """

    def __init__(self, root: Path, memory: StatCache | None = None) -> None:
        self.root = root
        self._memory = memory or StatCache()

    # --- asking ---

    def has(self, digest: Digest) -> bool:
        """Whether the file, or the folder with every file of its listing, is here; bytes are checked on use."""
        kind, place = self._place(digest)
        if kind == "sha256":
            return place.is_file()
        try:
            return place.is_file() and all(self._file(hexa).is_file() for _, hexa in self.listing(digest))
        except EvidenceError:
            return False  # a listing with other bytes is no folder; putting it again mends it

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those that are not (wholly) here, in the given order."""
        return [digest for digest in digests if not self.has(digest)]

    def listing(self, digest: Digest) -> list[tuple[str, str]]:
        """A folder's (relative name, sha256 hex) pairs. Raises EvidenceError."""
        _, place = self._place(digest)
        try:
            text = place.read_bytes()
        except FileNotFoundError:
            raise _gone(digest) from None
        if dirhash(text) != digest:
            raise _tampered(place, digest, dirhash(text))
        return parse_listing(text)

    def path(self, digest: Digest) -> Path:
        """The verified path of a file in the store, for reading only. Raises EvidenceError."""
        kind, place = self._place(digest)
        if kind != "sha256":
            raise ProviderError(f"{digest} is a folder: check it out", code="MLO1135")
        if place.is_symlink() or not place.is_file():
            raise _gone(digest)
        found = self._memory.hashes(place).sha256
        if found != digest[7:]:
            raise _tampered(place, digest, Digest("sha256:" + found))
        self._memory.save()
        return place

    def size(self, digest: Digest) -> int:
        """Bytes of the file, or of all files of the folder."""
        kind, place = self._place(digest)
        if kind == "sha256":
            return place.stat().st_size
        return sum(self._file(hexa).stat().st_size for _, hexa in self.listing(digest))

    # --- taking and giving ---

    def put(self, path: Path) -> Digest:
        """Copies a file (``sha256:``) or folder (``dirhash:``) into the store, atomically: all of it or nothing counts.

        Raises ProviderError for links and strange names, MlopsError where the disk is full or not writable.
        """
        with self.taking() as intake:
            return intake.put(path)

    def put_bytes(self, body: bytes) -> Digest:
        """Writes a file (``sha256:``) with this content into the store, atomically. Raises MlopsError as ``put`` does."""
        with self.taking() as intake:
            return intake.put_bytes(body)

    @contextlib.contextmanager
    def taking(self) -> Iterator[Intake]:
        """Puts several things into the store together: at the end of the block all are there and on disk.

        Whatever is raised in the block leaves the store as it was.
        """
        with storing(self.root):
            self._sweep()
            intake = Intake(self)
            try:
                yield intake
                intake.settle()
            finally:
                intake.clear()

    def checkout(self, digest: Digest, destination: Path, *, synced: bool = False) -> Path:
        """Writes a verified, writable copy to ``destination``, which must not exist. Raises EvidenceError.

        ``synced`` is for what has to outlive a power cut; what a step works on has not.
        """
        kind = self._place(digest)[0]
        if destination.exists() or destination.is_symlink():
            raise ProviderError(f"{destination} exists already", hint=f"mv {destination} elsewhere", code="MLO1136")
        destination.parent.mkdir(parents=True, exist_ok=True)
        with storing(destination):
            if kind == "sha256":
                self._give(digest[7:], destination, synced)
                return destination
            from tempfile import TemporaryDirectory

            pairs = self.listing(digest)
            # Beside the destination, so that a folder appears whole or not at all.
            with TemporaryDirectory(dir=destination.parent, prefix=".checkout-") as scratch:
                folder = Path(scratch) / "folder"
                folder.mkdir()
                for name, hexa in pairs:
                    target = folder / PurePosixPath(name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._give(hexa, target, synced)
                folder.replace(destination)
        return destination

    def copy_to(self, other: LocalStore, digest: Digest) -> None:
        """Copies a file or folder into another store, verified on the way. Raises EvidenceError."""
        kind = self._place(digest)[0]
        pairs = [("", digest[7:])] if kind == "sha256" else self.listing(digest)
        with other.taking() as intake:
            for _, hexa in pairs:
                if other._file(hexa).is_file():
                    continue
                source = self._file(hexa)
                if source.is_symlink() or not source.is_file():
                    raise _gone(Digest("sha256:" + hexa))
                found = intake.take(source)
                if found != hexa:
                    raise _tampered(source, Digest("sha256:" + hexa), Digest("sha256:" + found))
            if kind == "dirhash":
                intake.put_listing(pairs)

    # --- below ---

    def _place(self, digest: Digest) -> tuple[str, Path]:
        kind, _, hexa = digest.partition(":")
        if kind not in ("sha256", "dirhash") or len(hexa) != 64 or set(hexa) - set("0123456789abcdef"):
            raise EvidenceError(f"{digest!r} is no digest of a file or folder", code="MLO1137")
        return kind, self.root / kind / hexa[:2] / hexa

    def _file(self, hexa: str) -> Path:
        return self.root / "sha256" / hexa[:2] / hexa

    def _temporary(self) -> Path:
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{os.getpid()}-{time.monotonic_ns()}-{os.urandom(4).hex()}"

    def _give(self, hexa: str, destination: Path, synced: bool) -> None:
        source = self._file(hexa)
        if source.is_symlink() or not source.is_file():
            raise _gone(Digest("sha256:" + hexa))
        with source.open("rb") as file:
            mode = 0o755 if file.read(4).startswith(_EXECUTABLE) else 0o644
        temporary = destination.with_name(f".{os.urandom(6).hex()}.part")
        found = copy_hashed(source, temporary, mode, synced=synced)
        if found.sha256 != hexa:
            temporary.unlink()
            raise _tampered(source, Digest("sha256:" + hexa), Digest("sha256:" + found.sha256))
        temporary.replace(destination)

    def _sweep(self) -> None:
        """Takes away what a killed process left behind, once it is a day old."""
        with contextlib.suppress(FileNotFoundError):
            with os.scandir(self.root / "tmp") as listed:
                entries = list(listed)
            for entry in entries:
                if left_behind(Path(entry.path)):
                    Path(entry.path).unlink(missing_ok=True)


class Intake:
    """Things on their way into a store: under other names until ``settle``."""

    def __init__(self, store: LocalStore):
        self._store = store
        self._waiting: dict[Path, Path] = {}
        self._begun: list[Path] = []
        self._known: set[Path] = set()
        self.listings: dict[Digest, dict[str, str]] = {}
        """What was taken of each folder: relative name -> sha256."""

    def put(self, path: Path) -> Digest:
        """Takes a file (``sha256:``) or folder (``dirhash:``). Raises as ``LocalStore.put`` does."""
        if path.is_dir():
            return self.put_listing([(name, self.take(file)) for name, file in files_below(path)])
        if path.is_symlink() or not path.is_file():
            raise ProviderError(f"{path} is no plain file", code="MLO1121", hint="put the file itself there")
        return Digest("sha256:" + self.take(path))

    def put_bytes(self, body: bytes) -> Digest:
        """Takes a file (``sha256:``) with this content."""
        digest = Digest("sha256:" + hashlib.sha256(body).hexdigest())
        self._write(digest, body)
        return digest

    def put_listing(self, pairs: Iterable[tuple[str, str]]) -> Digest:
        """Takes the listing of a folder (``dirhash:``) whose files are there or on their way."""
        files = dict(pairs)
        text = listing_of(files.items())
        digest = dirhash(text)
        self.listings[digest] = files
        self._write(digest, text)
        return digest

    def take(self, source: Path) -> str:
        """Takes one file and returns its sha256."""
        temporary = self._begin()
        found = copy_hashed(source, temporary, 0o444, synced=False)
        place = self._store._file(found.sha256)
        known = place.is_file() and not place.is_symlink() and place.stat().st_size == found.size
        if known and hash_file(place)[7:] == found.sha256:
            temporary.unlink()
            # Whoever gave it its name may not have come to write that to disk.
            self._known.add(place.parent)
        else:
            self._waiting[place] = temporary
        if len(self._waiting) >= _MOST_WAITING:
            self.settle()
        return found.sha256

    def _write(self, digest: Digest, text: bytes) -> None:
        temporary = self._begin()
        with temporary.open("xb") as out:
            out.write(text)
            os.fchmod(out.fileno(), 0o444)
        self._waiting[self._store._place(digest)[1]] = temporary

    def _begin(self) -> Path:
        self._begun.append(self._store._temporary())
        return self._begun[-1]

    def settle(self) -> None:
        """Gives everything its name, once its bytes are on disk, and comes back when the names are there too."""
        _sync_all(_sync_file, list(self._waiting.values()))
        folders = self._known | {place.parent for place in self._waiting}
        for folder in list(folders):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folders.add(folder.parent)
        for place, temporary in self._waiting.items():
            temporary.replace(place)
        _sync_all(sync_folder, folders)
        self._waiting.clear()
        self._known.clear()

    def clear(self) -> None:
        """Leaves nothing of what was not settled."""
        for temporary in self._begun:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def storing(place: Path) -> Iterator[None]:
    """Writing below ``place``: raises MlopsError where the disk is full or not writable."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, place) from error


def storage_error(error: OSError, place: Path) -> Exception:
    """The error a person understands for a disk that is full or may not be written; other errors as they are."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if error.errno in full:
        return MlopsError(
            f"no space is left for {place}: {os.strerror(error.errno or 0)}",
            hint="free some space and run the command again; nothing is half-written",
            code="MLO1131",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return MlopsError(
            f"{place} can not be written: {os.strerror(error.errno or 0)}",
            hint="check the owner and the mode of that folder, or run this where it is writable",
            code="MLO1132",
        )
    return error


def _gone(digest: Digest) -> EvidenceError:
    return EvidenceError(
        f"{digest} is not in the store",
        hint="mlopsctl pull fetches it from where it was pushed; mlopsctl apply --replace ADDRESS makes it again",
        code="MLO1133",
    )


def _tampered(place: Path, wanted: Digest, found: Digest) -> EvidenceError:
    return EvidenceError(
        f"{place} holds other bytes than its name says: {found} instead of {wanted}",
        hint=f"rm -f {place} and fetch or make it again: mlopsctl pull, mlopsctl apply",
        code="MLO1134",
    )
