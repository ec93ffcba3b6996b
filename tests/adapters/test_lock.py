"""One writer at a time, and a lock that outlives nobody."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.lock import Holder, break_lock, holder, locked, terminate
from mlopsctl.errors import StaleError
from mlopsctl.serving.processes import start_mark

HOLD = """
import sys, time
from pathlib import Path
from mlopsctl.adapters.lock import locked
with locked(Path(sys.argv[1]), "mlopsctl apply"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(StaleError, match=f"'mlopsctl apply', process {holder.pid} ") as error,
            locked(path, "other"),
        ):
            pass
        assert error.value.exit_code == 6
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with locked(path, "after a kill"):
            assert "after a kill" in path.read_text()


def test_who_only_looks_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``unlock`` and ``cancel`` find out who has the lock by taking it for a moment."""
    path = tmp_path / "lock"
    looking = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_EX)
    monkeypatch.setattr("mlopsctl.adapters.lock.time.sleep", lambda seconds: os.close(looking))
    with locked(path, "mlopsctl apply"):
        assert "mlopsctl apply" in path.read_text()


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock", "again"):
            pass
    assert (tmp_path / "lock").read_text() == ""


def test_who_has_the_lock_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    with locked(path, "mlopsctl apply"):
        found = holder(path)
        assert found is not None and found.pid == os.getpid() and found.lives() is True
        assert " (0 s)" in str(found) or " s)" in str(found)
    assert holder(path) is None


def test_a_process_that_only_has_the_number_of_the_holder_is_not_ended(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        mine = Holder("mlopsctl apply", other.pid, socket.gethostname(), "2026-01-01T00:00:00+00:00", "another:1")
        assert mine.lives() is None and terminate(mine) is False
        assert other.poll() is None
        assert terminate(mine._replace(mark=start_mark(other.pid))) is True
        assert other.wait(30) == -signal.SIGTERM


def test_whoever_waited_for_a_broken_lock_takes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, "from elsewhere"):
        break_lock(path)
        with locked(path, "mlopsctl apply"):
            found = holder(path)
            assert found is not None and found.command == "mlopsctl apply"
