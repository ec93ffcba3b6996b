"""One writer at a time, and a lock that outlives nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.lock import locked
from mlopsctl.errors import StaleError

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


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock", "again"):
            pass
    assert (tmp_path / "lock").read_text() == ""
