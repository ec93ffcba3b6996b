"""An incident at night: what status says, what plan finds, and that a hold holds. Every command is one that was printed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlopsctl.serving.client import ask
from mlopsctl.serving.files import read_json
from mlopsctl.serving.processes import is_alive
from tests.cli.contract import follows
from tests.quickstart import add_deployment, must, shell, take_down

HOME = Path(".git/mlops/deployments/deployments.local")


@pytest.fixture(scope="module")
def live(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A deployment that has had two releases."""
    folder = add_deployment(applied, tmp_path_factory.mktemp("incident") / "digits")
    must("mlopsctl apply -y", folder)
    must("sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam fewer && mlopsctl apply -y", folder)
    yield folder
    take_down(folder)


def kill(folder: Path) -> None:
    """Ends supervisor and server as a crash of the machine would."""
    found = [read_json(folder / HOME / f"{name}.json") or {} for name in ("supervisor", "state")]
    for item in found:
        os.kill(item["pid"], signal.SIGKILL)
    until = time.monotonic() + 10
    while any(is_alive(item["pid"], item["start"]) for item in found):
        assert time.monotonic() < until
        time.sleep(0.05)


def answer(folder: Path) -> tuple[int, str]:
    port = (read_json(folder / HOME / "supervisor.json") or {})["port"]
    said = ask(f"http://127.0.0.1:{port}", "POST", "/v2/models/classifier/infer", {})
    return said.status, said.error


def held(folder: Path) -> str:
    plan = follows("plan", must("mlopsctl plan --format json 2>/dev/null", folder))
    return next(step["held_by"] or "" for step in plan["steps"] if step["address"] == "deployments.local")


def test_status_of_one_deployment_is_one_screen_with_the_way_back(live: Path) -> None:
    said = must("mlopsctl status local", live)
    assert re.match(r"deployments\.local +serving +http://127\.0\.0\.1:\d+", said)
    assert "live since 20" in said and "last good before it: entry " in said
    (row,) = follows("status", must("mlopsctl status local --format json", live))["resources"]
    assert row["endpoint"].startswith("http://127.0.0.1:") and row["state"] == "serving"
    back = re.search(r"to go back: +(mlopsctl rollback .*)", said)
    assert back
    before = (read_json(live / HOME / "state.json") or {})["artifact"]
    must(f"{back[1]} --reason RISK-7", live)
    assert (read_json(live / HOME / "state.json") or {})["artifact"] != before
    assert "RISK-7" in held(live)
    assert "0 applied" in must("mlopsctl apply -y", live)
    must("echo '# another line' >> train.py && git commit -qam edit && mlopsctl apply -y", live)
    assert "RISK-7" in held(live) and "RISK-7" in must("mlopsctl status local", live)
    must("mlopsctl resume local && mlopsctl apply -y", live)
    assert held(live) == ""


def test_a_halt_outlives_a_crash_and_the_next_apply(live: Path) -> None:
    must('mlopsctl halt local --reason "wrong digits"', live)
    assert answer(live) == (503, "halted: wrong digits")
    assert "wrong digits" in held(live)
    kill(live)
    must("mlopsctl apply -y", live)
    assert answer(live) == (503, "halted: wrong digits")
    assert follows("status", must("mlopsctl status local --format json", live))["resources"][0]["state"] == "halted"
    must("mlopsctl resume local", live)
    assert answer(live)[0] == 400, "it reads requests again, and this one is empty"


def test_plan_finds_a_server_that_is_gone_and_apply_brings_it_back(live: Path) -> None:
    assert "No changes" in must("mlopsctl plan --refresh --detailed-exitcode", live)
    kill(live)
    for words in ("", "--refresh"):
        done = shell(f"mlopsctl plan --detailed-exitcode {words}", live)
        assert done.returncode == 2 and "the server process is gone" in done.stdout
    assert "down" in must("mlopsctl status local", live)
    must("mlopsctl apply -y", live)
    assert "No changes" in must("mlopsctl plan --refresh --detailed-exitcode", live)


def test_the_log_of_a_server(live: Path) -> None:
    assert must("mlopsctl logs local", live).strip()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("mlopsctl halt local", 64, "--reason"),
        ("mlopsctl resume none", 1, "MLO"),
        ("mlopsctl rollback none", 1, "MLO1012"),
        ("mlopsctl rollback local --to 0000000", 1, "MLO"),
        ("mlopsctl destroy", 64, "MLO6468"),
        ("mlopsctl destroy --target lcoal -y", 1, "MLO1012"),
        ("mlopsctl destroy --target local < /dev/null", 64, "-y"),
        ("mlopsctl status nowhere", 1, "MLO1012"),
    ],
)
def test_a_slip_changes_nothing(live: Path, line: str, code: int, words: str) -> None:
    done = shell(line, live)
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout
    assert "No changes" in must("mlopsctl plan --refresh --detailed-exitcode", live)


def test_what_happened_stands_in_the_trail(live: Path) -> None:
    entries = json.loads(must("mlopsctl audit log deployments.local -n -1 --format json 2>/dev/null", live))["entries"]
    kinds = {entry["kind"] for entry in entries}
    assert {"result", "halt", "resume", "rollback"} <= kinds
    assert must("mlopsctl audit verify", live).startswith("ok: ")
