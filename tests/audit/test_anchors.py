"""Whoever holds the owner's key can write another history; what is kept outside finds it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.cli.main import run as mlopsctl
from tests.cli.contract import follows

from .clone import Clone, run
from .forger import forge_everything

Answer = Callable[..., str]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Three results in a project of somebody with a configuration of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    clone = Clone.start(tmp_path / "repo")
    manifest = f"apiVersion: mlopsctl/v1\nproject: {{name: digits, log: '{clone.log}'}}\n"
    (clone.folder / "mlops.yaml").write_text(manifest)
    run(clone.folder, "add", "-A")
    for name in ("first", "middle", "last"):
        clone.train(name)
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("MLOPS_KEY", str(clone.signer.path))
    return clone


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Answer:
    """What a command prints, with stderr behind it; it must exit with ``code``."""

    def ask(*words: str, code: int = 0) -> str:
        found = mlopsctl(words)
        captured = capsys.readouterr()
        assert found == code, captured.out + captured.err
        return captured.out + captured.err if "json" not in words else captured.out

    return ask


@pytest.fixture
def checked(answer: Answer) -> Callable[..., Any]:
    """The verdict of ``audit verify`` with these options."""

    def verify(*words: str, code: int = 0) -> Any:
        return follows("audit-verify", answer("audit", "verify", *words, "--format", "json", code=code))

    return verify


def forged(clone: Clone, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """The whole history forged, as a new clone gets it, which remembers nothing."""
    forge_everything(clone)
    other = clone.again(folder)
    run(folder, "fetch", "-q", "origin", "refs/notes/mlops:refs/notes/mlops")
    monkeypatch.chdir(folder)
    return other


def codes(verdict: Any) -> set[tuple[str, str]]:
    return {(one["code"], one["entry"]) for one in verdict["findings"]}


def test_without_an_anchor_a_forged_history_is_fine_and_its_freshness_unproven(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(clone.trail.tips())
    other = forged(clone, tmp_path / "new", monkeypatch)
    verdict = checked("--strict")
    assert verdict["ok"] and verdict["freshness"] == "unproven" and verdict["root"] == "pinned"
    assert set(other.trail.tips()) != before


def test_a_file_finds_a_forged_history(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = follows("audit-anchor", answer("audit", "anchor", f"file:{tmp_path}/stick/", "--format", "json"))
    assert Path(said["left"][0]["where"]).is_file()
    shutil.rmtree(clone.state)
    verdict = checked()
    assert verdict["freshness"] == "anchored", "the pin remembers the place"
    assert [one["met"] for one in verdict["anchors"]] == [True]
    forged(clone, tmp_path / "new", monkeypatch)
    assert codes(checked(code=7)) == {("MLO7181", said["checkpoint"])}
    assert "signed with the key of owner" in answer("audit", "verify", code=7)


def test_a_countersigned_receipt_finds_a_forged_history(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer("audit", "anchor", f"file:{tmp_path}/shared/", "--reason", "release 1")
    bob = new_key(tmp_path / "bob.pem")
    monkeypatch.setenv("MLOPS_KEY", str(bob.path))
    answer("audit", "countersign", "--out", str(tmp_path / "bob.json"))
    monkeypatch.setenv("MLOPS_KEY", str(clone.signer.path))
    how = ("--anchor", f"file:{tmp_path}/bob.json", "--countersigner", str(tmp_path / "bob.pub"))
    assert "countersigned by bob" in answer("audit", "verify", *how)
    shutil.rmtree(tmp_path / "shared")
    other = forged(clone, tmp_path / "new", monkeypatch)
    assert {code for code, _ in codes(checked(*how, code=7))} == {"MLO7181"}
    shutil.rmtree(other.state)
    verdict = checked(*how[:2])
    assert verdict["freshness"] == "unproven", "without Bob's key his word counts for nothing"
    assert {one["code"] for one in verdict["warnings"]} == {"MLO7182", "MLO7185"}


def test_a_signed_tag_finds_a_forged_history(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with_ssh(tmp_path, monkeypatch)
    tip = clone.trail.tips()[0]
    answer("audit", "anchor", "--tag", "v1")
    assert clone.trail.tips() == [tip], "a tag needs no checkpoint"
    assert f"mlops-trail: {clone.log} {tip}" in run(clone.folder, "tag", "-l", "--format=%(contents)", "v1")
    shutil.rmtree(clone.state)
    verdict = checked()
    assert (verdict["freshness"], verdict["anchors"][0]["says"]) == ("anchored", "signed by ada@example.com")
    other = forged(clone, tmp_path / "new", monkeypatch)
    assert codes(checked(code=7)) == {("MLO7181", tip)}
    shutil.rmtree(other.state)
    run(other.folder, "config", "gpg.ssh.program", "/bin/false")
    assert codes(checked(code=7)) == {("MLO7181", tip)}, "what the repository says about signatures is overridden"


def test_a_tag_by_nobody_we_know_is_a_warning_and_proves_nothing(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with_ssh(tmp_path, monkeypatch)
    answer("audit", "anchor", "--tag", "v1")
    (tmp_path / "allowed").write_text("")
    line = f"mlops-trail: {clone.log} {'0' * 64}"
    run(clone.folder, "tag", "--no-sign", "-a", "-m", f"forged\n\n{line}", "v2")
    run(clone.folder, "tag", "-a", "-m", f"another log\n\nmlops-trail: {'1' * 32} {'0' * 64}", "other/v1")
    shutil.rmtree(clone.state)
    verdict = checked("--strict")
    assert verdict["ok"] and verdict["freshness"] == "unproven"
    assert [one["code"] for one in verdict["warnings"]] == ["MLO7185", "MLO7185"]


def test_the_repository_cannot_say_whose_tags_count(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sign_with_ssh(tmp_path, monkeypatch)
    answer("audit", "anchor", "--tag", "v1")
    text = config.read_text()
    config.write_text(text.replace("allowedSignersFile", "unused"))
    run(clone.folder, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "allowed"))
    shutil.rmtree(clone.state)
    verdict = checked()
    assert (verdict["freshness"], [one["code"] for one in verdict["warnings"]]) == ("unproven", ["MLO7185"])


def sign_with_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ada signs tags with an SSH key; her own git configuration says that she counts."""
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    (tmp_path / "allowed").write_text(f"ada@example.com {public}")
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\nname = Ada\nemail = ada@example.com\n"
        f'signingKey = {key}\n[gpg]\nformat = ssh\n[gpg "ssh"]\nallowedSignersFile = {tmp_path / "allowed"}\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    return config


def test_a_receipt_that_was_changed_is_found(clone: Clone, checked: Any, answer: Answer, tmp_path: Path) -> None:
    answer("audit", "anchor", f"file:{tmp_path}/receipt.json")
    receipt = tmp_path / "receipt.json"
    document = json.loads(receipt.read_text())
    document["entries"] += 1
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    assert codes(checked("--anchor", f"file:{changed}", code=7)) == {("MLO7184", "")}
    changed.write_text("[]")
    assert codes(checked("--anchor", f"file:{changed}", code=7)) == {("MLO7184", "")}


def test_a_countersignature_that_was_changed_is_found(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer("audit", "anchor", f"file:{tmp_path}/first.json")
    clone.train("later")
    answer("audit", "anchor", f"file:{tmp_path}/second.json")
    bob = new_key(tmp_path / "bob.pem")
    monkeypatch.setenv("MLOPS_KEY", str(bob.path))
    for name in ("first", "second"):
        answer("audit", "countersign", str(tmp_path / f"{name}.json"), "--out", str(tmp_path / f"bob-{name}.json"))
    first, second = (json.loads((tmp_path / f"bob-{name}.json").read_text()) for name in ("first", "second"))
    swapped = {**first, "payload": second["payload"]}
    (tmp_path / "swapped.json").write_text(json.dumps(swapped, sort_keys=True, separators=(",", ":")))
    how = ("--countersigner", str(tmp_path / "bob.pub"), "--anchor")
    assert codes(checked(*how, f"file:{tmp_path}/swapped.json", code=7)) == {("MLO7184", "")}


def test_a_receipt_of_another_project_is_an_error_of_use(
    clone: Clone, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer("audit", "anchor", f"file:{tmp_path}/receipt.json")
    other = Clone.start(tmp_path / "other")
    other.train("first")
    monkeypatch.chdir(other.folder)
    assert "MLO7186" in answer("audit", "verify", "--anchor", f"file:{tmp_path}/receipt.json", code=64)


def test_an_anchor_that_cannot_be_reached_is_a_warning_and_strictly_a_finding(
    clone: Clone, checked: Any, tmp_path: Path
) -> None:
    place = ("--anchor", f"file:{tmp_path}/nowhere.json")
    assert [one["code"] for one in checked(*place)["warnings"]] == ["MLO7182"]
    assert codes(checked(*place, "--strict", code=7)) == {("MLO7182", "")}


def test_places_are_named_well_or_refused(clone: Clone, answer: Answer, tmp_path: Path) -> None:
    for words in (("audit", "anchor"), ("audit", "anchor", "ftp://x"), ("audit", "verify", "--anchor", "s3://.")):
        assert "MLO7187" in answer(*words, code=64)
    (tmp_path / "taken.json").write_text("mine")
    assert "MLO7188" in answer("audit", "anchor", f"file:{tmp_path}/taken.json", code=1)
    assert (tmp_path / "taken.json").read_text() == "mine"


def test_nothing_new_needs_no_new_checkpoint(clone: Clone, answer: Answer, tmp_path: Path) -> None:
    answer("audit", "anchor", f"file:{tmp_path}/stick/")
    tips = clone.trail.tips()
    answer("audit", "anchor")
    assert clone.trail.tips() == tips
    clone.train("later")
    answer("audit", "anchor")
    assert len(list((tmp_path / "stick").rglob("*.json"))) == 2


def test_only_a_trail_that_verifies_and_has_a_checkpoint_is_countersigned(
    clone: Clone, answer: Answer, tmp_path: Path
) -> None:
    out = ("audit", "countersign", "--out", str(tmp_path / "mine.json"))
    assert "MLO7191" in answer(*out, code=1)
    run(clone.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    assert "MLO7190" in answer(*out, code=7)
    assert "MLO7187" in answer("audit", "countersign", code=64)
