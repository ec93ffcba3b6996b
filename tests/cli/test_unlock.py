"""Who is at work in a clone, and how to end it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.e2e.refusals import check_left, done, events, start, wait_for
from tests.quickstart import must, shell


def test_nobody_is_at_work(project: Path) -> None:
    assert "The lock is free" in must("mlopsctl unlock", project)
    assert "Nothing to cancel" in must("mlopsctl cancel", project)


def test_a_command_at_work_keeps_its_lock_and_can_be_cancelled(project: Path) -> None:
    (project / "train.py").write_text("import time\nprint('training', flush=True)\ntime.sleep(600)\n")
    with start("mlopsctl apply -y", project) as process:
        said = wait_for(process, "training")
        for line in ("mlopsctl unlock", "mlopsctl unlock --force"):
            refused = shell(line, project)
            assert refused.returncode == 6 and "error[MLO6012]" in refused.stdout
            assert f"process {process.pid} on {socket.gethostname()}, since " in refused.stdout
        assert f"Ended 'mlopsctl apply', process {process.pid}" in must("mlopsctl cancel", project)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said + rest
    check_left(project)
    assert "The lock is free" in must("mlopsctl unlock", project)


def test_a_lock_held_from_elsewhere_is_broken_by_force_only(project: Path) -> None:
    lock = project / ".git" / "mlops" / "lock"
    with start(f"flock {lock} sleep 60", project) as process:
        while "is free" in shell("mlopsctl unlock", project).stdout:
            assert process.poll() is None
        lock.write_text(
            json.dumps({"command": "mlopsctl apply", "pid": 7, "host": "farm", "since": "2026-01-01T00:00:00+00:00"})
        )
        assert "error[MLO6014]" in shell("mlopsctl cancel", project).stdout
        assert "error[MLO6013]" in shell("mlopsctl unlock", project).stdout
        assert "Broke the lock of 'mlopsctl apply', process 7 on farm" in must("mlopsctl unlock --force", project)
        assert done(events(project)) == []
        process.terminate()
