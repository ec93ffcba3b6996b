"""Hashes are remembered only while the file cannot have changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from mlopsctl.adapters.facts import GRAIN_NS
from mlopsctl.adapters.statcache import StatCache, hash_once
from mlopsctl.errors import ProviderError


def settled(cache: StatCache, path: Path) -> None:
    """As if the file had been hashed well after its last change."""
    cache.remember(path, path.stat(), hash_once(path), time.time_ns() + 2 * GRAIN_NS)


def test_one_read_gives_the_ids_of_md5sum_sha256sum_and_git(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello\n" * 300_000)
    found = hash_once(path)
    assert found.md5 == hashlib.md5(path.read_bytes()).hexdigest()
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.blob == subprocess.check_output(["git", "hash-object", "--no-filters", str(path)], text=True).strip()
    assert found.size == 1_800_000


def test_an_edit_of_the_same_size_with_the_old_mtime_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"aaaa")
    cache = StatCache()
    settled(cache, path)
    assert cache.get(path) is not None
    before = path.stat()
    time.sleep(0.02)
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert cache.get(path) is None, "the ctime betrays it"
    assert cache.hashes(path).sha256 == hashlib.sha256(b"bbbb").hexdigest()


def test_a_file_written_in_the_same_instant_is_racily_clean(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"aaaa")
    cache = StatCache()
    cache.hashes(path)
    assert cache.get(path) is None


def test_another_file_under_the_name_is_seen(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"aaaa")
    cache = StatCache()
    settled(cache, path)
    other.write_bytes(b"bbbb")
    other.replace(path)
    assert cache.get(path) is None


def test_memory_survives_in_its_file_and_a_broken_file_is_empty(tmp_path: Path) -> None:
    path, file = tmp_path / "a", tmp_path / "state" / "stat.json"
    path.write_bytes(b"aaaa")
    cache = StatCache(file)
    settled(cache, path)
    cache.save()
    assert StatCache(file).get(path) == cache.get(path)
    file.write_text('{"/x": [1]}')
    assert StatCache(file).get(path) is None
    file.write_bytes(b"\xff")
    assert StatCache(file).get(path) is None


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)

    def grow(chunk: bytes) -> None:
        with path.open("ab") as out:
            out.write(b"more")

    with pytest.raises(ProviderError) as caught:
        hash_once(path, grow)
    assert caught.value.code == "MLO1104"
