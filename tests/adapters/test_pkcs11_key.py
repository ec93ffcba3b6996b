"""A key inside a PKCS#11 token signs, in a token of SoftHSM's; every process of its own opens the token anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.pkcs11_uri import read_uri
from mlopsctl.errors import EvidenceError
from mlopsctl.verifiers import public_key
from tests.quickstart import BIN
from tests.softhsm import CURVES, MODULE, PIN, make_key, make_token, needs_softhsm


class Bench:
    """A token, a folder for keys, and commands that are run as a person runs them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {**os.environ, **make_token(folder), "XDG_CONFIG_HOME": str(folder / "config")}

    def pin(self, words: str, mode: int = 0o600) -> None:
        file = self.folder / "pin"
        file.unlink(missing_ok=True)
        file.write_text(words + "\n")
        file.chmod(mode)
        self.environment["MLOPS_PKCS11_PIN_FILE"] = str(file)

    def run(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run(
            [BIN / argv[0], *argv[1:]], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def uri(self, label: str = "mlops", more: str = "") -> str:
        return f"pkcs11:token=card;object={label}{more}?module-path={MODULE}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


SIGN = """
import sys
from pathlib import Path
from mlopsctl.adapters.keys import key_file, load_signer
sys.stdout.write(load_signer(key_file("card")).sign(b"an entry").hex())
"""


@needs_softhsm
@pytest.mark.parametrize("curve", CURVES)
def test_a_token_signs_and_openssl_verifies(bench: Bench, curve: str) -> None:
    pem = make_key(bench.folder, "mlops", curve)
    assert "PKCS#11 token" in bench.run("mlopsctl", "key", "import", "card", bench.uri())
    shown = json.loads(bench.run("mlopsctl", "key", "show", "card", "--format", "json"))
    assert shown["pem"] == pem and shown["key"] == public_key(pem)
    bench.pin(PIN)
    signature = bytes.fromhex(bench.run("python", "-c", SIGN))
    (bench.folder / "key.pub").write_text(pem)
    (bench.folder / "sig").write_bytes(signature)
    (bench.folder / "message").write_bytes(b"an entry")
    size = curve.replace("P-", "").replace("521", "512")
    words = [f"-sha{size}", "-verify", "key.pub", "-signature", "sig", "message"]
    subprocess.run(["openssl", "dgst", *words], cwd=bench.folder, check=True, capture_output=True)


@needs_softhsm
def test_the_stock_tool_verifies_a_model_that_a_token_signed(bench: Bench) -> None:
    pem = make_key(bench.folder, "mlops")
    bench.run("mlopsctl", "key", "import", "card", bench.uri())
    bench.pin(PIN)
    (bench.folder / "model").mkdir()
    (bench.folder / "model" / "model.onnx").write_bytes(b"weights")
    (bench.folder / "card.pub").write_text(pem)
    bench.run("mlopsctl", "sign", "model", "--key", "card")
    bench.run("mlopsctl", "verify", "model", "--key", "card.pub")
    stock = [sys.executable, "-m", "model_signing", "verify", "key", "model", "--signature", "model.sig"]
    subprocess.run([*stock, "--public_key", "card.pub"], cwd=bench.folder, check=True, capture_output=True)


@needs_softhsm
def test_pins_come_from_a_file_and_are_tried_once(bench: Bench) -> None:
    make_key(bench.folder, "mlops")
    bench.run("mlopsctl", "key", "import", "card", bench.uri())
    (bench.folder / "model").write_bytes(b"weights")
    sign = ("mlopsctl", "sign", "model", "--key", "card")
    assert "MLO7130" in bench.run(*sign, code=7), "no terminal and no file"
    bench.pin(PIN, mode=0o644)
    assert "MLO7130" in bench.run(*sign, code=7)
    bench.pin("000000")
    assert "MLO7131" in bench.run(*sign, code=7)
    bench.pin(PIN)
    assert "ECDSA" in bench.run(*sign)


@needs_softhsm
def test_which_key_is_meant_must_be_clear(bench: Bench) -> None:
    make_key(bench.folder, "mlops", key_id="01")
    again = make_key(bench.folder, "mlops", key_id="02")
    assert "holds 2 public EC keys" in bench.run("mlopsctl", "key", "import", "card", bench.uri(), code=7)
    assert "holds 0 public" in bench.run("mlopsctl", "key", "import", "card", bench.uri("none"), code=7)
    bench.run("mlopsctl", "key", "import", "card", bench.uri(more=";id=%02"))
    assert json.loads(bench.run("mlopsctl", "key", "show", "card", "--format", "json"))["pem"] == again
    other = bench.uri().replace("token=card", "token=other")
    assert "there are: card" in bench.run("mlopsctl", "key", "import", "card2", other, code=7)


@needs_softhsm
def test_another_key_under_the_name_is_refused(bench: Bench) -> None:
    """The token was made anew since: its signatures would be a stranger's."""
    make_key(bench.folder, "mlops")
    bench.run("mlopsctl", "key", "import", "card", bench.uri())
    bench.pin(PIN)
    subprocess.run(["softhsm2-util", "--delete-token", "--token", "card"], env=bench.environment, check=True)
    make_token(bench.folder)
    make_key(bench.folder, "mlops")
    (bench.folder / "model").write_bytes(b"weights")
    assert "MLO7135" in bench.run("mlopsctl", "sign", "model", "--key", "card", code=7)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pkcs11:token=card;object=a?module-path=/x&pin-value=1234", "holds a PIN"),
        ("pkcs11:token=card;object=a?module-path=/x&pin-source=/pin", "holds a PIN"),
        ("pkcs11:token=card;object=a", "module-path"),
        ("pkcs11:token=card;object=a?module-path=lib.so", "module-path"),
        ("pkcs11:token=card?module-path=/x", "no key in it"),
        ("pkcs11:object=a?module-path=/x", "no token"),
        ("pkcs11:token=card;object=a;object=b?module-path=/x", "twice"),
        ("pkcs11:token=card;object=a;type=public?module-path=/x", "no private key"),
        ("pkcs11:token=card;object=a;slot-id=3?module-path=/x", "slot-id="),
        ("pkcs11:token;object=a?module-path=/x", "no value"),
    ],
)
def test_uris_that_are_refused(uri: str, words: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        read_uri(uri)
    assert caught.value.code == "MLO7134" and words in caught.value.message
    assert "1234" not in str(caught.value)


def test_a_uri_is_decoded() -> None:
    place = read_uri("pkcs11:token=my%20card;serial=ab;object=k%3b;id=%00%ff;type=private?module-path=/lib/a%20b.so")
    assert place == ("/lib/a b.so", {"label": "my card", "serial": "ab"}, "k;", b"\x00\xff")


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    from mlopsctl.adapters.keys import import_key

    with pytest.raises(EvidenceError) as caught:
        import_key("card", "pkcs11:token=card;object=a?module-path=/nowhere/lib.so")
    assert caught.value.code == "MLO7136"
