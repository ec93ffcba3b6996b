"""Where the token comes from, in each CI system as far as one can be set up here; what they log is in recorded bundles."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from mlopsctl.adapters.keyless_signer import IdentitySigner
from mlopsctl.adapters.sigstore_trust import trust_source
from mlopsctl.errors import EvidenceError
from tests.sigstore.local import ADA, LocalSigstore

WORKFLOW = "example/digits/.github/workflows/train.yml@refs/heads/main"
GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """In no CI system, whatever these tests themselves run in."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MLOPS_ID_TOKEN_FILE", raising=False)
    monkeypatch.setattr("id._internal.oidc.ambient._GCP_PRODUCT_NAME_FILE", "/nonexistent")


@pytest.fixture
def key(sigstore: LocalSigstore) -> Callable[[], str]:
    """Who is certified in the environment as it is when this is asked."""
    return lambda: IdentitySigner("", trust_source(sigstore.trust())).key


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a program on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_github_actions(sigstore: LocalSigstore, key: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity is the workflow with its ref, not the subject of the token."""
    claims = f'{{"iss": "{GITHUB}", "sub": "repo:example/digits", "job_workflow_ref": "{WORKFLOW}"}}'
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{sigstore.url}/github?claims={quote(claims)}")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner")
    assert key() == f"sigstore:{GITHUB}#https://github.com/{WORKFLOW}"


def test_github_actions_without_the_permission(key: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    with pytest.raises(EvidenceError, match="permissions") as caught:
        key()
    assert caught.value.code == "MLO7150" and "id-token: write" in caught.value.hint


def test_gitlab_ci(sigstore: LocalSigstore, key: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = "gitlab.com/example/digits//.gitlab-ci.yml@refs/heads/main"
    token = sigstore.token(iss="https://gitlab.com", sub="project_path:example/digits", ci_config_ref_uri=config)
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", token.read_text())
    assert key() == f"sigstore:https://gitlab.com#https://{config}"


def test_gitlab_ci_without_the_variable(key: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.delenv("SIGSTORE_ID_TOKEN", raising=False)
    with pytest.raises(EvidenceError, match="SIGSTORE_ID_TOKEN") as caught:
        key()
    assert caught.value.code == "MLO7150"


def test_buildkite(
    sigstore: LocalSigstore, key: Callable[[], str], program: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    token = sigstore.token(iss="https://agent.buildkite.com", sub="https://buildkite.com/example/digits")
    program("buildkite-agent", f'[ "$*" = "oidc request-token --audience sigstore" ] && cat {token}')
    monkeypatch.setenv("BUILDKITE", "true")
    assert key() == "sigstore:https://agent.buildkite.com#https://buildkite.com/example/digits"
    program("buildkite-agent", "echo no such job; exit 1")
    with pytest.raises(EvidenceError, match="no such job"):
        key()


def test_circleci(
    sigstore: LocalSigstore, key: Callable[[], str], program: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    token = sigstore.token(iss="https://oidc.circleci.com", sub="https://circleci.com/api/v2/projects/digits")
    program("circleci", f'[ "$1 $2 $3" = "run oidc get" ] && cat {token}')
    monkeypatch.setenv("CIRCLECI", "true")
    assert key() == "sigstore:https://oidc.circleci.com#https://circleci.com/api/v2/projects/digits"


def test_google_cloud(
    sigstore: LocalSigstore, key: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = tmp_path / "product_name"
    product.write_text("Google Compute Engine\n")
    monkeypatch.setattr("id._internal.oidc.ambient._GCP_PRODUCT_NAME_FILE", str(product))
    monkeypatch.setattr("id._internal.oidc.ambient._GCP_IDENTITY_REQUEST_URL", f"{sigstore.url}/google")
    assert key() == "sigstore:https://accounts.google.com#trainer@google.example"


def test_a_token_file_goes_before_the_ci_system(
    sigstore: LocalSigstore, key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token()))
    assert key() == sigstore.key(ADA)


@pytest.mark.parametrize(
    "claims", [{"aud": "somebody else"}, {"exp": 1}, {"iat": None}], ids=["audience", "expired", "no time"]
)
def test_a_token_that_cannot_be_used(
    sigstore: LocalSigstore, key: Callable[[], str], monkeypatch: pytest.MonkeyPatch, claims: dict[str, object]
) -> None:
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token(**claims)))
    with pytest.raises(EvidenceError) as caught:
        key()
    assert caught.value.code == "MLO7151"


def test_a_token_file_that_is_not_there_or_no_token(
    key: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(EvidenceError) as caught:
        key()
    assert caught.value.code == "MLO7151"
    (tmp_path / "none").write_bytes(b"\xff\xfe")
    with pytest.raises(EvidenceError) as caught:
        key()
    assert caught.value.code == "MLO7151"


def test_nobody_is_asked_where_nobody_can_answer(key: Callable[[], str]) -> None:
    with pytest.raises(EvidenceError, match="nobody at a terminal") as caught:
        key()
    assert caught.value.code == "MLO7150"


def test_no_token_is_told_in_an_error(
    sigstore: LocalSigstore, key: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed ends up in a CI log that others read."""
    secret = sigstore.token(aud="somebody else").read_text()
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.folder / "token"))
    with pytest.raises(EvidenceError) as caught:
        key()
    assert secret[:40] not in caught.value.message + caught.value.hint
