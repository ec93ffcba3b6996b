"""OpenSSF model signatures, with the library as the peer in both directions, and each of its soft spots closed here."""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing, verifying
from model_signing._signing.sign_sigstore_pb import pae_compat

from mlopsctl.adapters.keys import Signer, new_key
from mlopsctl.adapters.model_signature import sign_folder, signed_files, verify_folder
from mlopsctl.crypto.model_signature import pae
from mlopsctl.errors import EvidenceError
from mlopsctl.verifiers import pem
from tests.ssh import HardwareKey, keygen, signer_of


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


def rewritten(signature: Path, change: Callable[[dict[str, Any]], None], sign: Callable[[bytes], bytes]) -> None:
    """A statement with other content; ``sign`` signs the payload."""
    bundle = json.loads(signature.read_bytes())
    payload = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(payload)
    body = json.dumps(payload).encode()
    bundle["dsseEnvelope"]["payload"] = b64encode(body).decode()
    bundle["dsseEnvelope"]["signatures"] = [{"sig": b64encode(sign(body)).decode(), "keyid": ""}]
    signature.write_text(json.dumps(bundle))


def resigned(signature: Path, signer: Signer, change: Callable[[dict[str, Any]], None]) -> None:
    """The same signer signs a statement with other content."""
    rewritten(signature, change, lambda payload: signer.sign(pae(payload)))


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


# --- The library as the peer -----------------------------------------------------------------------------------


def stock_verify(model: Path, signature: Path, public: Path) -> None:
    """What any OpenSSF tool does, with every file hashed."""
    config: Any = hashing.Config()  # type: ignore[no-untyped-call]
    config.set_ignored_paths(paths=[], ignore_git_paths=False)
    checker: Any = verifying.Config()  # type: ignore[no-untyped-call]
    checker.use_elliptic_key_verifier(public_key=public).set_hashing_config(config).verify(model, signature)


def stock_sign(model: Path, signature: Path, private: Path, config: Any = None) -> None:
    signer: Any = signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=private)
    if config is not None:
        signer.set_hashing_config(config)
    signer.sign(model, signature)


def test_the_library_takes_what_is_signed_here(model: Path, signature: Path, signer: Signer) -> None:
    stock_verify(model, signature, signer.path.with_suffix(".pub"))
    (model / "model.onnx").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"model\.onnx"):
        stock_verify(model, signature, signer.path.with_suffix(".pub"))


def test_the_library_takes_names_of_every_kind(model: Path, signer: Signer, tmp_path: Path) -> None:
    """Its root digest depends on the order of the paths, which is that of their parts."""
    for name in ("a b/ü.bin", "a/b", "a-b", "a.b/c", "Z", "sub-folder/x", "sub.x", "sub/zz/y", "10", "9"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    sign_folder(model, signer, tmp_path / "again.sig")
    stock_verify(model, tmp_path / "again.sig", signer.path.with_suffix(".pub"))
    stock_sign(model, tmp_path / "stock.sig", signer.path, every_file())
    assert list(signed_files(tmp_path / "again.sig").items()) == list(signed_files(tmp_path / "stock.sig").items())


def every_file() -> Any:
    config: Any = hashing.Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[], ignore_git_paths=False)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_the_library_signs_is_taken_here(model: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(private.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    stock_sign(model, tmp_path / "stock.sig", tmp_path / "key.pem", every_file())
    verify_folder(model, tmp_path / "stock.sig", public.decode())
    (model / "extra").touch()
    refused(model, tmp_path / "stock.sig", public.decode(), "MLO7110", "not signed: extra")


def test_what_the_library_leaves_out_by_itself_must_not_be_there(model: Path, signer: Signer, tmp_path: Path) -> None:
    """Without being told otherwise it ignores git's names and its own signature."""
    stock_sign(model, tmp_path / "stock.sig", signer.path)
    refused(model, tmp_path / "stock.sig", signer.key, "MLO7113", ".gitignore")
    (model / ".gitignore").unlink()
    verify_folder(model, tmp_path / "stock.sig", signer.key)
    (model / ".gitattributes").write_text("*.onnx filter=evil")
    refused(model, tmp_path / "stock.sig", signer.key, "MLO7113", ".gitattributes")


def test_the_encoding_before_1_0_is_refused(model: Path, signature: Path, signer: Signer) -> None:
    """The library falls back on it where the right one fails."""
    rewritten(signature, lambda payload: None, lambda payload: signer.sign(pae_compat(payload)))
    stock_verify(model, signature, signer.path.with_suffix(".pub"))
    refused(model, signature, signer.key, "MLO7110", "not by this key")


@pytest.mark.parametrize("paths", [["."], [""], ["/"], ["sub"], ["sub/"], ["sub/labels.json"]])
def test_a_part_that_the_signer_ignored_is_not_waved_through(
    model: Path, signature: Path, signer: Signer, paths: list[str]
) -> None:
    resigned(signature, signer, lambda payload: payload["predicate"]["serialization"].update(ignore_paths=paths))
    refused(model, signature, signer.key, "MLO7113")


def test_a_signature_of_another_folder_does_not_hold(
    model: Path, signature: Path, signer: Signer, tmp_path: Path
) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    (other / "model.onnx").write_bytes(b"other weights")
    sign_folder(other, signer, tmp_path / "other.sig")
    verify_folder(other, tmp_path / "other.sig", signer.key)
    refused(model, tmp_path / "other.sig", signer.key, "MLO7110", "changed: model.onnx")
    refused(other, signature, signer.key, "MLO7110", "changed: model.onnx")


@pytest.mark.parametrize(
    "change",
    [
        lambda payload: payload["predicate"]["resources"].append(payload["predicate"]["resources"][0]),
        lambda payload: payload["predicate"]["resources"].reverse(),
        lambda payload: payload["subject"][0]["digest"].update(sha256="0" * 64),
        lambda payload: payload["subject"].append(payload["subject"][0]),
        lambda payload: payload["subject"].clear(),
        lambda payload: payload.update(_type="https://in-toto.io/Statement/v0.1"),
    ],
    ids=["a file twice", "another order", "another root", "two subjects", "no subject", "another statement"],
)
def test_a_statement_that_contradicts_itself_is_refused(
    model: Path, signature: Path, signer: Signer, change: Callable[[dict[str, Any]], None]
) -> None:
    resigned(signature, signer, change)
    refused(model, signature, signer.key, "MLO7111")


def test_modes_and_empty_folders_are_not_covered(model: Path, signature: Path, signer: Signer) -> None:
    """The form has no place for them, and docs/signing-keys.md says so."""
    (model / "model.onnx").chmod(0o755)
    (model / "empty").mkdir()
    verify_folder(model, signature, signer.key)


@pytest.mark.parametrize(
    "make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("..")], ids=["pipe", "link"]
)
def test_pipes_and_links_to_folders_are_refused(
    model: Path, signature: Path, signer: Signer, make: Callable[[Path], Any]
) -> None:
    make(model / "sub" / "odd")
    refused(model, signature, signer.key, "MLO7112")


def test_names_are_utf_8_and_shown_without_tricks(model: Path, signature: Path, signer: Signer, tmp_path: Path) -> None:
    (model / "sub" / "\x1b[2J").touch()
    refused(model, signature, signer.key, "MLO7110", "not signed: 'sub/\\x1b[2J'")
    (Path(os.fsdecode(os.fsencode(model) + b"/sub/\xff"))).touch()
    refused(model, signature, signer.key, "MLO7112", "no UTF-8")
    with pytest.raises(EvidenceError):
        sign_folder(model, signer, tmp_path / "again.sig")


# --- OpenSSH keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "nistp256", "rsa"])
def test_an_openssh_key_signs_a_model(model: Path, tmp_path: Path, kind: str) -> None:
    key = keygen(tmp_path / "id", kind)
    sign_folder(model, signer_of("ada", tmp_path / "id", key), tmp_path / "ssh.sig")
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "renamed")
    for spelled in (key, pem(key), (tmp_path / "id.pub").read_text()):
        verify_folder(copy, tmp_path / "ssh.sig", spelled)
    refused(model, tmp_path / "ssh.sig", keygen(tmp_path / "other", kind), "MLO7110", "not by this key")
    (model / "model.onnx").write_bytes(b"other")
    refused(model, tmp_path / "ssh.sig", key, "MLO7110", "changed: model.onnx")


def test_the_library_does_not_know_ssh_signatures(model: Path, signer: Signer, tmp_path: Path) -> None:
    """Which is why signing by an OpenSSH key says so."""
    key = keygen(tmp_path / "id")
    sign_folder(model, signer_of("ada", tmp_path / "id", key), tmp_path / "ssh.sig")
    with pytest.raises(ValueError, match="Key mismatch"):
        stock_verify(model, tmp_path / "ssh.sig", signer.path.with_suffix(".pub"))


def test_a_hardware_key_has_to_be_touched_for_a_model_too(model: Path, tmp_path: Path) -> None:
    hardware = HardwareKey("ecdsa-sha2-nistp256")
    signature = tmp_path / "sk.sig"
    sign_folder(model, Signer("ada", tmp_path, hardware.key, "hardware", lambda: hardware.sign), signature)
    verify_folder(model, signature, hardware.key)
    untouched = Signer("ada", tmp_path, hardware.key, "hardware", lambda: partial(hardware.sign, flags=0))
    sign_folder(model, untouched, signature)
    refused(model, signature, hardware.key, "MLO7110", "not by this key")


def test_a_key_hint_is_no_proof(model: Path, tmp_path: Path) -> None:
    """Naming the trusted key around a stranger's signature, and the other way round."""
    key, other = keygen(tmp_path / "id"), keygen(tmp_path / "other")
    sign_folder(model, signer_of("ada", tmp_path / "id", key), tmp_path / "ssh.sig")
    good = json.loads((tmp_path / "ssh.sig").read_bytes())
    sign_folder(model, signer_of("eve", tmp_path / "other", other), tmp_path / "ssh.sig")
    bad = json.loads((tmp_path / "ssh.sig").read_bytes())
    bad["verificationMaterial"], good["verificationMaterial"] = (
        good["verificationMaterial"],
        bad["verificationMaterial"],
    )
    for bundle in (bad, good):
        (tmp_path / "ssh.sig").write_text(json.dumps(bundle))
        refused(model, tmp_path / "ssh.sig", key, "MLO7110", "not by this key")


@pytest.mark.parametrize(
    "key", ["", "no key", "ssh-ed25519 AAAA", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"]
)
def test_what_is_no_key_verifies_nothing(model: Path, signature: Path, key: str) -> None:
    refused(model, signature, key, "MLO7111", "no key to verify with")
