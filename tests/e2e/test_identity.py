"""A CI job without any key: it makes and serves a model as itself, and everybody else verifies that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, shell, take_down
from tests.sigstore.local import LocalSigstore

WORKFLOW = "https://github.com/example/digits/.github/workflows/train.yml@refs/heads/main"
GITHUB = "https://token.actions.githubusercontent.com"
RULE = f"""\
  ci:
    identity: {WORKFLOW}
    issuer: {GITHUB}
    roles: [data, train, gate, compile, deploy, halt]
"""


@pytest.fixture
def as_job(sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on commands run as the job that the policy lists as ``ci``."""
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(sigstore.trust()))

    def become() -> None:
        token = sigstore.token(iss=GITHUB, sub="repo:example/digits", job_workflow_ref=WORKFLOW[19:])
        monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(token))
        monkeypatch.setenv("MLOPS_KEY", "sigstore")

    return become


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """The quickstart with ``ci`` in its policy, taken down after the test."""
    folder = make_quickstart(tmp_path / "live")
    trust = folder / "trust.yaml"
    trust.write_text(trust.read_text().rstrip("\n") + "\n" + RULE)
    must("mlopsctl trust apply -y && git commit -qam 'Let CI in'", folder)
    yield folder
    take_down(folder)


def test_a_job_makes_and_serves_a_model_and_a_fresh_clone_verifies_it_offline(
    live: Path, as_job: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_job()
    must("mlopsctl apply -y", live)
    entries = json.loads(must("mlopsctl audit log --format json", live))["entries"]
    assert {one["signer"] for one in entries if one["kind"] == "result"} == {"ci"}
    release = next((live / ".git/mlops/deployments/deployments.local/releases").iterdir())
    assert (release / "key.pub").read_text() == f"sigstore:{GITHUB}#{WORKFLOW}\n"
    assert '"state": "serving"' in must("mlopsctl status deployments.local --format json", live)

    for name in ("MLOPS_KEY", "MLOPS_ID_TOKEN_FILE"):
        monkeypatch.delenv(name)
    fresh = tmp_path / "fresh"
    must(f"git clone -q {live} {fresh} && git -C {fresh} fetch -q origin refs/notes/mlops:refs/notes/mlops", tmp_path)
    verdict = json.loads(must("mlopsctl audit verify --format json", fresh))
    assert verdict["ok"] and verdict["entries"] == len(entries)
    assert "data.digits" in must("mlopsctl plan --offline", fresh)

    # Where another Sigstore is trusted, nothing of this counts, and nothing of it is deployed.
    monkeypatch.delenv("MLOPS_SIGSTORE_TRUST")
    verdict = json.loads(shell("mlopsctl audit verify --format json", fresh).stdout)
    assert {one["code"] for one in verdict["findings"]} >= {"MLO7011"}


def test_a_job_that_gets_no_identity_does_no_work(
    live: Path, sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an hour of training made would be lost for want of a signature."""
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(sigstore.trust()))
    monkeypatch.setenv("MLOPS_KEY", "sigstore")
    done = shell("mlopsctl apply -y", live)
    assert done.returncode == 7 and "MLO7150" in done.stdout, done.stdout
    assert "done" not in done.stdout


def test_a_trail_does_not_begin_with_an_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_KEY", "sigstore")
    done = shell("mlopsctl init --template quickstart new", tmp_path)
    assert done.returncode == 64 and "MLO7156" in done.stdout
    assert not list(tmp_path.rglob("*.pem"))
