"""What a CI service says about the run: a change under review is a stranger's word until somebody merged it."""

from __future__ import annotations

import os
from collections.abc import Mapping


def under_review(environ: Mapping[str, str] | None = None) -> str:
    """The pull or merge request that this job runs for, in words, "" for any other run.

    Sources: GitHub Actions' GITHUB_EVENT_NAME and GITHUB_REF, GitLab's CI_PIPELINE_SOURCE and CI_MERGE_REQUEST_IID.
    """
    env = os.environ if environ is None else environ
    ref = env.get("GITHUB_REF", "")
    if env.get("GITHUB_EVENT_NAME", "").startswith("pull_request") or ref.startswith("refs/pull/"):
        return f"pull request {ref.split('/')[2]}" if ref.startswith("refs/pull/") else "a pull request"
    if env.get("CI_PIPELINE_SOURCE") in ("merge_request_event", "external_pull_request_event"):
        return f"merge request {env.get('CI_MERGE_REQUEST_IID', '')}".rstrip()
    return ""
