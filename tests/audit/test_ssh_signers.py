"""Entries signed by OpenSSH keys that the policy names: what holds, and every near miss."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mlopsctl.adapters.keys import Signer, import_key
from mlopsctl.audit.dsse import encode, pae
from mlopsctl.audit.entry import read_line
from mlopsctl.audit.trust import read_policy
from mlopsctl.crypto.sshsig import MAGIC, signed_bytes, wrap
from mlopsctl.types import Entry
from mlopsctl.verifiers import pack, unpack
from tests.ssh import HardwareKey, add, agent, keygen, keygen_sign, signer_of

from .clone import Clone


def admit(clone: Clone, name: str, key: str) -> None:
    """The owner lets a key train."""
    trust = clone.trail.entries()[0].facts["trust"]
    signers = {**trust["signers"], name: {"key": key, "roles": ["train"]}}
    trail = clone.trail
    trail.append("trust", facts={"trust": {**trust, "signers": signers}})
    trail.flush()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


def trained(clone: Clone, tmp_path: Path, kind: str) -> Entry:
    """A result that an OpenSSH key of this kind signed."""
    key = keygen(tmp_path / "id", kind)
    admit(clone, "ada", key)
    clone.signer = signer_of("ada", tmp_path / "id", key)
    return clone.train("model")


def swap(clone: Clone, entry: Entry, signature: bytes) -> None:
    """The same entry under another signature."""
    record = read_line(clone.line(entry.id))
    clone.replace(entry.id, encode(record.payload, [(record.signatures[0][0], signature)]))


def message_of(clone: Clone, entry: Entry) -> bytes:
    return pae(read_line(clone.line(entry.id)).payload)


@pytest.mark.parametrize("kind", ["ed25519", "nistp384", "rsa"])
def test_an_entry_by_a_key_of_the_policy_counts(clone: Clone, tmp_path: Path, kind: str) -> None:
    entry = trained(clone, tmp_path, kind)
    assert entry.trusted and entry.signer == "ada"
    assert clone.verdict(full=True).ok
    assert clone.trail.result(entry.made_from) == entry


def test_an_entry_through_the_agent_counts(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keygen(tmp_path / "id", passphrase="seven words")
    admit(clone, "ada", key)
    with agent(tmp_path) as environment:
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        add(tmp_path / "id", environment, "seven words")
        clone.signer = signer_of("ada", tmp_path / "id", key)
        entry = clone.train("model")
    assert clone.verdict(full=True).ok and entry.trusted


def test_the_root_of_a_trail_may_be_an_openssh_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    keygen(tmp_path / "id")
    import_key("owner", str(tmp_path / "id"))
    clone = Clone.start(tmp_path / "repo")
    assert clone.signer.scheme == "SSHSIG by ssh-ed25519"
    clone.train("model")
    verdict = clone.verdict(full=True)
    assert verdict.ok and verdict.root == "pinned"


def test_a_signature_for_another_namespace(clone: Clone, tmp_path: Path) -> None:
    """What the person signed as a git commit or a file is no entry."""
    entry = trained(clone, tmp_path, "ed25519")
    for namespace in ("git", "file"):
        swap(clone, entry, keygen_sign(tmp_path / "id", message_of(clone, entry), namespace=namespace))
        assert ("MLO7011", entry.id) in clone.codes(full=True)
    swap(clone, entry, keygen_sign(tmp_path / "id", message_of(clone, entry)))
    assert clone.verdict(full=True).ok, "and the right one is"


def test_a_signature_by_another_key(clone: Clone, tmp_path: Path) -> None:
    entry = trained(clone, tmp_path, "ed25519")
    message = message_of(clone, entry)
    keygen(tmp_path / "other")
    foreign = keygen_sign(tmp_path / "other", message)
    swap(clone, entry, foreign)
    assert ("MLO7011", entry.id) in clone.codes(full=True)
    blob = b64decode(clone.signer.key.split()[1])
    swap(clone, entry, wrap(blob, unpack(foreign[len(MAGIC) + 4 :], 5)[4]))
    assert ("MLO7011", entry.id) in clone.codes(full=True), "the trusted key's name around a stranger's signature"


def test_a_signature_by_rsa_with_sha1(clone: Clone, tmp_path: Path) -> None:
    entry = trained(clone, tmp_path, "rsa")
    private = serialization.load_ssh_private_key((tmp_path / "id").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    raw = private.sign(signed_bytes(message_of(clone, entry)), padding.PKCS1v15(), hashes.SHA1())
    for name in (b"ssh-rsa", b"rsa-sha2-512"):
        swap(clone, entry, wrap(b64decode(clone.signer.key.split()[1]), pack(name, raw)))
        assert ("MLO7011", entry.id) in clone.codes(full=True)


def test_a_hardware_key_whose_flags_were_stripped(clone: Clone, tmp_path: Path) -> None:
    hardware = HardwareKey("ssh-ed25519")
    admit(clone, "ada", hardware.key)
    clone.signer = Signer("ada", tmp_path, hardware.key, "hardware", lambda: hardware.sign)
    entry = clone.train("model")
    assert clone.verdict(full=True).ok
    message = message_of(clone, entry)
    inner = unpack(hardware.sign(message)[len(MAGIC) + 4 :], 5)[4]
    for signature in (wrap(hardware.blob, inner[:-5]), hardware.sign(message, flags=0)):
        swap(clone, entry, signature)
        assert ("MLO7011", entry.id) in clone.codes(full=True)
    policy = clone.trail.ledger.policy_in_force()
    assert policy is not None and policy.signers["ada"].strength == "hardware key"


def test_the_bare_signature_without_its_envelope(clone: Clone, tmp_path: Path) -> None:
    """SSH authentication signs with the same key: only SSHSIG binds a signature to its purpose."""
    entry = trained(clone, tmp_path, "ed25519")
    private = serialization.load_ssh_private_key((tmp_path / "id").read_bytes(), None)
    raw = private.sign(message_of(clone, entry))  # type: ignore[call-arg]
    blob = b64decode(clone.signer.key.split()[1])
    for signature in (raw, pack(b"ssh-ed25519", raw), wrap(blob, pack(b"ssh-ed25519", raw))):
        swap(clone, entry, signature)
        assert ("MLO7011", entry.id) in clone.codes(full=True)


def test_a_policy_takes_openssh_keys_that_can_sign(clone: Clone, tmp_path: Path) -> None:
    trust = clone.trail.entries()[0].facts["trust"]
    key = keygen(tmp_path / "id")
    line = (tmp_path / "id.pub").read_text()
    assert line.endswith("ada@laptop\n"), "as the file has it, with its comment"
    policy = read_policy({**trust, "signers": {**trust["signers"], "ada": {"key": line, "roles": ["train"]}}})
    assert policy.signers["ada"].key == key
