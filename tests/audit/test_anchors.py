"""Whoever holds the owner's key can write another history; what is kept outside finds it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.audit.anchors import record_of
from mlopsctl.audit.checkpoints import write_checkpoint
from mlopsctl.audit.receipts import tokens_of
from mlopsctl.cli.main import run as mlopsctl
from tests.adapters.anchors.authority import Authority, serving
from tests.adapters.anchors.bucket import lead_there, serving_buckets
from tests.cli.contract import follows

from .clone import Clone, Notes, line_id, run
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


def test_a_locked_bucket_finds_a_forged_history(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    with serving_buckets() as url:
        lead_there(url, monkeypatch)
        boto3.client("s3").create_bucket(Bucket="acme-audit", ObjectLockEnabledForBucket=True)
        told = answer("audit", "anchor", "s3://acme-audit/digits", "--retain", "30")
        assert "locked until" in told and "not_locked" not in told
        checkpoint = clone.trail.tips()[0]
        clone.train("later")
        shutil.rmtree(clone.state)
        assert checked("--strict")["freshness"] == "anchored"
        forged(clone, tmp_path / "new", monkeypatch)
        assert codes(checked(code=7)) == {("MLO7181", checkpoint)}
        assert "signed with the key of owner" in answer("audit", "verify", code=7)
    verdict = checked()
    assert verdict["ok"] and {one["code"] for one in verdict["warnings"]} == {"MLO7182"}, "without a network"


@pytest.fixture
def authority(clone: Clone, tmp_path: Path) -> Iterator[str]:
    """The place of a time-stamping authority that the user trusts."""
    made = Authority(tmp_path / "authority")
    trusted = tmp_path / "config" / "mlops" / "tsa" / "127.0.0.1.pem"
    trusted.parent.mkdir(parents=True)
    trusted.write_text(made.certificates)
    with serving(made) as url:
        yield f"tsa:{url}"


def test_a_time_stamp_finds_a_forged_history(
    clone: Clone, checked: Any, answer: Answer, authority: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "existed not later than" in answer("audit", "anchor", authority)
    checkpoint = clone.trail.tips()[0]
    shutil.rmtree(clone.state)
    verdict = checked("--strict")
    assert verdict["freshness"] == "anchored" and "stamped by 127.0.0.1" in verdict["anchors"][0]["says"]
    forged(clone, tmp_path / "new", monkeypatch)
    assert codes(checked(code=7)) == {("MLO7181", checkpoint)}
    assert "stamped by 127.0.0.1 not after" in answer("audit", "verify", code=7)


def test_a_stamp_is_a_second_line_of_the_same_entry(clone: Clone, checked: Any, answer: Answer, authority: str) -> None:
    answer("audit", "anchor", authority)
    checkpoint = clone.trail.tips()[0]
    both = clone.notes()
    lines = [line for some in both.values() for line in some if line_id(line) == checkpoint]
    assert len(lines) == 2 and [b"timestamps" in line for line in lines].count(True) == 1
    for kept in lines:
        clone.tamper(lambda notes, kept=kept: keep_only(notes, checkpoint, kept))  # type: ignore[misc]
        assert checked("--full")["ok"], "either line alone will do"
        clone.write(both)
    record = record_of(clone.trail.ledger, checkpoint)
    assert record is not None and len(tokens_of(record)) == 1
    answer("audit", "anchor", authority)
    assert clone.notes() == both, "no second stamp by the same authority"
    assert checked("--full")["ok"]


def keep_only(notes: Notes, entry: str, kept: bytes) -> None:
    for note, lines in notes.items():
        notes[note] = [line for line in lines if line_id(line) != entry or line == kept]


def test_a_stamp_on_a_receipt_of_another_checkpoint_does_not_hold(
    clone: Clone, checked: Any, answer: Answer, authority: str, tmp_path: Path
) -> None:
    answer("audit", "anchor", authority)
    [first] = (tmp_path / "config/mlops/receipts").rglob("*.json")
    clone.train("later")
    answer("audit", "anchor", f"file:{tmp_path}/second.json")
    stamped, plain = (json.loads(path.read_text()) for path in (first, tmp_path / "second.json"))
    plain["line"]["material"] = stamped["line"]["material"]
    first.chmod(0o600)
    first.write_text(json.dumps(plain, sort_keys=True, separators=(",", ":")))
    assert codes(checked(code=7)) == {("MLO7184", "")}


def test_places_of_the_policy_are_asked_only_where_the_root_is_pinned(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"file:{tmp_path}/stick/"
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    clone.trail.append("trust", facts={"trust": {**policy.content, "anchors": [place]}})
    answer("audit", "anchor")
    assert any((tmp_path / "stick").rglob("*.json"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    verdict = checked()
    assert (verdict["root"], verdict["anchors"]) == ("unpinned", [])
    assert ["not asked" in one["message"] for one in verdict["warnings"]] == [True]
    monkeypatch.setenv("MLOPS_TRUST_ROOT", clone.trail.entries()[0].id)
    assert [one["place"] for one in checked()["anchors"]] == [place]


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
    (tmp_path / "emptied").mkdir()
    assert [one["code"] for one in checked("--anchor", f"file:{tmp_path}/emptied")["warnings"]] == ["MLO7182"]


def test_a_checkpoint_by_a_key_that_was_retired_since_is_still_there(
    clone: Clone, checked: Any, answer: Answer, tmp_path: Path
) -> None:
    owner, bob = clone.signer, new_key(tmp_path / "bob.pem")
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None
    signers = dict(policy.content["signers"])
    admitted = {**signers, "bob": {"key": bob.key, "roles": ["govern"]}}
    before = clone.trail.append("trust", facts={"trust": {**policy.content, "signers": admitted}}).id
    clone.signer = bob
    trail = clone.trail
    checkpoint = write_checkpoint(trail, "by bob")
    trail.flush()
    answer("audit", "anchor", f"file:{tmp_path}/stick/")
    clone.signer = owner
    gone = {"name": "bob", "key": bob.key, "last_good": [before], "reason": "lost"}
    clone.trail.append("trust", facts={"trust": {**policy.content, "retired": [gone]}})
    assert clone.trail.entry(checkpoint.id) is None, "it counts for nothing now"
    verdict = checked()
    assert verdict["ok"] and [one["met"] for one in verdict["anchors"]] == [True]


def test_places_are_named_well_or_refused(clone: Clone, answer: Answer, tmp_path: Path) -> None:
    for words in (("audit", "anchor"), ("audit", "anchor", "ftp://x"), ("audit", "verify", "--anchor", "s3://.")):
        assert "MLO7187" in answer(*words, code=64)
    for other in (("--offline", str(tmp_path)), ("--at", "2026-01-01")):
        assert "MLO7187" in answer("audit", "verify", "--anchor", "file:x", *other, code=64), "never silently left out"
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


def test_show_and_trace_say_how_strong_a_signature_and_a_time_is(clone: Clone, answer: Answer, authority: str) -> None:
    entry = clone.trail.entries()[1].id
    told = answer("audit", "show", entry)
    assert "signature:      self-held key" in told and "claimed by the signer" in told
    assert "signer owner: self-held key; 1 entry, times claimed" in answer("audit", "trace", entry)
    answer("audit", "anchor", authority)
    assert "witnessed: not later than 20" in answer("audit", "show", entry)
    shown = json.loads(answer("audit", "show", entry, "--format", "json"))["assurance"]
    assert (shown["time"], shown["by"]) == ("witnessed", "127.0.0.1")
    assert "witnessed not later than" in answer("audit", "trace", entry)


def test_a_trail_that_is_not_there_is_neither_anchored_nor_countersigned(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "init", "-q", "bare")
    monkeypatch.chdir(tmp_path / "bare")
    assert "MLO7106" in answer("audit", "anchor", "file:x", code=7)
    assert "MLO7190" in answer("audit", "countersign", "--out", "x", code=7)
    assert "MLO7027" in answer("audit", "verify", code=7)
