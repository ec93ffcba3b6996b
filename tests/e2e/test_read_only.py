"""A clone that cannot be written answers all the same: from an index in memory, without a lock."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.quickstart import BIN, make_small, must

_UNSHARE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
_MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" && shift && exec "$@"'


def read_only(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command while ``folder`` is mounted for reading only, for this command alone."""
    line = [*_UNSHARE, "sh", "-c", _MOUNT, "sh", str(folder), *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "CI": "true"})


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """A small project whose data is pinned, with one entry still in the journal."""
    folder = make_small(tmp_path / "frozen")
    must("mlopsctl apply -y", folder)
    if read_only(folder, "true").returncode != 0:
        pytest.skip("this machine lets nobody mount a folder for reading only")
    assert read_only(folder, "touch", "x").returncode != 0
    return folder


@pytest.mark.parametrize("state", ["known", "forgotten"])
def test_what_only_reads_needs_no_place_to_write(frozen: Path, state: str) -> None:
    if state == "forgotten":
        must("rm -r .git/mlops", frozen)
    for verb in ("plan", "plan --format json", "status", "audit verify", "audit verify --full", "audit log", "diff"):
        done = read_only(frozen, f"{BIN}/mlopsctl", *verb.split())
        assert done.returncode == 0, f"{verb}: {done.stdout}{done.stderr}"
        if verb == "plan":
            assert "data.digits  unchanged" in done.stdout
        if verb.startswith("audit verify"):
            freshness = "anchored" if state == "known" else "unproven"
            assert done.stdout.startswith("ok: 2 valid") and freshness in done.stdout


def test_what_writes_says_so_in_one_line(frozen: Path) -> None:
    for verb in ("apply -y --replace *", "push --trail-only"):
        done = read_only(frozen, f"{BIN}/mlopsctl", *verb.split())
        assert done.returncode == 1 and "error[MLO" in done.stderr and "Traceback" not in done.stderr, done.stderr
