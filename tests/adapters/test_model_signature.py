"""OpenSSF model signatures, and each of the library's soft spots closed."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keys import Signer, new_key
from mlopsctl.adapters.model_signature import sign_folder, signed_files, verify_folder
from mlopsctl.errors import EvidenceError


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return new_key(tmp_path / "keys" / "owner.pem")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "sub" / "labels.json").write_text("[0, 1]")
    (folder / ".gitignore").write_text("*\n")
    return folder


@pytest.fixture
def signature(model: Path, signer: Signer, tmp_path: Path) -> Path:
    sign_folder(model, signer, tmp_path / "model.sig")
    return tmp_path / "model.sig"


def refused(model: Path, signature: Path, pem: str, code: str, words: str = "") -> None:
    with pytest.raises(EvidenceError) as caught:
        verify_folder(model, signature, pem)
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_copy_anywhere_verifies_with_the_public_key_alone(
    model: Path, signature: Path, signer: Signer, tmp_path: Path
) -> None:
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "renamed")
    verify_folder(copy, signature, signer.public_key_pem)
    assert set(signed_files(signature)) == {"model.onnx", "sub/labels.json", ".gitignore"}


def test_one_file_can_be_signed_too(model: Path, signer: Signer, tmp_path: Path) -> None:
    sign_folder(model / "model.onnx", signer, tmp_path / "file.sig")
    verify_folder(model / "model.onnx", tmp_path / "file.sig", signer.public_key_pem)
    (model / "model.onnx").write_bytes(b"other")
    refused(model / "model.onnx", tmp_path / "file.sig", signer.public_key_pem, "MLO7110")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: (m / "model.onnx").write_bytes(b"Weights"), "changed: model.onnx"),
        (lambda m: (m / "sub" / "labels.json").unlink(), "missing: sub/labels.json"),
        (lambda m: (m / "extra").write_text("x"), "not signed: extra"),
        (lambda m: (m / ".gitignore").write_text("other"), "changed: .gitignore"),
        (lambda m: (m / ".gitattributes").write_text("x"), "not signed: .gitattributes"),
        (lambda m: (m / ".git").mkdir() or (m / ".git" / "config").write_text("x"), "not signed: .git/config"),
    ],
    ids=["changed", "missing", "added", "git's own changed", "git's own added", "in .git"],
)
def test_every_file_counts(
    model: Path, signature: Path, signer: Signer, change: Callable[[Path], Any], words: str
) -> None:
    change(model)
    refused(model, signature, signer.public_key_pem, "MLO7110", words)


def test_another_key_is_refused(model: Path, signature: Path, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other.pem")
    refused(model, signature, other.public_key_pem, "MLO7110", "not by this key")


def test_links_are_refused_on_both_sides(model: Path, signature: Path, signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"weights")
    (model / "model.onnx").unlink()
    (model / "model.onnx").symlink_to(tmp_path / "outside")
    refused(model, signature, signer.public_key_pem, "MLO7112")
    with pytest.raises(EvidenceError) as caught:
        sign_folder(model, signer, tmp_path / "again.sig")
    assert caught.value.code == "MLO7112"


def test_a_signature_inside_its_folder_is_refused(model: Path, signer: Signer) -> None:
    with pytest.raises(EvidenceError) as caught:
        sign_folder(model, signer, model / "model.sig")
    assert caught.value.code == "MLO7112"


def resigned(signature: Path, signer: Signer, change: Callable[[dict[str, Any]], None]) -> None:
    """The same signer signs a statement with other content."""
    bundle = json.loads(signature.read_bytes())
    payload = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(payload)
    body = json.dumps(payload).encode()
    kind = bundle["dsseEnvelope"]["payloadType"].encode()
    bundle["dsseEnvelope"]["payload"] = b64encode(body).decode()
    signed = signer.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body))
    bundle["dsseEnvelope"]["signatures"] = [{"sig": b64encode(signed).decode(), "keyid": ""}]
    signature.write_text(json.dumps(bundle))


@pytest.mark.parametrize(
    "serialization",
    [
        {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": ["model.onnx"]},
        {"method": "files", "hash_type": "sha256", "allow_symlinks": True},
        {"method": "files", "hash_type": "blake2", "allow_symlinks": False},
    ],
)
def test_a_signer_cannot_leave_files_out(
    model: Path, signature: Path, signer: Signer, serialization: dict[str, Any]
) -> None:
    resigned(signature, signer, lambda payload: payload["predicate"].update(serialization=serialization))
    refused(model, signature, signer.public_key_pem, "MLO7113")


def test_the_form_before_1_0_is_refused(model: Path, signature: Path, signer: Signer) -> None:
    resigned(signature, signer, lambda payload: payload.update(predicateType="https://model_signing/Digests/v0.1"))
    refused(model, signature, signer.public_key_pem, "MLO7111")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b["dsseEnvelope"].update(signatures=[]),
        lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b["dsseEnvelope"].update(payload="%%%"),
        lambda b: b["verificationMaterial"].update(publicKey={}),
        lambda b: b.update(mediaType="application/json"),
        lambda b: b.clear(),
    ],
    ids=["no signatures", "two signatures", "payload type", "no base64", "no key hint", "media type", "empty"],
)
def test_a_malformed_signature_is_one_clear_error(
    model: Path, signature: Path, signer: Signer, spoil: Callable[[dict[str, Any]], None]
) -> None:
    bundle = json.loads(signature.read_bytes())
    spoil(bundle)
    signature.write_text(json.dumps(bundle))
    refused(model, signature, signer.public_key_pem, "MLO7111")


def test_a_missing_signature_or_model(model: Path, signer: Signer, tmp_path: Path) -> None:
    refused(model, tmp_path / "none.sig", signer.public_key_pem, "MLO7111")
    refused(tmp_path / "none", tmp_path / "none.sig", signer.public_key_pem, "MLO7110")
