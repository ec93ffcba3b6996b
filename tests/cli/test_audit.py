"""The verbs key, sign, verify, audit, push and pull as a person types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.canonical import digest_of
from mlopsctl.cli.main import run as mlopsctl
from mlopsctl.types import Digest
from tests.audit.clone import Clone, run

MANIFEST = "apiVersion: mlopsctl/v1\nproject: {{name: digits, log: '{log}'}}\n"


def entry(address: str, seed: str, **inputs: str) -> dict[str, Any]:
    section = address.partition(".")[0]
    given = {role: ["sha256:" + digit * 64] for role, digit in inputs.items()}
    ingredients = {"provider": f"{section}/x", "spec": {"seed": seed}, "inputs": given}
    return {
        "address": address,
        "made_from": digest_of(ingredients),
        "outputs": {"out": Digest("sha256:" + seed * 64)},
        "status": "done",
        "ingredients": ingredients,
    }


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A small pipeline's trail: data, training, gate, artifact, deployment."""
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "mlops.yaml").write_text(MANIFEST.format(log=clone.log))
    run(clone.folder, "add", "-A")
    commit, trail = clone.commit(), clone.trail
    trail.append("result", **entry("data.digits", "1"), facts={"rows": {"all": 1797}}, commit=commit)
    trail.append("result", **entry("train.classifier", "2", data="1"), commit=commit)
    trail.append("result", **entry("gates.accuracy", "3", model="2", data="1"), facts={"value": "0.97"}, commit=commit)
    trail.append(
        "result", **entry("targets.cpu", "4", model="2", data="1"), facts={"proof": "device-run"}, commit=commit
    )
    trail.append("result", **entry("deployments.local", "5", artifact="4"), commit=commit)
    trail.flush()
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("MLOPS_KEY", str(clone.signer.path))
    return clone


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert mlopsctl(words) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_log_shows_the_newest_first_and_filters(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    lines = answer(capsys, "audit", "log").splitlines()
    assert len(lines) == 6 and "deployments.local" in lines[0] and " root" in lines[-1]
    assert len(answer(capsys, "audit", "log", "t*", "-n", "1").splitlines()) == 1
    shown = json.loads(answer(capsys, "audit", "log", "--kind", "root", "--format", "json"))
    assert [one["kind"] for one in shown["entries"]] == ["root"]


def test_show_one_entry(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    last = clone.trail.tips()[0]
    assert f"id:             {last}" in answer(capsys, "audit", "show", last[:10])
    assert json.loads(answer(capsys, "audit", "show", last[:10], "--statement"))["_type"].endswith("Statement/v1")
    answer(capsys, "audit", "show", "0000000", code=1)


def test_verify_says_ok_and_exits_7_when_it_is_not(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "audit", "verify", "--strict").startswith("ok: 6 valid entries")
    run(clone.folder, "update-ref", "refs/notes/mlops", "refs/notes/mlops~1")
    verdict = json.loads(answer(capsys, "audit", "verify", "--format", "json", code=7))
    assert verdict["ok"] is False and verdict["findings"][0]["code"].startswith("MLO70")
    assert {"ok", "entries", "tips", "findings", "freshness", "root"} <= verdict.keys()


def test_trace_goes_from_the_deployment_to_the_data(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    text = answer(capsys, "audit", "trace", "deployments.local")
    order = [text.index(name) for name in ("deployments.local", "targets.cpu", "train.classifier", "gates.accuracy")]
    assert order == sorted(order) and "value 0.97" in text and "all 1797" in text and "signed by owner" in text
    node = json.loads(answer(capsys, "audit", "trace", "deployments.local", "--format", "json"))
    artifact = node["inputs"][0]
    model = next(below for below in artifact["inputs"] if below["role"] == "model")
    assert (artifact["address"], model["address"]) == ("targets.cpu", "train.classifier")
    assert [gate["address"] for gate in model["gates"]] == ["gates.accuracy"]
    assert model["inputs"][0]["address"] == "data.digits"
    answer(capsys, "audit", "trace", "train.none", code=1)


def test_the_trail_travels(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    answer(capsys, "push", "--trail-only", code=1)
    run(tmp_path, "init", "-q", "--bare", "origin.git")
    run(clone.folder, "remote", "add", "origin", str(tmp_path / "origin.git"))
    run(clone.folder, "push", "-q", "origin", "HEAD:main")
    run(tmp_path / "origin.git", "symbolic-ref", "HEAD", "refs/heads/main")
    assert "pushed 6 entries" in answer(capsys, "push", "--trail-only")
    run(tmp_path, "clone", "-q", "origin.git", "two")
    monkeypatch.chdir(tmp_path / "two")
    answer(capsys, "audit", "log", code=1)
    assert "fetched 6 new entries" in answer(capsys, "pull", "--trail-only")
    assert "ok: 6 valid entries" in answer(capsys, "audit", "verify", "--strict")
    assert "data.digits" in answer(capsys, "audit", "trace", "deployments.local")


def test_the_trail_of_a_bare_clone_can_be_read(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    run(tmp_path, "clone", "-q", "--mirror", str(clone.folder), "mirror.git")
    monkeypatch.chdir(tmp_path / "mirror.git")
    assert "data.digits" in answer(capsys, "audit", "trace", "deployments.local")
    assert "root unpinned" in answer(capsys, "audit", "verify")


def test_a_model_is_verified_anywhere_with_the_public_key(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(b"weights")
    answer(capsys, "sign", str(tmp_path / "model"))
    assert "'owner'" in answer(capsys, "verify", str(tmp_path / "model"))
    away = tmp_path / "away"
    away.mkdir()
    shutil.copytree(tmp_path / "model", away / "model")
    shutil.copy(tmp_path / "model.sig", away)
    monkeypatch.chdir(away)
    answer(capsys, "verify", "model", code=64)
    (away / "owner.pub").write_text(clone.signer.public_key_pem)
    answer(capsys, "verify", "model", "--key", "owner.pub")
    (away / "model" / "model.onnx").write_bytes(b"others")
    answer(capsys, "verify", "model", "--key", "owner.pub", code=7)


def test_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    answer(capsys, "key", "show", code=7)
    made = answer(capsys, "key", "new", "alice")
    shown = json.loads(answer(capsys, "key", "show", "--format", "json"))
    assert shown["id"] in made and shown["pem"].startswith("-----BEGIN PUBLIC KEY-----")
    answer(capsys, "key", "new", "alice", code=7)
    answer(capsys, "key", "new", "../alice", code=64)


def test_who_may_only_halt_signs_no_model(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bob = new_key(tmp_path / "keys" / "bob.pem")
    trail = clone.trail
    trust = trail.entries()[0].facts["trust"]
    signers = {**trust["signers"], "bob": {"key": bob.key, "roles": ["halt"]}}
    trail.append("trust", facts={"trust": {**trust, "signers": signers}})
    trail.flush()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(b"weights")
    answer(capsys, "sign", str(tmp_path / "model"), "--key", str(bob.path))
    answer(capsys, "verify", str(tmp_path / "model"), code=7)


def test_the_trail_is_read_while_the_manifest_is_not_valid(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = clone.folder / "mlops.yaml"
    good = manifest.read_text()
    manifest.write_text(good + "data: [\n")
    for verb in (["audit", "verify"], ["audit", "log"], ["audit", "trace", "targets.cpu"], ["runs", "ls"]):
        assert mlopsctl(verb) == 0
        said = capsys.readouterr()
        assert "read as it was committed" in said.err
    assert mlopsctl(["plan"]) == 3

    run(clone.folder, "commit", "-qam", "not valid either")
    assert mlopsctl(["audit", "verify"]) == 3
    # Another project's trail is found out all the same.
    manifest.write_text(good.replace(clone.log, "0" * 32))
    run(clone.folder, "commit", "-qam", "another trail")
    expected = mlopsctl(["audit", "verify"])
    manifest.write_text("data: [\n")
    assert mlopsctl(["audit", "verify"]) == expected != 0
