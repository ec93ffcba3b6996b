"""Which of git's settings endanger the trail, and which would run a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.git import Repo, find_repo
from mlopsctl.adapters.gitconfig import (
    Refspec,
    dangerous,
    is_safe,
    programs,
    refspecs,
    rewriting,
    safe_refspec,
    set_safe_refspec,
    settings,
)
from tests.quickstart import must

REF = "refs/notes/mlops"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    must("git init -q . && git remote add origin ../elsewhere.git", tmp_path)
    return find_repo(tmp_path)


def config(repo: Repo, key: str, value: str, scope: str = "--local") -> None:
    repo.git("config", scope, "--add", key, value)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("+refs/notes/*:refs/notes/*", REF),
        ("refs/notes/*:refs/notes/*", REF),
        ("+refs/*:refs/*", REF),
        ("+refs/notes/mlops:refs/notes/mlops", REF),
        ("+refs/notes/mlops*:refs/notes/origin/mlops*", "refs/notes/origin/mlops"),
        ("+refs/notes/*:refs/notes/origin/*", "refs/notes/origin/mlops"),
        ("+refs/heads/*:refs/remotes/origin/*", ""),
        ("^refs/notes/mlops", ""),
    ],
)
def test_where_a_refspec_takes_the_trail(text: str, target: str) -> None:
    assert Refspec("origin", "fetch", text, "local").to(REF) == target


def test_dangerous_is_what_writes_onto_our_ref(repo: Repo) -> None:
    before = [spec.text for spec in refspecs(settings(repo))]
    config(repo, "remote.origin.fetch", safe_refspec("origin"))
    assert not dangerous(settings(repo))
    bad = [
        "+refs/notes/*:refs/notes/*",
        "+refs/*:refs/*",
        "+refs/heads/x:refs/notes/mlops",
        "refs/notes/m*:refs/notes/m*",
    ]
    for text in bad:
        config(repo, "remote.origin.fetch", text)
    config(repo, "remote.origin.push", "+refs/notes/*:refs/notes/*")
    config(repo, "remote.origin.push", "refs/notes/*:refs/notes/*")
    found = dangerous(settings(repo))
    assert [spec.text for spec in found if spec.direction == "fetch"] == bad
    assert [spec.text for spec in found if spec.direction == "push"] == ["+refs/notes/*:refs/notes/*"]
    assert before == ["+refs/heads/*:refs/remotes/origin/*"]


def test_the_safe_line_is_added_once_and_nothing_is_taken_away(repo: Repo) -> None:
    before = (repo.git_dir / "config").read_text()
    assert not is_safe("origin", settings(repo))
    assert set_safe_refspec(repo) == ["origin"]
    assert is_safe("origin", settings(repo)) and set_safe_refspec(repo) == []
    after = (repo.git_dir / "config").read_text()
    assert before.rstrip() in after and after.count("refs/notes/mlops") == 1


@pytest.mark.parametrize("value", ["refs/notes/*", "refs/notes/mlops", "refs/notes/ml*"])
def test_rewriting_notes_is_seen(repo: Repo, value: str) -> None:
    config(repo, "notes.rewriteRef", "refs/notes/commits")
    assert not rewriting(settings(repo))
    config(repo, "notes.rewriteRef", value)
    assert [one.value for one in rewriting(settings(repo))] == [value]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.sshCommand", "sh -c x"),
        ("core.gitProxy", "x"),
        ("core.askPass", "x"),
        ("core.alternateRefsCommand", "x"),
        ("remote.origin.uploadpack", "x"),
        ("remote.o.th\ner.receivepack", "x"),
        ("remote.origin.vcs", "x"),
        ("credential.helper", "!x"),
        ("credential.https://example.org.helper", "!x"),
        ("http.cookieFile", "/etc/x"),
        ("protocol.allow", "always"),
        ("fetch.bundleURI", "x"),
        ("url.ext::sh -c x .insteadOf", "../"),
    ],
)
def test_a_program_that_the_repository_names(repo: Repo, key: str, value: str) -> None:
    assert programs(repo, "origin") == []
    if "\n" in key:
        key = key.replace("\n", "")
    config(repo, key, value)
    assert [one.key.lower() for one in programs(repo, "origin")] == [key.lower()]


def test_an_included_file_belongs_to_the_repository(repo: Repo) -> None:
    (repo.root / "more").write_text("[core]\n\tsshCommand = x\n")
    config(repo, "include.path", "../more")
    (found,) = programs(repo, "origin")
    assert found.key == "core.sshcommand" and found.origin.endswith("more")


def test_what_the_user_configured_is_the_users(repo: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("[core]\n\tsshCommand = ssh -v\n[credential]\n\thelper = store\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(mine))
    assert programs(repo, "origin") == []
    config(repo, "credential.helper", "")
    assert programs(repo, "origin") == [], "an empty helper runs nothing"


@pytest.mark.parametrize("url", ["ext::sh -c x", "fd::17", "hg::https://example.org"])
def test_a_url_that_is_a_remote_helper(repo: Repo, url: str) -> None:
    repo.git("remote", "set-url", "origin", url)
    assert [one.key for one in programs(repo, "origin")] == ["remote.origin.url"]
