"""What docs/keyless.md shows of trust.yaml and of CI jobs is what mlopsctl and the CI systems take."""

from __future__ import annotations

from typing import Any

import yaml

from mlopsctl.audit.trust import read_policy
from mlopsctl.verifiers import identity

from .blocks import blocks

KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6XIT0FGaRoUnY24cbqOnxtGLaYGXaQgguU6czBc/hR3qg0MbIYpaGZBjzILeq2p7ljzObkBlleVO/fFhGcFt5g=="


def shown(name: str) -> Any:
    return next(yaml.safe_load(one.body) for one in blocks("docs/keyless.md") if one.info == f"yaml {name}")


def test_the_signer_shown_is_one_that_a_policy_takes() -> None:
    policy = read_policy({"root": {"keys": [KEY], "threshold": 1}, **shown("trust.yaml")})
    assert policy.signers["ci"].key == identity(
        "https://github.com/example/digits/.github/workflows/train.yml@refs/heads/main",
        "https://token.actions.githubusercontent.com",
    )


def test_the_jobs_shown_ask_for_an_identity() -> None:
    github, gitlab = shown(".github/workflows/train.yml"), shown(".gitlab-ci.yml")
    assert github["permissions"]["id-token"] == "write"
    assert github["jobs"]["train"]["env"]["MLOPS_KEY"] == gitlab["train"]["variables"]["MLOPS_KEY"] == "sigstore"
    assert gitlab["train"]["id_tokens"] == {"SIGSTORE_ID_TOKEN": {"aud": "sigstore"}}
