"""One deployment for two clients, end to end: each with a port and a target of its own, added and taken away by a row."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlopsctl.serving.client import ask
from tests.quickstart import must, shell, take_down

CLIENTS = "client,port,target\nacme,{0},cpu\nbeta,{1},spare\n"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def clients(project: Path) -> Iterator[tuple[Path, list[int]]]:
    """The applied quickstart with two targets, and a deployment that a table repeats."""
    ports = free_ports(2)
    manifest = project / "mlops.yaml"
    text = manifest.read_text().replace("  cpu: {}\n", "  cpu: {}\n  spare: {tolerance: 1e-4}\n")
    deployment = (
        "deployments:\n  local:\n    each: clients.csv\n    target: '{each.target}'\n    to: 127.0.0.1:{each.port}\n"
    )
    manifest.write_text(text + deployment)
    (project / "clients.csv").write_text(CLIENTS.format(*ports))
    must('git add -A && git commit -qm "Two clients"', project)
    yield project, ports
    take_down(project)


def test_two_clients_are_served_held_and_taken_down_apart(clients: tuple[Path, list[int]]) -> None:
    project, ports = clients
    must("mlopsctl apply -y", project)
    assert [ask(f"http://127.0.0.1:{port}", "GET", "/v2/health/ready").status for port in ports] == [200, 200]
    entries = json.loads(must("mlopsctl audit log --format json", project))["entries"]
    made = {
        entry["address"]: entry["facts"]["target"] for entry in entries if entry["address"].startswith("deployments.")
    }
    assert made == {"deployments.local[acme]": "targets.cpu", "deployments.local[beta]": "targets.spare"}
    # Nothing left to do, and one is halted without the other.
    assert "No changes" in must("mlopsctl plan", project)
    must("mlopsctl halt 'local[acme]' --reason test", project)
    assert [ask(f"http://127.0.0.1:{port}", "GET", "/v2/health/ready").status for port in ports] == [503, 200]
    must("mlopsctl resume 'local[acme]'", project)
    # A saved plan knows the table; a row that goes takes its client down and leaves the other alone.
    must("mlopsctl plan -o all.plan", project)
    table = project / "clients.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    must("git add clients.csv && git commit -qm 'One client'", project)
    assert shell("mlopsctl apply all.plan", project).returncode == 6
    assert "deployments.local[beta]  delete" in must("mlopsctl apply -y", project)
    assert ask(f"http://127.0.0.1:{ports[0]}", "GET", "/v2/health/ready").status == 200
    assert not (project / ".git/mlops/deployments/deployments.local[beta]").exists()


def test_repeating_what_exists_makes_nothing_anew(project: Path) -> None:
    manifest = project / "mlops.yaml"
    text = manifest.read_text()
    text = text.replace("cpu: {}", "cpu: {each: {v: [a, b]}}").replace(
        "accuracy: {metric: accuracy, min: 0.93}",
        "accuracy: {each: {bar: [0.9, 0.93]}, metric: accuracy, min: '{each.bar}'}",
    )
    manifest.write_text(text)
    assert json.loads(must("mlopsctl plan --format json", project))["summary"]["noop"] == 7
