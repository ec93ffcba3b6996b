"""``import deployments.NAME HOST:PORT`` of a ``use: local`` deployment: a server that serves already becomes this one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.cli.adopt_local import adopt_local
from mlopsctl.cli.project import open_project
from mlopsctl.errors import ProviderError, StaleError
from mlopsctl.providers.deployments import local_takeover
from mlopsctl.providers.deployments.listeners import listeners
from mlopsctl.serving import processes
from mlopsctl.serving.client import ask
from mlopsctl.serving.files import read_json
from mlopsctl.serving.processes import is_alive, start_mark
from mlopsctl.serving.supervisor import bind
from tests.audit.test_predicates import documented
from tests.quickstart import add_deployment, must, shell, take_down

HOME = Path(".git/mlops/deployments/deployments.local")


@pytest.fixture(scope="module")
def clone(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    project = add_deployment(applied, tmp_path_factory.mktemp("first") / "first")
    yield project
    take_down(project)


@pytest.fixture
def first(clone: Path) -> Path:
    """A clone whose deployment ``local`` serves."""
    must("git reset -q --hard main && mlopsctl apply -y", clone)
    return clone


@pytest.fixture
def second(applied: Path, tmp_path: Path) -> Iterator[Path]:
    """Another clone with the same trail, which deployed nothing yet."""
    project = add_deployment(applied, tmp_path / "second")
    yield project
    take_down(project)


def endpoint(project: Path) -> str:
    row = json.loads(must("mlopsctl status local --format json", project))["resources"][0]
    return str(row["endpoint"])


def supervisor(project: Path) -> tuple[int, str]:
    found = read_json(project / HOME / "supervisor.json") or {}
    return int(found["pid"]), str(found["start"])


@contextmanager
def foreground(path: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``mlopsctl serve``, and its address."""
    line = [sys.executable, "-m", "mlopsctl", "serve", str(path), *more]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        try:
            yield server, said.strip().partition("/v2/")[0]
        finally:
            server.terminate()


def test_what_another_clone_serves_goes_on_at_its_port_under_this_manifest(first: Path, second: Path) -> None:
    place, before = endpoint(first), supervisor(first)
    said = must(f"mlopsctl import deployments.local {place} --reason 'the old laptop'", second)
    assert "taken over" in said and "rows the same" in said and "mlopsctl destroy --target local" in said
    assert endpoint(second) == place and not is_alive(*before) and is_alive(*supervisor(second))
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", second)
    assert shell("mlopsctl predict local data/digits.csv", second).returncode == 0
    entry = open_project(second).trail.latest("deployments.local")
    assert entry is not None and entry.kind == "result"
    adopted = entry.facts["adopted"]
    assert (adopted["state"], adopted["reason"]) == ("taken over", "the old laptop") and adopted["rows"] > 100
    assert adopted["artifact"] == entry.facts["artifact"] and set(entry.facts) <= documented()[entry.predicate_type]
    assert "0 findings" in must("mlopsctl audit verify --full", second)
    must("mlopsctl halt local --reason drill", second)
    assert ask(place, "GET", "/v2/health/ready").status == 503
    must("mlopsctl resume local && mlopsctl apply -y", second)
    again = shell(f"mlopsctl import deployments.local {place}", second)
    assert again.returncode == 1 and "MLO1031" in again.stdout
    # The other clone says what became of its own.
    assert "the server process is gone" in must("mlopsctl plan", first)
    must("mlopsctl destroy --target local -y && mlopsctl apply -y", first)


def test_a_server_in_the_foreground_becomes_a_deployment(first: Path, second: Path) -> None:
    artifact = next((first / HOME / "releases").glob("*/artifact"))
    with foreground(artifact, "--to", "127.0.0.1:0") as (server, place):
        port = place.rpartition(":")[2]
        must(f"sed -i 's/local: .target: cpu.*/local: {{target: cpu, to: \"127.0.0.1:{port}\"}}/' mlops.yaml", second)
        must("git commit -qam 'Its place'", second)
        said = must("mlopsctl import deployments.local", second)
        assert "mlopsctl serve in the foreground has ended" in said
        assert server.wait(timeout=20) is not None
        assert endpoint(second) == place and ask(place, "GET", "/v2/health/ready").status == 200
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", second)


def test_the_file_of_a_model_is_no_signed_artifact(second: Path, tmp_path: Path) -> None:
    opened = open_project(second)
    entry = opened.trail.latest("train.classifier")
    assert entry is not None
    model = opened.store.checkout(entry.outputs["model"], tmp_path / "model")
    with foreground(model) as (server, place):
        done = shell(f"mlopsctl import deployments.local {place}", second)
        assert done.returncode == 1 and "MLO1516" in done.stdout and "no target of this trail made" in done.stdout
        assert server.poll() is None and ask(place, "GET", "/v2/health/ready").status == 200
    _nothing_happened(second)


def _nothing_happened(project: Path) -> None:
    assert open_project(project).trail.latest("deployments.local", ("result", "import", "failure")) is None
    assert not (project / HOME).exists()


_FOREIGN = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("x-artifact-digest", sys.argv[1])
        self.end_headers()
        self.wfile.write(b"{}")
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_a_foreign_server_is_refused_whatever_it_says(first: Path, second: Path) -> None:
    digest = str((read_json(first / HOME / "state.json") or {})["artifact"])
    with subprocess.Popen([sys.executable, "-c", _FOREIGN, digest], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        done = shell(f"mlopsctl import deployments.local 127.0.0.1:{port}", second)
        alive = server.poll() is None
        server.terminate()
    assert done.returncode == 1 and "MLO1516" in done.stdout and f"process {server.pid}" in done.stdout and alive
    assert "no answer of it proves" in done.stdout and "use: command" in done.stdout
    _nothing_happened(second)


_FORGED = """

_load = load


def load(artifact):
    model = _load(artifact)
    run = model.run
    model.run = lambda feeds, wanted: {name: found[::-1] for name, found in run(feeds, wanted).items()}
    return model
"""


def test_what_answers_otherwise_than_the_artifact_it_names_stays_and_is_not_believed(
    first: Path, second: Path, tmp_path: Path
) -> None:
    """Another installation of mlopsctl, whose models give each row the answer of another one."""
    must(f"{sys.executable} -m venv --without-pip {tmp_path}/venv", tmp_path)
    package = Path(sys.modules["mlopsctl"].__path__[0])
    (site,) = tmp_path.glob("venv/lib/python*/site-packages")
    shutil.copytree(package, site / "mlopsctl", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "others.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    with (site / "mlopsctl" / "serving" / "models.py").open("a") as file:
        file.write(_FORGED)
    artifact = next((first / HOME / "releases").glob("*/artifact"))
    line = [f"{tmp_path}/venv/bin/python", "-I", "-m", "mlopsctl.serving.foreground", str(artifact), "127.0.0.1", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        place = server.stdout.readline().partition("/v2/")[0]
        done = shell(f"mlopsctl import deployments.local {place}", second)
        alive = server.poll() is None
        server.terminate()
    assert done.returncode == 7 and "MLO1517" in done.stdout and "get another answer" in done.stdout, done.stdout
    assert alive and not (second / HOME).exists(), "neither was it ended, nor is anything of ours left"
    _nothing_happened(second)


def test_a_port_that_another_program_shares_is_left_alone(first: Path, second: Path) -> None:
    """Ending ours would not free it, and then nothing would serve there."""
    place, before = endpoint(first), supervisor(first)
    with subprocess.Popen(["sleep", "600"]) as other:
        found = list(listeners(int(place.rpartition(":")[2])))
        shared = [*found, found[0]._replace(pid=other.pid, mark=start_mark(other.pid), argv=("sleep", "600"))]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local_takeover, "listeners", lambda port: iter(shared))
            opened = open_project(second)
            with pytest.raises(ProviderError, match="sleep 600"):
                local_takeover.find(opened.resource("local"), place, opened.context())
        other.terminate()
    assert is_alive(*before)


def test_ours_goes_on_elsewhere_where_the_port_is_lost_in_between(
    first: Path, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other server has ended by then: nothing at all would be worse."""
    place = endpoint(first)
    port = int(place.rpartition(":")[2])
    must(f"sed -i 's/local: .target: cpu.*/local: {{target: cpu, to: \"127.0.0.1:{port}\"}}/' mlops.yaml", second)
    must("git commit -qam 'Its place'", second)
    end = processes.stop
    taken: list[socket.socket] = []

    def stop_and_lose(pid: int, mark: str) -> bool:
        ended = end(pid, mark)
        if not taken and port not in _ports():
            taken.append(bind("127.0.0.1", port))
        return ended

    monkeypatch.setattr(local_takeover, "stop", stop_and_lose)
    monkeypatch.chdir(second)
    with pytest.raises(ProviderError, match="cannot be listened on"):
        adopt_local("local", place, "", replace=False)
    for one in taken:
        one.close()
    elsewhere = int((read_json(second / HOME / "supervisor.json") or {})["port"])
    assert elsewhere != port and ask(f"http://127.0.0.1:{elsewhere}", "GET", "/v2/health/ready").status == 200
    assert "1 to update" in must("mlopsctl plan", second)
    must("mlopsctl apply -y", second)
    assert endpoint(second) == place and "No changes" in must("mlopsctl plan --detailed-exitcode", second)
    must("mlopsctl destroy --target local -y", second)
    must("mlopsctl destroy --target local -y && mlopsctl apply -y", first)


def _ports() -> set[int]:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines if line.split()[3] == "0A"}


def test_two_that_take_over_the_same_server_end_with_one(
    first: Path, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, before = endpoint(first), supervisor(first)
    compare = local_takeover._compare

    def compare_and_lose(*given: Any) -> None:
        compare(*given)
        must("mlopsctl destroy --target local -y", first)

    monkeypatch.setattr(local_takeover, "_compare", compare_and_lose)
    monkeypatch.chdir(second)
    with pytest.raises(StaleError, match="ended while ours was started"):
        adopt_local("local", place, "", replace=False)
    _nothing_happened(second)
    assert not is_alive(*before)
    must("mlopsctl apply -y", first)


def test_a_halted_server_and_one_that_is_nowhere_are_not_taken_over(first: Path, second: Path) -> None:
    place = endpoint(first)
    must("mlopsctl halt local --reason 'wrong prices'", first)
    done = shell(f"mlopsctl import deployments.local {place}", second)
    must("mlopsctl resume local", first)
    assert done.returncode == 1 and "MLO1513" in done.stdout and "wrong prices" in done.stdout
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = shell(f"mlopsctl import deployments.local 127.0.0.1:{free.getsockname()[1]}", second)
    assert done.returncode == 1 and "nothing listens" in done.stdout
    _nothing_happened(second)


def test_a_place_that_it_could_not_have_is_refused_before_anything_is_asked(first: Path, second: Path) -> None:
    for source in (
        "https://127.0.0.1:8080",
        "http://models.example:8080",
        "127.0.0.1",
        "127.0.0.1:x",
        "127.0.0.1:99999",
    ):
        done = shell(f"mlopsctl import deployments.local {source}", second)
        assert done.returncode == 64 and "MLO6483" in done.stdout, done.stdout
    assert shell("mlopsctl import deployments.local", second).returncode == 64
    must("sed -i 's/local: .target: cpu.*/local: {target: cpu, to: \"127.0.0.1:9\"}/' mlops.yaml", second)
    must("git commit -qam 'Another place'", second)
    done = shell(f"mlopsctl import deployments.local {endpoint(first)}", second)
    assert done.returncode == 64 and "write to: '127.0.0.1:" in done.stdout
    _nothing_happened(second)


def test_another_name_in_the_same_clone_is_a_move(first: Path) -> None:
    place, before = endpoint(first), supervisor(first)
    must("sed -i 's/^  local: /  front: /' mlops.yaml && git commit -qam 'Another name'", first)
    done = shell(f"mlopsctl import deployments.front {place}", first)
    must("git reset -q --hard HEAD~1", first)
    assert done.returncode == 1 and "moved: [{from: deployments.local, to: deployments.front}]" in done.stdout
    assert is_alive(*before)


def test_an_older_artifact_is_taken_over_and_updated_by_the_next_apply(first: Path, second: Path) -> None:
    must("sed -i 's/DECAY = 64, 60/DECAY = 64, 50/' train.py && git commit -qam 'Another model'", second)
    must("mlopsctl apply -y --target targets.cpu --target 'gates.*'", second)
    place = endpoint(first)
    must(f"mlopsctl import deployments.local {place}", second)
    assert "1 to update" in must("mlopsctl plan", second)
    older = open_project(second).trail.latest("deployments.local")
    must("mlopsctl apply -y", second)
    newer = open_project(second).trail.latest("deployments.local")
    assert older is not None and newer is not None and older.facts["artifact"] != newer.facts["artifact"]
    assert endpoint(second) == place
    must(f"mlopsctl rollback local --to {older.id[:12]} && mlopsctl unhold local", second)
    must("mlopsctl destroy --target local -y", first)
    must("mlopsctl apply -y", first)


def test_what_a_gate_refuses_today_is_not_taken_over(first: Path, second: Path) -> None:
    must("sed -i 's/min: 0.9[0-9]*/min: 1.0/' mlops.yaml && git commit -qam 'Another bar'", second)
    done = shell(f"mlopsctl import deployments.local {endpoint(first)}", second)
    assert done.returncode == 1 and "MLO1516" in done.stdout and "accuracy" in done.stdout
    assert is_alive(*supervisor(first))
    _nothing_happened(second)
