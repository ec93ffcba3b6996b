"""Signing keys of a user."""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlopsctl.adapters.keys import default_key, key_file, load_signer, new_key
from mlopsctl.adapters.signatures import verify_digest, verify_signature
from mlopsctl.errors import EvidenceError, UsageError
from mlopsctl.verifiers import public_key


def test_a_key_signs_and_its_public_half_verifies(tmp_path: Path) -> None:
    signer = new_key(tmp_path / "alice.pem")
    signature = load_signer(tmp_path / "alice.pem").sign(b"hello")
    assert verify_signature(signer.key, b"hello", signature)
    assert not verify_signature(signer.key, b"hallo", signature)
    assert signer.name == "alice" and len(signer.key_id) == 64


def test_the_digest_of_a_message_is_enough_for_the_keys_that_sign_no_more_than_that(tmp_path: Path) -> None:
    signer, other = new_key(tmp_path / "alice.pem"), new_key(tmp_path / "bob.pem")
    signature, digest = signer.sign(b"hello"), sha256(b"hello").digest()
    assert verify_digest(signer.key, digest, signature) is True
    for key, signed, proof in (
        (signer.key, sha256(b"hallo").digest(), signature),
        (signer.key, digest[:-1], signature),
        (signer.key, digest, b""),
        (signer.key, digest, other.sign(b"hello")),
        (other.key, digest, signature),
    ):
        assert verify_digest(key, signed, proof) is False


def test_other_keys_are_asked_with_the_message(tmp_path: Path) -> None:
    larger = ec.generate_private_key(ec.SECP384R1())
    pem = larger.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    digest = sha256(b"hello").digest()
    signature = larger.sign(b"hello", ec.ECDSA(SHA384()))
    assert verify_signature(public_key(pem), b"hello", signature)
    ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    for key in (public_key(pem), ssh, "sigstore:https://issuer.example#me", "bm8ga2V5", "no base64"):
        assert verify_digest(key, digest, signature) is None, key


def test_only_its_owner_can_read_it_and_openssl_can_use_it(tmp_path: Path) -> None:
    signer = new_key(tmp_path / "alice.pem")
    assert signer.path.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        ["openssl", "pkey", "-in", signer.path, "-pubout"], capture_output=True, check=True, text=True
    )
    assert shown.stdout == signer.public_key_pem


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path / "alice.pem")
    with pytest.raises(EvidenceError) as caught:
        new_key(tmp_path / "alice.pem")
    assert caught.value.code == "MLO7101"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = new_key(tmp_path / "alice.pem").path
    path.chmod(0o644)
    with pytest.raises(EvidenceError) as caught:
        load_signer(path).sign(b"x")
    assert caught.value.code == "MLO7103"


def test_a_public_half_of_another_key_is_refused(tmp_path: Path) -> None:
    """Everything signed with the two would be a forgery to everybody else."""
    path = new_key(tmp_path / "alice.pem").path
    path.with_suffix(".pub").write_text(new_key(tmp_path / "bob.pem").public_key_pem)
    with pytest.raises(EvidenceError) as caught:
        load_signer(path).sign(b"x")
    assert caught.value.code == "MLO7103"


def test_nothing_holds_under_a_key_that_is_no_point_of_its_curve(tmp_path: Path) -> None:
    signer = new_key(tmp_path / "alice.pem")
    der = b64decode(signer.key)
    off_curve = b64encode(der[:-64] + b"\x01" * 64).decode()
    assert not verify_signature(off_curve, b"x", signer.sign(b"x"))


@pytest.mark.parametrize("kind", ["rsa:2048", "ed25519"])
def test_other_kinds_of_keys_are_refused(tmp_path: Path, kind: str) -> None:
    words = ["-algorithm", kind.split(":")[0].upper()]
    path = tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", *words, "-out", path], capture_output=True, check=True)
    path.chmod(0o600)
    with pytest.raises(EvidenceError) as caught:
        load_signer(path)
    assert caught.value.code == "MLO7103"


def test_which_key_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key() is None
    new_key(key_file("alice"))
    assert default_key() == key_file("alice") == tmp_path / "mlops/keys/alice.pem"
    new_key(key_file("bob"))
    assert default_key() is None, "two keys: nobody guesses"
    assert default_key("bob") == key_file("bob")
    monkeypatch.setenv("MLOPS_KEY", os.fspath(tmp_path / "x.pem"))
    assert default_key("bob") == tmp_path / "x.pem"
    with pytest.raises(EvidenceError) as caught:
        load_signer(tmp_path / "x.pem")
    assert caught.value.code == "MLO7102"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b"])
def test_names_that_would_leave_the_folder(name: str) -> None:
    with pytest.raises(UsageError):
        key_file(name)
