"""serve, predict, halt, resume, rollback and destroy in a real project made from the quickstart."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.serving.client import ask
from mlopsctl.serving.files import read_json
from mlopsctl.serving.processes import is_alive
from tests.quickstart import add_deployment, must, shell, take_down

HOME = Path(".git/mlops/deployments/deployments.local")


def processes(project: Path) -> list[tuple[int, str]]:
    found = [read_json(project / HOME / f"{name}.json") for name in ("supervisor", "state")]
    return [(item["pid"], item["start"]) for item in found if item]


def artifact(project: Path) -> str:
    return str((read_json(project / HOME / "state.json") or {})["artifact"])


def rows(project: Path, count: int) -> list[str]:
    return (project / "data" / "digits.csv").read_text().splitlines()[: count + 1]


@pytest.fixture(scope="module")
def live(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose deployment serves; nothing of it runs on afterwards."""
    project = add_deployment(applied, tmp_path_factory.mktemp("live") / "project")
    must("mlopsctl apply -y", project)
    yield project
    before = processes(project)
    take_down(project)
    assert not [pid for pid, mark in before if is_alive(pid, mark)]


def test_predictions_of_a_deployment_and_of_its_model_file_agree(live: Path, tmp_path: Path) -> None:
    must(f"mlopsctl predict local data/digits.csv {tmp_path}/served.csv", live)
    release = next((live / HOME / "releases").glob("*/artifact"))
    must(f"mlopsctl predict {release} data/digits.csv {tmp_path}/file.csv --drop digit", live)
    served = list(csv.DictReader((tmp_path / "served.csv").read_text().splitlines()))
    of_file = list(csv.DictReader((tmp_path / "file.csv").read_text().splitlines()))
    assert [row["prediction"] for row in served] == [row["prediction"] for row in of_file]
    labels = [line.rpartition(",")[2] for line in rows(live, 1797)[1:]]
    assert sum(row["prediction"] == label for row, label in zip(served, labels, strict=True)) > 1700
    assert len(served[0]) == 11, "the class and ten probabilities; the label column was no feature"


def test_rows_come_as_json_on_stdin_too(live: Path) -> None:
    header, line = rows(live, 1)
    record = dict(zip(header.split(","), map(float, line.split(",")), strict=True))
    del record["digit"]
    (live.parent / "row.json").write_text(json.dumps([record]))
    out = must("mlopsctl predict local - --format json < ../row.json 2>/dev/null", live)
    assert json.loads(out)[0]["prediction"] == int(line.rpartition(",")[2])


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        ("local none.csv", "MLO6461", 64),
        ("local train.py", "MLO6462", 64),
        ("targets.cpu data/digits.csv", "MLO6465", 64),
        ("local data/digits.csv --format xml", "MLO6464", 64),
        ("nowhere.onnx data/digits.csv", "MLO1531", 1),
        ("locl data/digits.csv", "MLO1012", 1),
        ("local - <<< '[]'", "MLO6463", 64),
        ("local - <<< '[{\"a\": 1}]'", "MLO1308", 1),
    ],
)
def test_a_wrong_question_is_answered_with_a_code(live: Path, arguments: str, code: str, status: int) -> None:
    done = shell(f"mlopsctl predict {arguments}", live)
    assert (done.returncode, code in done.stdout) == (status, True), done.stdout


def test_a_halt_holds_through_apply_until_resume(live: Path) -> None:
    assert "halted: wrong digits" in must('mlopsctl halt local --reason "wrong digits"', live)
    done = shell("mlopsctl predict local data/digits.csv", live)
    assert done.returncode == 1 and "halted: wrong digits" in done.stdout
    assert "wrong digits" in must("mlopsctl apply -y", live)
    assert "halted" in must("mlopsctl status local", live)
    assert shell("mlopsctl predict local data/digits.csv", live).returncode == 1
    must("mlopsctl resume local", live)
    must("mlopsctl predict local data/digits.csv /dev/null", live)
    assert "held" not in must("mlopsctl plan", live)


def test_a_halt_needs_neither_manifest_nor_key_and_is_signed_later(live: Path) -> None:
    manifest = live / "mlops.yaml"
    text = manifest.read_text()
    manifest.write_text("{ broken")
    try:
        done = shell("mlopsctl halt 'loc*' --reason panic", live)
    finally:
        manifest.write_text(text)
    assert done.returncode == 8 and "MLO8501" in done.stdout
    assert ask(_endpoint(live), "POST", "/v2/models/classifier/infer", {}).error == "halted: panic"
    assert list((live / ".git/mlops/queued").iterdir())
    assert "panic" in must("mlopsctl resume local", live)
    assert not list((live / ".git/mlops/queued").iterdir())
    assert "nothing holds" in must("mlopsctl resume local", live)


def test_a_halt_needs_no_space_on_the_disk(live: Path) -> None:
    done = shell("ulimit -f 0; mlopsctl halt local --reason full", live)
    try:
        assert done.returncode == 8 and "MLO8502" in done.stdout, done.stdout
        assert ask(_endpoint(live), "POST", "/v2/models/classifier/infer", {}).error.startswith("halted: ")
        must("mlopsctl halt local --reason full", live)
        assert ask(_endpoint(live), "POST", "/v2/models/classifier/infer", {}).error == "halted: full"
    finally:
        must("mlopsctl resume local", live)


def test_halting_nothing_is_an_error(live: Path) -> None:
    done = shell("mlopsctl halt 'prod*' --reason x", live)
    assert done.returncode == 1 and "MLO1535" in done.stdout


def test_a_server_that_hangs_is_known_to_who_asks_and_started_anew(live: Path) -> None:
    server = (read_json(live / HOME / "state.json") or {})["pid"]
    os.kill(server, signal.SIGSTOP)
    try:
        assert "No changes" in must("mlopsctl plan", live)
        done = shell("mlopsctl plan --refresh-only --detailed-exitcode", live)
        assert done.returncode == 2 and "read" in done.stdout and "does not answer" in done.stdout
        must("mlopsctl plan --refresh -o drift.plan", live)
        assert "1 applied" in must("mlopsctl apply drift.plan", live)
    finally:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGCONT)
    assert "No drift" in must("mlopsctl plan --refresh-only --detailed-exitcode", live)


def test_a_rollback_holds_until_resume_and_is_judged_by_todays_bars(live: Path) -> None:
    old = artifact(live)
    assert "MLO1537" in shell("mlopsctl rollback local", live).stdout
    must("sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam fewer && mlopsctl apply -y", live)
    new = artifact(live)
    assert new != old
    must("mlopsctl rollback local --reason RISK-1", live)
    assert artifact(live) == old
    plan = must("mlopsctl plan --detailed-exitcode", live)
    assert "RISK-1" in plan and "No changes" in plan
    must("mlopsctl resume local", live)
    assert shell("mlopsctl plan --detailed-exitcode", live).returncode == 2
    must("mlopsctl apply -y", live)
    assert artifact(live) == new
    must("sed -i 's/min: 0.93/min: 0.999/' mlops.yaml", live)
    try:
        done = shell("mlopsctl rollback local", live)
    finally:
        must("git checkout -q mlops.yaml", live)
    assert done.returncode == 4 and "MLO4501" in done.stdout
    assert artifact(live) == new
    assert "MLO1536" in shell(f"mlopsctl rollback local --to {_entry_of(live, 'targets.cpu')}", live).stdout


def test_a_rollback_counts_no_measurement_of_another_metric(live: Path) -> None:
    must("sed -i 's/metric: accuracy, min: 0.93/metric: log_loss, max: 1/' mlops.yaml", live)
    try:
        # Accuracy 0.97 is below 1, and no log loss of this model was ever measured.
        assert "gates.accuracy never measured this model" in must("mlopsctl rollback local", live)
    finally:
        must("git checkout -q mlops.yaml && mlopsctl resume local && mlopsctl apply -y", live)


def test_destroy_asks_takes_down_and_apply_deploys_again(live: Path) -> None:
    before = processes(live)
    assert shell("mlopsctl destroy", live).returncode == 64
    assert "MLO6469" in shell("mlopsctl destroy --all", live).stdout
    assert "gone" in must("mlopsctl destroy --target local -y", live)
    assert not [pid for pid, mark in before if is_alive(pid, mark)]
    assert not (live / HOME).exists()
    assert "MLO1533" in shell("mlopsctl predict local data/digits.csv", live).stdout
    assert "nothing that runs here" in must("mlopsctl destroy --all -y", live)
    must("mlopsctl apply -y", live)
    must("mlopsctl predict local data/digits.csv /dev/null", live)


def test_a_deployment_that_left_the_manifest_is_taken_down_by_apply(live: Path) -> None:
    before = processes(live)
    must("sed -i '/^deployments:/,$d' mlops.yaml", live)
    try:
        assert "delete" in must("mlopsctl apply -y", live)
    finally:
        must("git checkout -q mlops.yaml", live)
    assert not [pid for pid, mark in before if is_alive(pid, mark)]
    must("mlopsctl apply -y", live)


def test_serve_answers_until_ctrl_c(live: Path) -> None:
    release = next((live / HOME / "releases").glob("*/artifact"))
    command = [sys.executable, "-m", "mlopsctl", "serve", str(release / "model.onnx")]
    with subprocess.Popen(command, cwd=live, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v2/models/model", url)
            must(f"mlopsctl predict {url} data/digits.csv /dev/null --drop digit", live)
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 130
        finally:
            server.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.split(":")[2].partition("/")[0]))) != 0


def test_serve_says_why_it_does_not(live: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    assert "MLO1534" in shell(f"mlopsctl serve {tmp_path}/model.onnx", live).stdout
    assert "MLO6467" in shell("mlopsctl serve nowhere.onnx", live).stdout
    assert "MLO6466" in shell(f"mlopsctl serve {tmp_path}/model.onnx --to here", live).stdout
    port = _endpoint(live).rpartition(":")[2]
    done = shell(f"mlopsctl serve {tmp_path}/model.onnx --to 127.0.0.1:{port}", live)
    assert done.returncode == 1 and "MLO1504" in done.stdout and "mlopsctl.serving" in done.stdout


def _endpoint(project: Path) -> str:
    listening: dict[str, Any] = read_json(project / HOME / "supervisor.json") or {}
    return f"http://127.0.0.1:{listening['port']}"


def _entry_of(project: Path, address: str) -> str:
    from mlopsctl.cli.project import open_project
    from mlopsctl.types import Address

    entry = open_project(project).trail.latest(Address.parse(address))
    assert entry is not None
    return entry.id[:12]
