"""The user's OpenSSH key signs: from its file, or through a real agent."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mlopsctl.adapters import keys
from mlopsctl.adapters.keys import import_key, load_signer
from mlopsctl.adapters.signatures import verify_signature
from mlopsctl.adapters.ssh_agent import agent_keys
from mlopsctl.errors import EvidenceError
from tests.ssh import KINDS, HardwareKey, add, agent, keygen, keygen_verify, simulated_agent

MESSAGE = b"an entry of the trail"


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with agent(tmp_path) as environment:
        monkeypatch.setenv("SSH_AUTH_SOCK", environment["SSH_AUTH_SOCK"])
        yield environment


def refused(code: str, action: Callable[[], object]) -> EvidenceError:
    with pytest.raises(EvidenceError) as caught:
        action()
    assert caught.value.code == code, caught.value
    return caught.value


def test_an_unencrypted_file_signs_by_itself(tmp_path: Path) -> None:
    key = keygen(tmp_path / "id_ed25519")
    signer = import_key("ada", str(tmp_path / "id_ed25519"))
    assert (signer.name, signer.key) == ("ada", key)
    assert signer.scheme == "SSHSIG by ssh-ed25519" and signer.kind == f"OpenSSH key {tmp_path / 'id_ed25519'}"
    signature, material = signer.seal(MESSAGE)
    assert material is None
    assert verify_signature(key, MESSAGE, signature) and keygen_verify(tmp_path, key, MESSAGE, signature)


def test_only_its_place_is_recorded(tmp_path: Path) -> None:
    keygen(tmp_path / "id")
    path = import_key("ada", str(tmp_path / "id")).path
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes()).keys() == {"version", "kind", "key", "at"}
    assert b"PRIVATE" not in path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_agent_signs_with_an_encrypted_key(tmp_path: Path, running: dict[str, str], kind: str) -> None:
    key = keygen(tmp_path / "id", kind, passphrase="seven words")
    signer = import_key("ada", str(tmp_path / "id"))
    error = refused("MLO7132", lambda: signer.sign(MESSAGE))
    assert error.hint == f"ssh-add {tmp_path / 'id'}"
    add(tmp_path / "id", running, "seven words")
    signature = signer.sign(MESSAGE)
    assert verify_signature(key, MESSAGE, signature) and keygen_verify(tmp_path, key, MESSAGE, signature)


def test_the_agent_signs_where_only_the_public_half_is_here(tmp_path: Path, running: dict[str, str]) -> None:
    key = keygen(tmp_path / "id")
    add(tmp_path / "id", running)
    (tmp_path / "id").unlink()
    signer = import_key("ada", str(tmp_path / "id.pub"))
    assert signer.kind == "OpenSSH key in the SSH agent"
    assert verify_signature(key, MESSAGE, signer.sign(MESSAGE))
    assert len(agent_keys()) == 1


def test_without_an_agent_the_error_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keygen(tmp_path / "id")
    signer = import_key("ada", str(tmp_path / "id.pub"))
    assert "ssh-agent" in refused("MLO7132", lambda: signer.sign(MESSAGE)).hint
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone.sock"))
    assert "gone.sock" in refused("MLO7132", lambda: signer.sign(MESSAGE)).message


def test_an_agent_that_holds_another_key_is_no_help(tmp_path: Path, running: dict[str, str]) -> None:
    keygen(tmp_path / "id")
    keygen(tmp_path / "other")
    add(tmp_path / "other", running)
    signer = import_key("ada", str(tmp_path / "id.pub"))
    assert "does not hold" in refused("MLO7132", lambda: signer.sign(MESSAGE)).message


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_hardware_key_signs_through_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    hardware = HardwareKey(kind)
    (tmp_path / "sk.pub").write_text(hardware.key + " ada@laptop\n")
    signer = import_key("ada", str(tmp_path / "sk.pub"))
    assert signer.kind == "OpenSSH hardware key in the SSH agent"
    with simulated_agent(tmp_path, hardware.blob, hardware.raw) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        signature = signer.sign(MESSAGE)
    assert verify_signature(hardware.key, MESSAGE, signature)
    assert keygen_verify(tmp_path, hardware.key, MESSAGE, signature)


def test_what_nobody_would_take_is_not_taken_from_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key made with no-touch-required, or an old agent that signs by RSA with SHA-1."""
    hardware = HardwareKey("ssh-ed25519")
    (tmp_path / "sk.pub").write_text(hardware.key)
    signer = import_key("ada", str(tmp_path / "sk.pub"))
    with simulated_agent(tmp_path, hardware.blob, partial(hardware.raw, flags=0)) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        assert "does not hold" in refused("MLO7132", lambda: signer.sign(MESSAGE)).message


@pytest.mark.parametrize("answer", [b"", b"\0", b"\0\0\0\x01\x0c", b"\0\0\0\x05\x0e\0\0\0\x09", b"\xff" * 9])
def test_an_agent_that_talks_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    key = keygen(tmp_path / "id")
    signer = import_key("ada", str(tmp_path / "id.pub"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "odd.sock"))
        listener.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "odd.sock"))

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        refused("MLO7132", lambda: signer.sign(MESSAGE))
        thread.join()
    assert key == signer.key


def test_a_locked_agent_refuses(tmp_path: Path, running: dict[str, str]) -> None:
    """A key that was there at the start of a run may be taken away in the middle of it."""
    key = keygen(tmp_path / "id")
    add(tmp_path / "id", running)
    signer = import_key("ada", str(tmp_path / "id.pub"))
    assert verify_signature(key, MESSAGE, signer.sign(MESSAGE))
    subprocess.run(["ssh-add", "-q", "-D"], env=running, check=True, capture_output=True)
    assert "refused" in refused("MLO7132", lambda: signer.sign(MESSAGE)).message


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keygen(tmp_path / "id")
    signer = import_key("ada", str(tmp_path / "id"))
    (tmp_path / "id").chmod(0o644)
    refused("MLO7103", lambda: signer.sign(MESSAGE))


def test_a_file_that_became_another_key_is_refused(tmp_path: Path) -> None:
    keygen(tmp_path / "id")
    signer = import_key("ada", str(tmp_path / "id"))
    (tmp_path / "id").unlink()
    (tmp_path / "id.pub").unlink()
    keygen(tmp_path / "id")
    refused("MLO7133", lambda: signer.sign(MESSAGE))


def test_keys_that_cannot_sign_are_refused_when_imported(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", tmp_path / "short"], check=True)
    assert "3072 bits" in refused("MLO7133", lambda: import_key("ada", str(tmp_path / "short"))).message
    keygen(tmp_path / "id")
    (tmp_path / "id.pub").unlink()
    assert "ssh-keygen -y" in refused("MLO7133", lambda: import_key("ada", str(tmp_path / "id"))).hint


def test_a_public_half_of_another_kind_is_no_openssh_key(tmp_path: Path) -> None:
    keys.new_key(tmp_path / "alice.pem")
    assert "no OpenSSH key" in refused("MLO7133", lambda: import_key("ada", str(tmp_path / "alice.pub"))).message


def test_a_damaged_descriptor_is_named(tmp_path: Path) -> None:
    keygen(tmp_path / "id")
    path = import_key("ada", str(tmp_path / "id")).path
    for text in (
        "{",
        "[]",
        "{}",
        path.read_text().replace("openssh", "else"),
        path.read_text().replace("AAAA", "AAAB"),
    ):
        path.write_text(text)
        refused("MLO7137", lambda: load_signer(path))


def test_a_name_is_given_once(tmp_path: Path) -> None:
    keygen(tmp_path / "id")
    import_key("ada", str(tmp_path / "id"))
    refused("MLO7101", lambda: import_key("ada", str(tmp_path / "id")))
    refused("MLO7101", lambda: keys.new_key(keys.config_folder() / "keys" / "ada.pem"))
