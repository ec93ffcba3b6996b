"""What keeps a server running, whatever happens around it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from mlopsctl.serving import supervisor
from mlopsctl.serving.processes import is_alive, start_mark
from mlopsctl.serving.supervisor import Log

from .conftest import Deployed, artifact

DEAF = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def test_the_log_keeps_the_newest_and_is_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_LIMIT", 1000)
    log = Log(tmp_path / "server.log")
    for number in range(1000):
        log.write(b"line %d\n" % number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["server.log", "server.log.1"]
    assert sum(file.stat().st_size for file in files) < 2100
    assert "line 999" in files[0].read_text() + files[1].read_text()
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]


def test_a_full_disk_costs_a_line_of_the_log_and_not_the_server() -> None:
    Log(Path("/dev/full")).write(b"a line")


def test_a_program_that_hears_nothing_ends_with_its_killed_server(deployed: Deployed, tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    pids = tmp_path / "pids"
    described: dict[str, Any] = {"runtime": "program", "model": ".", "inputs": [], "outputs": []}
    made = artifact(tmp_path / "a", **described, predict=[sys.executable, str(tmp_path / "deaf.py"), str(pids)])
    deployed.use(deployed.release(made))
    deployed.start()
    deployed.wait(lambda: pids.exists() and pids.read_text())
    program = int(pids.read_text())
    mark = start_mark(program)
    _, (server, _) = deployed.processes()
    try:
        os.kill(server, signal.SIGKILL)
        deployed.wait(lambda: not is_alive(program, mark), 5)
        deployed.wait(lambda: len(pids.read_text().splitlines()) == 2)
    finally:
        if is_alive(program, mark):
            os.kill(program, signal.SIGKILL)


def test_a_server_that_cannot_write_its_state_serves(deployed: Deployed, tmp_path: Path) -> None:
    deployed.use(deployed.release(artifact(tmp_path / "a")))
    (deployed.state / "state.json").mkdir()
    command = [sys.executable, "-I", "-m", "mlopsctl.serving.supervisor", str(deployed.state), "127.0.0.1", "0"]
    subprocess.run(command, check=True, timeout=30)
    listening = json.loads((deployed.state / "supervisor.json").read_text())
    try:
        assert requests.get(f"http://127.0.0.1:{listening['port']}/v2/health/ready", timeout=10).status_code == 200
    finally:
        with contextlib.suppress(FileNotFoundError):
            (deployed.state / "state.json").rmdir()
