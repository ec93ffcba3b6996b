"""Keys that only a passphrase opens: asked for once on a terminal, or read from a file of the user's."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from base64 import b64decode
from contextlib import suppress
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import load_signer, new_key
from mlopsctl.adapters.signatures import verify_signature
from mlopsctl.errors import EvidenceError
from tests.quickstart import BIN

WORDS = b"seven words that nobody guesses"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_key(tmp_path / "alice.pem", WORDS).path


def passphrase_file(folder: Path, words: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = folder / "passphrase"
    file.touch(0o600)
    file.write_bytes(words)
    monkeypatch.setenv("MLOPS_KEY_PASSPHRASE_FILE", str(file))
    return file


def refused(path: Path, code: str) -> EvidenceError:
    with pytest.raises(EvidenceError) as caught:
        load_signer(path).sign(b"hello")
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_it_signs_with_the_passphrase_from_a_file(path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    passphrase_file(path.parent, WORDS + end, monkeypatch)
    signer = load_signer(path)
    assert signer.kind == "EC P-256 file, encrypted"
    assert verify_signature(signer.key, b"hello", signer.sign(b"hello"))


def test_nothing_is_asked_where_nothing_is_signed(path: Path) -> None:
    assert len(load_signer(path).key_id) == 64


def test_without_terminal_and_file_the_error_says_what_to_do(path: Path) -> None:
    error = refused(path, "MLO7130")
    assert "MLOPS_KEY_PASSPHRASE_FILE" in error.hint


def test_a_wrong_passphrase(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase_file(path.parent, b"other words", monkeypatch)
    refused(path, "MLO7131")


def test_a_passphrase_that_others_can_read_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = passphrase_file(path.parent, WORDS, monkeypatch)
    file.chmod(0o640)
    assert refused(path, "MLO7130").hint == f"chmod 600 {file}"
    file.unlink()
    refused(path, "MLO7130")


def test_openssl_reads_it_and_the_cost_is_scrypt(path: Path) -> None:
    """Another program opens it, and what it costs to guess stands in the file: N = 2^14, r = 8, p = 5."""
    argv: list[str | Path] = ["openssl", "pkey", "-in", path, "-passin", f"pass:{WORDS.decode()}", "-pubout"]
    shown = subprocess.run(argv, capture_output=True, check=True, text=True)
    assert shown.stdout == load_signer(path).public_key_pem
    parsed = subprocess.run(["openssl", "asn1parse", "-in", path], capture_output=True, check=True, text=True).stdout
    numbers = [line.rpartition(":")[2] for line in parsed.splitlines() if "INTEGER" in line]
    assert "scrypt" in parsed and "aes-256-cbc" in parsed and numbers == ["4000", "08", "05"]
    wrong = subprocess.run([*argv[:5], "pass:other"], capture_output=True, check=False)
    assert wrong.returncode != 0


def test_the_private_key_is_nowhere_in_the_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = new_key(tmp_path / "alice.pem", WORDS).path
    private = load_pem_private_key(path.read_bytes(), WORDS)
    secret = private.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    for file in tmp_path.iterdir():
        text = file.read_text()
        body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
        assert secret not in b64decode(body)


def on_a_terminal(argv: list[str], typed: bytes, folder: Path) -> tuple[int, str]:
    """Runs a command on a terminal of its own and types; exit code and everything that was shown."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(argv[0], argv, {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"})
    shown, lines = b"", typed.splitlines(keepends=True)
    with suppress(OSError):  # the terminal is gone once the command ends
        while more := os.read(terminal, 4096):
            shown += more
            if shown.endswith(b": "):
                os.write(terminal, lines.pop(0) if lines else b"\x04")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


TWICE = """
import sys
from pathlib import Path
from mlopsctl.adapters.keys import load_signer
for message in (b"one", b"two"):
    signer = load_signer(Path(sys.argv[1]))
    signer.sign(message)
print("signed twice")
"""


def test_it_is_asked_once_a_process_and_never_shown(path: Path) -> None:
    code, shown = on_a_terminal([sys.executable, "-c", TWICE, str(path)], WORDS + b"\n", path.parent)
    assert code == 0, shown
    assert shown.count("passphrase of the key 'alice': ") == 1 and "signed twice" in shown
    assert WORDS.decode() not in shown


def test_nothing_typed_is_no_passphrase(path: Path) -> None:
    code, shown = on_a_terminal([str(BIN / "mlopsctl"), "sign", "alice.pem", "--key", str(path)], b"", path.parent)
    assert code == 7 and "MLO7130" in shown


def test_a_new_key_asks_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    argv = [str(BIN / "mlopsctl"), "key", "new", "--encrypted"]
    code, shown = on_a_terminal([*argv, "bob"], b"one of them\nanother\n", tmp_path)
    assert code == 7 and "MLO7131" in shown and not (tmp_path / "mlops/keys/bob.pem").exists()
    code, shown = on_a_terminal([*argv, "bob"], b"the same\nthe same\n", tmp_path)
    assert code == 0 and "EC P-256 file, encrypted" in shown, shown
    passphrase_file(tmp_path, b"the same\n", monkeypatch)
    signer = load_signer(tmp_path / "mlops/keys/bob.pem")
    assert verify_signature(signer.key, b"hello", signer.sign(b"hello"))


def test_a_new_key_takes_the_file_where_there_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    argv: list[str | Path] = [BIN / "mlopsctl", "key", "new", "--encrypted", "bob"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 7 and "MLO7130" in done.stderr
    passphrase_file(tmp_path, b"", monkeypatch)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 7 and "MLO7131" in done.stderr, "an empty one protects nothing"
    passphrase_file(tmp_path, WORDS, monkeypatch)
    subprocess.run(argv, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert (tmp_path / "mlops/keys/bob.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
