"""SSHSIG against OpenSSH's own program, in both directions, and everything else refused."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.adapters.ssh_key import opened
from mlopsctl.crypto.keys import holds
from mlopsctl.crypto.sshsig import MAGIC, signed_bytes, wrap
from mlopsctl.verifiers import pack, public_key, unpack
from tests.ssh import KINDS, HardwareKey, keygen, keygen_checks, keygen_sign, keygen_verify

MESSAGE = b"an entry of the trail"


@pytest.mark.parametrize("kind", KINDS)
def test_what_openssh_signs_holds_here(tmp_path: Path, kind: str) -> None:
    key = keygen(tmp_path / "id", kind)
    signature = keygen_sign(tmp_path / "id", MESSAGE)
    assert holds(key, MESSAGE, signature)
    assert not holds(key, MESSAGE + b".", signature)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_signed_here_openssh_takes(tmp_path: Path, kind: str) -> None:
    key = keygen(tmp_path / "id", kind)
    signature = opened(str(tmp_path / "id"), key)(MESSAGE)
    assert holds(key, MESSAGE, signature)
    assert keygen_verify(tmp_path, key, MESSAGE, signature) and keygen_checks(tmp_path, MESSAGE, signature)
    assert not keygen_verify(tmp_path, key, MESSAGE + b".", signature)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_hardware_key_holds_when_it_was_touched(tmp_path: Path, kind: str) -> None:
    hardware = HardwareKey(kind)
    signature = hardware.sign(MESSAGE)
    assert keygen_verify(tmp_path, hardware.key, MESSAGE, signature), "OpenSSH takes it for a real one"
    assert holds(hardware.key, MESSAGE, signature)
    assert holds(hardware.key, MESSAGE, hardware.sign(MESSAGE, flags=5)), "user verified as well as present"
    untouched = hardware.sign(MESSAGE, flags=0)
    assert not holds(hardware.key, MESSAGE, untouched)
    assert not holds(hardware.key, MESSAGE, untouched[:-5] + b"\x01" + untouched[-4:]), "the flags are signed"
    assert not holds(hardware.key, MESSAGE, signature[:-1] + b"\x63"), "the counter is signed"


def test_flags_cannot_be_stripped(tmp_path: Path) -> None:
    hardware = HardwareKey("ssh-ed25519")
    *head, inner = unpack(hardware.sign(MESSAGE)[len(MAGIC) + 4 :], 5)
    assert not holds(hardware.key, MESSAGE, wrap(hardware.blob, inner[:-5]))
    assert not holds(hardware.key, MESSAGE, wrap(hardware.blob, pack(b"ssh-ed25519", unpack(inner[:-5])[1])))
    assert head[1] == b"mlopsctl"


def test_another_namespace_or_hash_is_refused(tmp_path: Path) -> None:
    """A signature that the person gave for git commits or files must not become an entry."""
    key = keygen(tmp_path / "id")
    for words, namespace in [((), "git"), ((), "file"), (("-O", "hashalg=sha256"), "mlopsctl")]:
        signature = keygen_sign(tmp_path / "id", MESSAGE, *words, namespace=namespace)
        assert keygen_checks(tmp_path, MESSAGE, signature, namespace), "right in itself"
        assert not holds(key, MESSAGE, signature)


def test_another_key_is_refused(tmp_path: Path) -> None:
    key, other = keygen(tmp_path / "id"), keygen(tmp_path / "other")
    signature = keygen_sign(tmp_path / "other", MESSAGE)
    assert holds(other, MESSAGE, signature) and not holds(key, MESSAGE, signature)
    renamed = wrap(b64decode(key.split()[1]), unpack(signature[len(MAGIC) + 4 :], 5)[4])
    assert not holds(key, MESSAGE, renamed), "naming the trusted key inside does not help"


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(hashes.SHA1(), b"ssh-rsa"), (hashes.SHA256(), b"rsa-sha2-256"), (hashes.SHA1(), b"rsa-sha2-512")],
)
def test_rsa_with_a_weaker_hash_is_refused(tmp_path: Path, algorithm: hashes.HashAlgorithm, name: bytes) -> None:
    key = keygen(tmp_path / "id", "rsa")
    private = serialization.load_ssh_private_key((tmp_path / "id").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    blob = b64decode(key.split()[1])
    raw = private.sign(signed_bytes(MESSAGE), padding.PKCS1v15(), algorithm)
    assert not holds(key, MESSAGE, wrap(blob, pack(name, raw)))
    strong = private.sign(signed_bytes(MESSAGE), padding.PKCS1v15(), hashes.SHA512())
    assert not holds(key, MESSAGE, wrap(blob, pack(b"ssh-rsa", strong))), "the name is checked too"
    assert holds(key, MESSAGE, wrap(blob, pack(b"rsa-sha2-512", strong)))


def test_short_rsa_and_dsa_are_no_keys(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3072 bits"):
        keygen(tmp_path / "short", words=("-t", "rsa", "-b", "2048"))
    with pytest.raises(ValueError, match="neither PEM"):
        public_key("ssh-dss AAAAB3NzaC1kc3MAAACB")


def test_reserved_bytes_trailing_bytes_and_versions_are_refused(tmp_path: Path) -> None:
    key = keygen(tmp_path / "id")
    good = keygen_sign(tmp_path / "id", MESSAGE)
    blob, namespace, _, algorithm, inner = unpack(good[len(MAGIC) + 4 :], 5)
    head = MAGIC + (1).to_bytes(4, "big")
    assert head + pack(blob, namespace, b"", algorithm, inner) == good
    spoiled = [
        head + pack(blob, namespace, b"x", algorithm, inner),
        head + pack(blob, namespace, b"", algorithm, inner + b"\0"),
        head + pack(blob, namespace, b"", algorithm, inner, b""),
        head + pack(blob, namespace, b"", algorithm),
        good + b"\0",
        MAGIC + (2).to_bytes(4, "big") + good[len(MAGIC) + 4 :],
        b"SSHSIH" + good[len(MAGIC) :],
        b"",
    ]
    assert not any(holds(key, MESSAGE, signature) for signature in spoiled)


def test_a_number_of_an_ecdsa_signature_has_one_spelling(tmp_path: Path) -> None:
    key = keygen(tmp_path / "id", "nistp256")
    good = opened(str(tmp_path / "id"), key)(MESSAGE)
    blob, *_, inner = unpack(good[len(MAGIC) + 4 :], 5)
    kind, raw = unpack(inner, 2)
    r, s = unpack(raw, 2)
    assert holds(key, MESSAGE, wrap(blob, pack(kind, pack(r, s))))
    assert not holds(key, MESSAGE, wrap(blob, pack(kind, pack(b"\0" + r, s))))
    assert not holds(key, MESSAGE, wrap(blob, pack(kind, pack(r, s, b""))))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    folder = tmp_path_factory.mktemp("signed")
    return keygen(folder / "id"), keygen_sign(folder / "id", MESSAGE)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(signed: tuple[str, bytes], data: st.DataObject) -> None:
    key, signature = signed
    place = data.draw(st.integers(0, len(signature) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = signature[:place] + bytes([signature[place] ^ flip]) + signature[place + 1 :]
    assert not holds(key, MESSAGE, changed)


@given(garbage=st.binary(max_size=300))
def test_garbage_is_an_answer_and_no_crash(signed: tuple[str, bytes], garbage: bytes) -> None:
    key, good = signed
    assert not holds(key, MESSAGE, garbage)
    assert not holds(key, MESSAGE, good[:10] + garbage)


def test_what_is_signed_is_as_openssh_writes_it_down() -> None:
    """PROTOCOL.sshsig, the blob for signing."""
    digest = hashlib.sha512(MESSAGE).digest()
    fields = [b"mlopsctl", b"", b"sha512", digest]
    expected = b"SSHSIG" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    assert signed_bytes(MESSAGE) == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda fields: [*fields, b""],
        lambda fields: fields[:-1],
        lambda fields: [fields[0], fields[1] + b"\0"],
    ],
)
def test_a_key_has_exactly_its_fields(tmp_path: Path, spoil: Callable[[list[bytes]], list[bytes]]) -> None:
    key = keygen(tmp_path / "id")
    fields = unpack(b64decode(key.split()[1]))
    blob = pack(*spoil(fields))
    with pytest.raises(ValueError, match="this is no ssh-ed25519 key"):
        public_key(f"ssh-ed25519 {b64encode(blob).decode()}")
