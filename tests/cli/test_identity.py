"""Signing and verifying by an identity, as typed: without a repository, in a job, and by a person at a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.quickstart import BIN, must, shell
from tests.sigstore.local import ADA, LocalSigstore

# What a browser does with the address that it is given: it follows where it is sent.
BROWSER = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    return folder


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ada(sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> LocalSigstore:
    """Ada's token lies in a file; whom she trusts is set."""
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(sigstore.trust()))
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token()))
    return sigstore


def test_a_model_is_signed_and_verified_without_a_repository(
    model: Path, ada: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ADA in must(f"mlopsctl sign {model} --identity", tmp_path)
    for name in ("MLOPS_SIGSTORE_TRUST", "MLOPS_ID_TOKEN_FILE"):
        monkeypatch.delenv(name)
    check = f"mlopsctl verify {model} --issuer {ada.url} --trust-config {ada.trust()} --identity"
    assert "witnessed" in must(f"{check} {ADA}", tmp_path)
    wrong = shell(f"{check} https://people.example/eve", tmp_path)
    assert wrong.returncode == 7 and "MLO7110" in wrong.stdout
    (model / "model.onnx").write_bytes(b"others")
    changed = shell(f"{check} {ADA}", tmp_path)
    assert changed.returncode == 7 and "changed: model.onnx" in changed.stdout


def test_the_public_sigstore_is_the_default(model: Path, ada: LocalSigstore, tmp_path: Path) -> None:
    must(f"mlopsctl sign {model} --identity", tmp_path)
    done = shell(f"env -u MLOPS_SIGSTORE_TRUST mlopsctl verify {model} --identity {ADA} --issuer {ada.url}", tmp_path)
    assert done.returncode == 7 and "MLO7110" in done.stdout


def test_mlops_key_chooses_the_identity_for_models_too(
    model: Path, ada: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_KEY", "sigstore")
    assert ADA in must(f"mlopsctl sign {model}", tmp_path)
    monkeypatch.setenv("MLOPS_KEY", ada.key("https://people.example/eve"))
    done = shell(f"mlopsctl sign {model}", tmp_path)
    assert done.returncode == 7 and "MLO7152" in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "verify model --identity ada",
        "verify model --issuer https://issuer.example",
        "verify model --identity ada --issuer nowhere",
        "verify model --identity ada --issuer https://issuer.example --key model/model.onnx",
        "sign model --identity --key alice",
    ],
)
def test_half_an_identity_or_a_key_besides_is_refused(model: Path, line: str) -> None:
    done = shell(f"mlopsctl {line}", model.parent)
    assert done.returncode == 64 and "MLO7157" in done.stdout, done.stdout


def test_key_show_prints_what_the_trust_policy_needs(
    ada: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_KEY", "sigstore")
    shown = must("mlopsctl key show", tmp_path)
    assert re.search(rf"identity +{re.escape(ADA)}\n +issuer +{re.escape(ada.url)}\n", shown)
    assert json.loads(must("mlopsctl key show --format json", tmp_path))["key"] == ada.key(ADA)
    assert "signs as an identity" in must("mlopsctl doctor || true", tmp_path)


@pytest.mark.parametrize("browser", [True, False], ids=["a browser", "no browser"])
def test_a_person_logs_in(model: Path, sigstore: LocalSigstore, tmp_path: Path, browser: bool) -> None:
    """At a terminal, outside of CI: in a browser, or where there is none by a code."""
    script = tmp_path / "browser"
    script.write_text(f"#!{sys.executable}\n{BROWSER if browser else 'raise SystemExit(1)'}\n")
    script.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "DISPLAY")}
    environment |= {"MLOPS_SIGSTORE_TRUST": str(sigstore.trust()), "BROWSER": f"{script} %s", "PATH": str(tmp_path)}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(BIN / "mlopsctl"), "sign", str(model), "--identity"],
        env=environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    if not browser:
        os.write(ours, b"out-of-band\n")
    printed, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0 and ADA in printed
    must(
        f"mlopsctl verify {model} --identity {ADA} --issuer {sigstore.url} --trust-config {sigstore.trust()}", tmp_path
    )
