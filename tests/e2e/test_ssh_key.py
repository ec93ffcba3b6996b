"""A project whose only key is an OpenSSH key in an agent: from `init` to a server, and out of the repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, shell, take_down
from tests.ssh import add, agent, keygen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user whose encrypted key is in the agent."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    keygen(tmp_path / "id", passphrase="seven words")
    with agent(tmp_path) as environment:
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        add(tmp_path / "id", environment, "seven words")
        yield tmp_path


def test_a_whole_project_by_an_openssh_key(home: Path) -> None:
    must("mlopsctl key import ada id", home)
    project = make_quickstart(home / "digits")
    try:
        must("mlopsctl apply -y", project)
        assert must("mlopsctl audit verify --full", project).startswith("ok: ")
        status = json.loads(must("mlopsctl status --format json 2>/dev/null", project))
        live = next(row for row in status["resources"] if row["address"] == "deployments.local")
        assert live["state"] == "serving", "the server checked the SSHSIG before it loaded"
        release = next((project / ".git/mlops/deployments").rglob("artifact.sig")).parent
        must(f"cp -r {release}/artifact {release}/artifact.sig .", home)
        assert "SSHSIG by ssh-ed25519" in must("mlopsctl verify artifact --key id.pub", home)
        must("chmod u+w artifact && touch artifact/extra", home)
        assert "not signed: extra" in shell("mlopsctl verify artifact --key id.pub", home).stdout
    finally:
        take_down(project)


def test_without_the_agent_everything_that_only_reads_works(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    must("mlopsctl key import ada id", home)
    project = make_quickstart(home / "digits")
    monkeypatch.delenv("SSH_AUTH_SOCK")
    for line in ("mlopsctl plan", "mlopsctl status", "mlopsctl audit verify --full", "mlopsctl key show"):
        must(line, project)
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 7 and "MLO7132" in done.stdout and "ssh-add" in done.stdout
