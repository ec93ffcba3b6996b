"""OpenSSF model signatures by an identity: taken by the stock tools, and without their soft spots."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keyless_signer import IdentitySigner
from mlopsctl.adapters.keys import new_key
from mlopsctl.adapters.model_proof import sign_folder, verify_folder
from mlopsctl.adapters.sigstore_trust import trust_source
from mlopsctl.errors import EvidenceError
from tests.sigstore.local import ADA, LocalSigstore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "sub" / "labels.json").write_text("[0, 1]")
    (folder / ".gitignore").write_text("*.log")
    return folder


@pytest.fixture(params=["v1", "v2"])
def ada(request: pytest.FixtureRequest, sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> IdentitySigner:
    """Ada's signer, logging to Rekor v1 or v2."""
    trust = sigstore.trust(request.param)
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(trust))
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token()))
    return IdentitySigner("", trust_source())


@pytest.fixture
def signature(model: Path, ada: IdentitySigner) -> Path:
    path = model.with_name("model.sig")
    sign_folder(model, ada, path)
    return path


def refused(model: Path, signature: Path, who: str) -> EvidenceError:
    with pytest.raises(EvidenceError) as caught:
        verify_folder(model, signature, who)
    return caught.value


def test_what_was_signed_verifies_also_where_it_was_copied_to(
    model: Path, signature: Path, ada: IdentitySigner, tmp_path: Path
) -> None:
    verify_folder(model, signature, ada.key + "\n")
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "renamed")
    verify_folder(copy, signature, ada.key)


def test_the_stock_tool_verifies_it(model: Path, signature: Path, sigstore: LocalSigstore) -> None:
    argv = [sys.executable, "-W", "ignore", "-m", "model_signing", "verify", "sigstore", str(model), "--signature",
            str(signature), "--identity", ADA, "--identity_provider", sigstore.url, "--trust_config",
            str(sigstore.trust()), "--no-ignore-git-paths"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (model / "model.onnx").write_bytes(b"other weights")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "model.onnx" in done.stdout + done.stderr


def test_what_the_stock_tool_signs_with_our_settings_verifies_here(
    model: Path, sigstore: LocalSigstore, ada: IdentitySigner, tmp_path: Path
) -> None:
    hashing: Any = import_module("model_signing.hashing")
    signing: Any = import_module("model_signing.signing")
    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    config.set_ignored_paths(paths=[], ignore_git_paths=False)
    by_stock = tmp_path / "stock.sig"
    (
        signing.Config()
        .set_hashing_config(config)
        .use_sigstore_signer(identity_token=sigstore.token().read_text(), trust_config=sigstore.trust())
        .sign(model, by_stock)
    )
    verify_folder(model, by_stock, ada.key)


def test_signing_twice_takes_one_certificate_and_asks_no_issuer(
    model: Path, ada: IdentitySigner, sigstore: LocalSigstore, tmp_path: Path
) -> None:
    before = sigstore.counts()
    for name in ("one", "two"):
        sign_folder(model, ada, tmp_path / name)
    after = sigstore.counts()
    assert after["certificates"] - before["certificates"] == 1 and after["discoveries"] == before["discoveries"]


def edit(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"other")


def add(folder: Path) -> None:
    (folder / "extra").write_text("x")


def remove(folder: Path) -> None:
    (folder / "sub" / "labels.json").unlink()


def hide(folder: Path) -> None:
    (folder / ".gitignore").write_text("*")


@pytest.mark.parametrize(
    ("change", "named"),
    [(edit, "changed: model.onnx"), (add, "not signed: extra"), (remove, "missing: sub/labels.json"),
     (hide, "changed: .gitignore")],
)  # fmt: skip
def test_a_folder_that_differs(
    model: Path, signature: Path, ada: IdentitySigner, change: Callable[[Path], None], named: str
) -> None:
    change(model)
    error = refused(model, signature, ada.key)
    assert error.code == "MLO7110" and named in error.message


def test_a_link_in_the_folder(model: Path, signature: Path, ada: IdentitySigner) -> None:
    (model / "link").symlink_to("model.onnx")
    assert refused(model, signature, ada.key).code == "MLO7112"
    with pytest.raises(EvidenceError):
        sign_folder(model, ada, signature)


def test_a_signature_inside_the_folder_that_it_signs(model: Path, ada: IdentitySigner) -> None:
    with pytest.raises(EvidenceError) as caught:
        sign_folder(model, ada, model / "model.sig")
    assert caught.value.code == "MLO7112"


@pytest.mark.parametrize("other", ["https://people.example/eve", ADA + "/"])
def test_another_identity(model: Path, signature: Path, sigstore: LocalSigstore, other: str) -> None:
    error = refused(model, signature, sigstore.key(other))
    assert error.code == "MLO7110" and other in error.message


def test_another_issuer(model: Path, signature: Path, sigstore: LocalSigstore) -> None:
    assert refused(model, signature, sigstore.key(ADA, "https://issuer.example")).code == "MLO7110"


def test_a_signature_by_a_key_is_none_by_an_identity_and_the_other_way_round(
    model: Path, signature: Path, ada: IdentitySigner, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys" / "bob.pem")
    by_key = tmp_path / "key.sig"
    sign_folder(model, key, by_key)
    assert refused(model, by_key, ada.key).code == "MLO7111"
    assert refused(model, signature, key.public_key_pem).code == "MLO7111"


def resigned(signature: Path, signer: IdentitySigner, change: Callable[[Any], Any]) -> None:
    """Another statement, by the same identity: what a careless signer could have made."""
    bundle = json.loads(signature.read_bytes())
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    signature.write_text(json.dumps(signer.sign_statement(json.dumps(statement).encode())))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda said: said["predicate"]["serialization"].update(ignore_paths=["sub"]), "MLO7113"),
        (lambda said: said["predicate"]["serialization"].update(hash_type="blake2b"), "MLO7113"),
        (lambda said: said["predicate"]["serialization"].update(allow_symlinks=True), "MLO7113"),
        (lambda said: said.update(predicateType="https://model_signing/Digests/v0.1"), "MLO7111"),
        (lambda said: said["predicate"]["resources"].pop(), "MLO7111"),
        (lambda said: said["predicate"].update(resources=[]), "MLO7111"),
    ],
    ids=["ignored paths", "weaker hash", "links", "pre-1.0 form", "a file left out", "no files"],
)
def test_a_signature_that_leaves_something_out(
    model: Path, signature: Path, ada: IdentitySigner, change: Callable[[Any], Any], code: str
) -> None:
    resigned(signature, ada, change)
    assert refused(model, signature, ada.key).code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda outer: outer["dsseEnvelope"].update(signatures=[]), "MLO7111"),
        (lambda outer: outer["dsseEnvelope"]["signatures"].append(outer["dsseEnvelope"]["signatures"][0]), "MLO7111"),
        (lambda outer: outer["dsseEnvelope"].update(payloadType="text/plain"), "MLO7111"),
        (lambda outer: outer["dsseEnvelope"]["signatures"][0].update(sig=b64encode(b"x" * 70).decode()), "MLO7110"),
        (lambda outer: outer["verificationMaterial"].update(tlogEntries=[]), "MLO7110"),
        (lambda outer: outer["verificationMaterial"]["tlogEntries"][0].update(logIndex="9"), "MLO7110"),
        (lambda outer: outer["verificationMaterial"].pop("certificate"), "MLO7111"),
        (lambda outer: outer.pop("verificationMaterial"), "MLO7111"),
        (lambda outer: outer.update(mediaType="application/json"), "MLO7111"),
    ],
    ids=["no signature", "two signatures", "payload type", "signature", "log entry", "log index", "certificate",
         "material", "media type"],
)  # fmt: skip
def test_a_bundle_that_was_tampered_with(
    model: Path, signature: Path, ada: IdentitySigner, change: Callable[[Any], Any], code: str
) -> None:
    outer = json.loads(signature.read_bytes())
    change(outer)
    signature.write_text(json.dumps(outer))
    assert refused(model, signature, ada.key).code == code


def test_where_sigstore_does_not_answer_no_signature_is_written(
    model: Path, ada: IdentitySigner, sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    sigstore.fail(3)
    with pytest.raises(EvidenceError) as caught:
        sign_folder(model, ada, tmp_path / "new.sig")
    assert caught.value.code == "MLO7154"
    assert "new.sig" not in os.listdir(tmp_path)
