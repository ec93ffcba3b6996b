"""The store: what goes in comes out, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters import store as module
from mlopsctl.adapters.statcache import StatCache
from mlopsctl.adapters.store import LocalStore, check_name, hash_folder, hash_path, parse_listing
from mlopsctl.errors import EvidenceError, MlopsError, ProviderError
from mlopsctl.types import Digest


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def folder(root: Path, **files: bytes) -> Path:
    for name, text in files.items():
        place = root / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text)
    return root


def files_in(store: LocalStore) -> list[str]:
    return sorted(p.relative_to(store.root).as_posix() for p in store.root.rglob("*") if p.is_file())


def test_a_file_is_kept_under_its_sha256_read_only(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    digest = store.put(tmp_path / "a")
    assert digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    place = store.path(digest)
    assert place == store.root / "sha256" / digest[7:9] / digest[7:]
    assert stat.S_IMODE(place.stat().st_mode) == 0o444
    assert store.has(digest)
    assert store.checkout(digest, tmp_path / "b").read_bytes() == b"hello"


def test_the_source_may_change_afterwards(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    digest = store.put(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"other")
    assert store.path(digest).read_bytes() == b"hello"


def test_a_folder_digest_is_what_sha256sum_says(store: LocalStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "f", **{"b": b"2", "a__x.txt": b"1", "z": b""})
    digest = store.put(source)
    names = sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file())
    listing = subprocess.run(["sha256sum", *names], cwd=source, capture_output=True, check=True).stdout
    assert digest == "dirhash:" + hashlib.sha256(listing).hexdigest() == hash_folder(source)
    assert hash_folder(store.checkout(digest, tmp_path / "copy")) == digest
    assert store.listing(digest)[0][0] == "a/x.txt"


def test_programs_are_executable_again_and_data_is_not(store: LocalStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "f", **{"run.sh": b"#!/bin/sh\necho hi\n", "data.csv": b"a\n1\n"})
    copy = store.checkout(store.put(source), tmp_path / "copy")
    assert subprocess.run([copy / "run.sh"], capture_output=True, check=True).stdout == b"hi\n"
    assert not os.access(copy / "data.csv", os.X_OK)


def test_tampered_bytes_are_never_given_out(store: LocalStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "f", m=b"model")
    whole, part = store.put(source), store.put(source / "m")
    place = store.path(part)
    place.chmod(0o644)
    place.write_bytes(b"MODEL")
    with pytest.raises(EvidenceError) as caught:
        store.path(part)
    assert caught.value.code == "MLO1134"
    with pytest.raises(EvidenceError):
        store.checkout(whole, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert store.put(source) == whole
    assert store.path(part).read_bytes() == b"model", "putting the right bytes mends the store"


def test_a_tampered_listing_is_no_folder(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(folder(tmp_path / "f", a=b"1"))
    place = store.root / "dirhash" / digest[8:10] / digest[8:]
    place.chmod(0o644)
    place.write_bytes(b"0" * 64 + b"  ../../etc/passwd\n")
    assert not store.has(digest)
    with pytest.raises(EvidenceError):
        store.checkout(digest, tmp_path / "copy")


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a//b", "a/./b", "", "a\\b", "e\u0301", "a\nb"])
def test_names_that_leave_the_folder_or_differ_by_machine_are_refused(name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        check_name(name)
    assert caught.value.code == "MLO1121"
    with pytest.raises(EvidenceError):
        parse_listing(f"{'0' * 64}  {name}\n".encode())


def test_links_are_not_followed(store: LocalStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "f", a=b"1")
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(ProviderError, match="link"):
        store.put(source)
    with pytest.raises(ProviderError):
        store.put(source / "link")


def test_missing_and_copy_to_another_store(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(folder(tmp_path / "f", a=b"1", b=b"2"))
    other = LocalStore(tmp_path / "other")
    assert other.missing([digest]) == [digest]
    store.copy_to(other, digest)
    assert other.missing([digest]) == []
    assert hash_path(other.checkout(digest, tmp_path / "copy")) == digest


def test_a_folder_with_one_file_gone_is_missing(store: LocalStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "f", a=b"1", b=b"2")
    digest, part = store.put(source), hash_path(source / "a")
    store.path(part).unlink()
    assert store.missing([digest]) == [digest]
    with pytest.raises(EvidenceError) as caught:
        store.checkout(digest, tmp_path / "copy")
    assert caught.value.code == "MLO1133" and "apply --replace" in caught.value.hint
    with pytest.raises(EvidenceError):
        store.copy_to(LocalStore(tmp_path / "other"), digest)


def test_a_tampered_file_is_not_spread(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(folder(tmp_path / "f", a=b"1"))
    part = store.listing(digest)[0][1]
    place = store.root / "sha256" / part[:2] / part
    place.chmod(0o644)
    place.write_bytes(b"x")
    other = LocalStore(tmp_path / "other")
    with pytest.raises(EvidenceError):
        store.copy_to(other, digest)
    assert files_in(other) == []


def test_an_unchanged_file_is_verified_once(tmp_path: Path) -> None:
    memory = StatCache(tmp_path / "memory.json")
    store = LocalStore(tmp_path / "store", memory)
    (tmp_path / "a").write_bytes(b"hello")
    digest = store.put(tmp_path / "a")
    assert store.path(digest) == store.path(digest)
    assert str(store.path(digest)) in (tmp_path / "memory.json").read_text()


def _put_many(root: Path, source: Path, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    for _ in range(20):
        LocalStore(root).put(source)


def test_two_processes_put_the_same_folder_at_once(tmp_path: Path) -> None:
    source = folder(tmp_path / "f", **{f"file{n}": os.urandom(10_000) for n in range(5)})
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_put_many, args=(tmp_path / "store", source, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = LocalStore(tmp_path / "store")
    assert hash_folder(store.checkout(hash_folder(source), tmp_path / "copy")) == hash_folder(source)
    assert not [name for name in files_in(store) if name.startswith("tmp/")]


FILL = """
import resource, signal, sys
from pathlib import Path
from mlopsctl.adapters.store import LocalStore
from mlopsctl.errors import MlopsError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    LocalStore(Path(sys.argv[1])).put(Path(sys.argv[2]))
except MlopsError as error:
    print(error.code, error.message)
"""


def test_a_write_that_hits_a_limit_leaves_nothing_half_written(store: LocalStore, tmp_path: Path) -> None:
    source = folder(tmp_path / "f", small=b"1", big=bytes(2_000_000))
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(store.root), str(source)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("MLO1131"), done
    assert all(name.startswith("sha256/") for name in files_in(store)), "no temporary file, no listing"
    assert not store.has(hash_folder(source))


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(full)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    source = folder(tmp_path / "f", big=os.urandom(2_000_000))
    try:
        if not mounted:
            # Where nothing can be mounted the kernel's answer is still the same for a limit on file sizes (above).
            error = module.storage_error(OSError(errno.ENOSPC, "No space left on device"), full)
        else:
            with pytest.raises(MlopsError) as caught:
                LocalStore(full / "store").put(source)
            error = caught.value
            assert files_in(LocalStore(full / "store")) == []
        assert isinstance(error, MlopsError)
        assert error.code == "MLO1131"
        assert "free some space" in error.hint
    finally:
        if mounted:
            subprocess.run(["umount", str(full)], check=True)


def test_a_read_only_store_is_one_clear_error(tmp_path: Path) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(place)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    else:
        place.chmod(0o555)
        mounted = False
    (tmp_path / "a").write_bytes(b"hello")
    try:
        if mounted or os.geteuid() != 0:
            with pytest.raises(MlopsError) as caught:
                LocalStore(place / "store").put(tmp_path / "a")
            assert caught.value.code == "MLO1132"
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
        place.chmod(0o755)


def test_every_way_to_be_unwritable_is_the_same_error() -> None:
    for number in (errno.EROFS, errno.EACCES):
        error = module.storage_error(OSError(number, os.strerror(number)), Path("store"))
        assert isinstance(error, MlopsError)
        assert error.code == "MLO1132"
    assert isinstance(module.storage_error(OSError(errno.EIO, "I/O error"), Path("store")), OSError)


@pytest.mark.parametrize("digest", ["md5:00", "sha256:../../etc", "sha256:" + "G" * 64, ""])
def test_only_digests_name_places(store: LocalStore, digest: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        store.has(Digest(digest))
    assert caught.value.code == "MLO1137"


def test_checkout_overwrites_nothing(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    digest = store.put(tmp_path / "a")
    with pytest.raises(ProviderError) as caught:
        store.checkout(digest, tmp_path / "a")
    assert caught.value.code == "MLO1136"


def test_what_a_killed_process_left_goes_after_a_day(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    store.put(tmp_path / "a")
    stale, fresh = store.root / "tmp" / "stale", store.root / "tmp" / "fresh"
    stale.write_bytes(b"")
    fresh.write_bytes(b"")
    os.utime(stale, (0, 0))
    store.put(tmp_path / "a")
    assert not stale.exists()
    assert fresh.exists()


def test_what_is_there_already_has_its_name_on_disk_too(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever put it there may have been killed before its name was synced."""
    (tmp_path / "a").write_bytes(b"hello")
    place = store.path(store.put(tmp_path / "a"))
    synced: list[Path] = []
    monkeypatch.setattr(module, "sync_folder", synced.append)
    store.put(tmp_path / "a")
    assert synced == [place.parent]
