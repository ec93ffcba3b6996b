"""A deployment's server as a client and an operator meet it: real processes, real signatures, real requests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from mlopsctl.serving.files import write_json
from mlopsctl.serving.processes import is_alive
from mlopsctl.serving.server import release_folder

from .conftest import Deployed, artifact, body, new_keys


def test_answers_with_digest_and_decision(deployed: Deployed, tmp_path: Path) -> None:
    digest = deployed.release(artifact(tmp_path / "a", slope=2.0))
    deployed.use(digest)
    deployed.start()
    first, second = deployed.ask([[1, 2], [3, 4]]), deployed.ask([[1, 2]])
    assert first.status_code == 200
    assert first.json()["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [6.0, 14.0]}]
    assert first.headers["x-artifact-digest"] == digest == first.json()["parameters"]["artifact"]
    assert first.headers["x-decision-id"] == first.json()["parameters"]["decision_id"]
    assert first.headers["x-decision-id"] != second.headers["x-decision-id"]
    assert requests.get(deployed.url + "/health/ready", timeout=5).status_code == 200


def test_refuses_to_start_with_changed_bytes(deployed: Deployed, tmp_path: Path) -> None:
    digest = deployed.release(artifact(tmp_path / "a"))
    model = release_folder(deployed.state, digest) / "artifact" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    deployed.use(digest)
    deployed.start()
    state = deployed.state_of("state") or {}
    assert state["artifact"] == "" and "have the digest" in state["refused"]
    with pytest.raises(requests.Timeout):
        requests.get(deployed.url + "/health/live", timeout=0.5)


def test_switches_without_losing_a_request(deployed: Deployed, tmp_path: Path) -> None:
    old = deployed.release(artifact(tmp_path / "old", slope=1.0))
    new = deployed.release(artifact(tmp_path / "new", slope=3.0))
    deployed.use(old)
    deployed.start()
    ended, wrong, counts = threading.Event(), [], {old: 0, new: 0}

    def ask_on() -> None:
        with requests.Session() as session:
            while not ended.is_set():
                answer = session.post(deployed.url + "/models/classifier/infer", json=body([[1, 1]]), timeout=10)
                digest = answer.headers["x-artifact-digest"]
                counts[digest] += 1
                want = 2.0 if digest == old else 6.0
                if answer.status_code != 200 or answer.json()["outputs"][0]["data"] != [want]:
                    wrong.append(answer.text)

    clients = [threading.Thread(target=ask_on) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for digest in (new, old, new):
            time.sleep(0.3)
            deployed.use(digest)
            deployed.wait(lambda digest=digest: (deployed.state_of("state") or {})["artifact"] == digest)
            time.sleep(1.2)
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert not wrong
    assert min(counts.values()) > 20


def test_a_slow_model_finishes_what_it_began_before_a_switch(deployed: Deployed, tmp_path: Path) -> None:
    source = "import sys, time\nfor line in sys.stdin:\n    time.sleep(0.4)\n    print(line.strip(), flush=True)\n"
    (tmp_path / "program.py").write_text(source)
    described: dict[str, Any] = {"runtime": "program", "model": ".", "inputs": [], "outputs": []}
    slow = artifact(tmp_path / "slow", **described, predict=[sys.executable, str(tmp_path / "program.py")])
    old, new = deployed.release(slow), deployed.release(artifact(tmp_path / "new"))
    deployed.use(old)
    deployed.start()
    answers: list[requests.Response] = []
    clients = [threading.Thread(target=lambda: answers.append(deployed.ask([[1, 1]]))) for _ in range(5)]
    for client in clients:
        client.start()
    time.sleep(0.2)
    deployed.use(new)
    deployed.wait(lambda: (deployed.state_of("state") or {})["artifact"] == new)
    for client in clients:
        client.join()
    assert [(answer.status_code, answer.headers["x-artifact-digest"]) for answer in answers] == [(200, old)] * 5


def test_a_bad_new_version_leaves_the_old_one_serving(deployed: Deployed, tmp_path: Path) -> None:
    old = deployed.release(artifact(tmp_path / "old", slope=1.0))
    new = deployed.release(artifact(tmp_path / "new", slope=3.0))
    stranger = new_keys(tmp_path / "stranger")
    stranger.sign(
        release_folder(deployed.state, new) / "artifact", release_folder(deployed.state, new) / "artifact.sig"
    )
    deployed.use(old)
    deployed.start()
    deployed.use(new)
    deployed.wait(lambda: "refused" in (deployed.state_of("state") or {}))
    state = deployed.state_of("state") or {}
    assert state["artifact"] == old
    assert "signature does not hold" in state["refused"]
    assert deployed.ask([[1, 1]]).headers["x-artifact-digest"] == old


def test_halt_answers_503_at_once_survives_a_crash_and_resumes(deployed: Deployed, tmp_path: Path) -> None:
    deployed.use(deployed.release(artifact(tmp_path / "a")))
    deployed.start()
    write_json(deployed.state / "halt.json", {"reason": "wrong prices"})
    answer = deployed.ask([[1, 2]])
    assert (answer.status_code, answer.json()) == (503, {"error": "halted: wrong prices"})
    assert requests.get(deployed.url + "/health/ready", timeout=5).status_code == 503
    assert requests.get(deployed.url + "/health/live", timeout=5).status_code == 200
    before = (deployed.state_of("state") or {})["pid"]
    os.kill(before, signal.SIGKILL)
    deployed.wait(lambda: (deployed.state_of("state") or {})["pid"] != before)
    assert deployed.ask([[1, 2]]).status_code == 503
    (deployed.state / "halt.json").unlink()
    assert deployed.ask([[1, 2]]).status_code == 200


def test_a_halt_reaches_what_is_under_way(deployed: Deployed, tmp_path: Path) -> None:
    source = (
        "import sys, time\nfor line in sys.stdin:\n"
        "    open(sys.argv[1], 'a').write(line)\n    time.sleep(0.6)\n    print(line.strip(), flush=True)\n"
    )
    (tmp_path / "program.py").write_text(source)
    seen = tmp_path / "seen"
    described: dict[str, Any] = {"runtime": "program", "model": ".", "inputs": [], "outputs": []}
    made = artifact(tmp_path / "slow", **described, predict=[sys.executable, str(tmp_path / "program.py"), str(seen)])
    deployed.use(deployed.release(made))
    deployed.start()
    assert deployed.ask([[1, 1]]).status_code == 200
    answers: list[requests.Response] = []
    clients = [threading.Thread(target=lambda: answers.append(deployed.ask([[1, 1]]))) for _ in range(3)]
    for client in clients:
        client.start()
    time.sleep(0.2)
    write_json(deployed.state / "halt.json", {"reason": "wrong prices"})
    for client in clients:
        client.join()
    assert [(answer.status_code, answer.json()) for answer in answers] == [(503, {"error": "halted: wrong prices"})] * 3
    assert len(seen.read_text().splitlines()) == 2, "those that waited for their turn never reached the model"


def test_a_halt_file_nobody_can_read_halts_too(deployed: Deployed, tmp_path: Path) -> None:
    deployed.use(deployed.release(artifact(tmp_path / "a")))
    deployed.start()
    (deployed.state / "halt.json").write_text("{")
    assert deployed.ask([[1, 2]]).json() == {"error": "halted: no reason given"}


def test_ends_when_its_state_folder_is_removed(deployed: Deployed, tmp_path: Path) -> None:
    deployed.use(deployed.release(artifact(tmp_path / "a")))
    deployed.start()
    processes = deployed.processes()
    # The server may write while the folder goes.
    while deployed.state.exists():
        shutil.rmtree(deployed.state, ignore_errors=True)
    deadline = time.monotonic() + 10
    while any(is_alive(pid, mark) for pid, mark in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_server_ends_with_its_supervisor(deployed: Deployed, tmp_path: Path) -> None:
    deployed.use(deployed.release(artifact(tmp_path / "a")))
    deployed.start()
    (supervisor, _), (server, mark) = deployed.processes()
    os.kill(supervisor, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_alive(server, mark):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_body_too_large_is_413_and_the_server_goes_on(deployed: Deployed, tmp_path: Path) -> None:
    deployed.use(deployed.release(artifact(tmp_path / "a")), max_body=1000)
    deployed.start()
    url = deployed.url + "/models/classifier/infer"
    assert requests.post(url, data=b" " * 1001, timeout=5).status_code == 413
    chunked = requests.post(url, data=(b" " * 600 for _ in range(3)), timeout=5)
    assert chunked.status_code == 413 and "larger than 1000" in chunked.json()["error"]
    assert deployed.ask([[1, 2]]).status_code == 200


def test_the_log_says_what_was_served(deployed: Deployed, tmp_path: Path) -> None:
    digest = deployed.release(artifact(tmp_path / "a"))
    deployed.use(digest)
    deployed.start()
    log = deployed.state / "server.log"  # written by the supervisor, once the server says something
    deployed.wait(lambda: log.exists() and digest in log.read_text())
    assert json.loads((deployed.state / "state.json").read_text())["artifact"] == digest
