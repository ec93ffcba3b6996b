"""Which CI runs are of a change that nobody merged yet."""

from __future__ import annotations

import pytest

from mlopsctl.adapters.ci import under_review


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/12/merge"}, "pull request 12"),
        ({"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main"}, "a pull request"),
        ({"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "7"}, "merge request 7"),
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main"}, ""),
        ({"CI_PIPELINE_SOURCE": "push"}, ""),
        ({}, ""),
    ],
)
def test_a_change_under_review(environ: dict[str, str], said: str) -> None:
    assert under_review(environ) == said
