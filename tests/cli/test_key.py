"""The verbs that make, import and show keys, and the choice of the one that signs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import config_folder, default_key, import_key, load_signer, new_key
from mlopsctl.cli.main import run as mlopsctl
from mlopsctl.errors import EvidenceError
from tests.cli.contract import follows
from tests.ssh import HardwareKey, keygen, simulated_agent


@pytest.fixture(autouse=True)
def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a project, and a user without keys."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert mlopsctl(words) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_an_openssh_key_is_imported_and_signs_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = keygen(tmp_path / "id")
    said = answer(capsys, "key", "import", "ada", "id")
    assert key in said and "SSHSIG" in said
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(b"weights")
    assert "(SSHSIG by ssh-ed25519, key " in answer(capsys, "sign", "model")
    away = shutil.copytree(tmp_path / "model", tmp_path / "away" / "model")
    shutil.copy(tmp_path / "model.sig", tmp_path / "away")
    assert "(SSHSIG by ssh-ed25519)" in answer(capsys, "verify", str(away), "--key", "id.pub")
    (tmp_path / "key").write_text(answer(capsys, "key", "show", "--public"))
    answer(capsys, "verify", str(away), "--key", "key")
    keygen(tmp_path / "other")
    answer(capsys, "verify", str(away), "--key", "other.pub", code=7)
    (away / "extra").touch()
    answer(capsys, "verify", str(away), "--key", "id.pub", code=7)


@pytest.mark.parametrize("form", ["pem", "base64", "openssh"])
def test_verify_takes_every_spelling_of_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    if form == "openssh":
        keygen(tmp_path / "id")
        signer = import_key("ada", "id")
    else:
        signer = new_key(tmp_path / "ada.pem")
    text = signer.key if form == "base64" else signer.public_key_pem
    (tmp_path / "public").write_text(text)
    answer(capsys, "sign", "model.onnx", "--key", str(signer.path))
    answer(capsys, "verify", "model.onnx", "--key", "public")
    (tmp_path / "public").write_text("nothing")
    answer(capsys, "verify", "model.onnx", "--key", "public", code=64)


def test_a_pem_file_elsewhere_is_recorded_and_stays_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = new_key(tmp_path / "usb" / "ada.pem")
    answer(capsys, "key", "import", "ada", "usb/ada.pem")
    signer = load_signer(config_folder() / "keys" / "ada.json")
    assert signer.key == made.key and "usb/ada.pem" in signer.kind
    assert signer.sign(b"hello")
    (tmp_path / "usb" / "ada.pem").rename(tmp_path / "usb" / "gone.pem")
    (tmp_path / "new.json").write_bytes(signer.path.read_bytes())
    with pytest.raises(EvidenceError) as caught:
        load_signer(tmp_path / "new.json").sign(b"hello")
    assert caught.value.code == "MLO7103" and "ada.pem cannot be read" in caught.value.message


def test_json_follows_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "key", "new", "alice")
    keygen(tmp_path / "id")
    answer(capsys, "key", "import", "laptop", "id")
    shown = follows("key-show", answer(capsys, "key", "show", "laptop", "--format", "json"))
    assert (shown["name"], shown["signature"]) == ("laptop", "SSHSIG by ssh-ed25519")
    listed = follows("key-ls", answer(capsys, "key", "ls", "--format", "json"))["keys"]
    assert {(one["name"], one["default"]) for one in listed} == {("laptop", False), ("alice", False)}


def test_ls_marks_the_one_that_signs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer(capsys, "key", "ls") == ""
    answer(capsys, "key", "new", "alice")
    assert answer(capsys, "key", "ls").startswith("* signs here  alice")
    keygen(tmp_path / "id")
    answer(capsys, "key", "import", "laptop", "id")
    assert "signs here" not in answer(capsys, "key", "ls"), "two keys: nobody guesses"
    monkeypatch.setenv("MLOPS_KEY", "laptop")
    line = next(line for line in answer(capsys, "key", "ls").splitlines() if "laptop" in line)
    assert line.startswith("* signs here") and "SSHSIG" in line


def test_mlops_key_is_a_path_or_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keygen(tmp_path / "id")
    imported = import_key("laptop", "id")
    made = new_key(tmp_path / "elsewhere" / "x.pem")
    for text, path in (("laptop", imported.path), (str(imported.path), imported.path), (str(made.path), made.path)):
        monkeypatch.setenv("MLOPS_KEY", text)
        assert default_key() == path
    monkeypatch.setenv("MLOPS_KEY", "nobody")
    found = default_key()
    assert found is not None
    with pytest.raises(EvidenceError) as caught:
        load_signer(found)
    assert caught.value.code == "MLO7102"


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("import", "ada", "nowhere"), 64, "MLO6414"),
        (("import", "../ada", "id"), 64, "MLO6414"),
        (("import", "ada", "pkcs11:token=a;object=b?module-path=/x&pin-value=1"), 7, "MLO7134"),
        (("import", "ada", "text"), 7, "MLO7103"),
        (("show", "--format", "xml"), 64, "MLO6401"),
        (("ls", "--format", "xml"), 64, "MLO6401"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, error: str
) -> None:
    keygen(tmp_path / "id")
    (tmp_path / "text").write_text("no key")
    (tmp_path / "text").chmod(0o600)
    assert mlopsctl(("key", *words)) == code
    assert f"error[{error}]" in capsys.readouterr().err
    assert not config_folder().exists(), "nothing half-made"


def test_an_openssh_key_named_directly_says_how_to_import_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keygen(tmp_path / "id")
    monkeypatch.setenv("MLOPS_KEY", str(tmp_path / "id"))
    (tmp_path / "model").write_bytes(b"weights")
    assert mlopsctl(("sign", "model")) == 7
    assert "mlopsctl key import" in capsys.readouterr().err


def test_a_hardware_key_is_announced_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the command would seem to hang while it waits for a touch."""
    hardware = HardwareKey("ssh-ed25519")
    (tmp_path / "sk.pub").write_text(hardware.key)
    (tmp_path / "model").write_bytes(b"weights")
    answer(capsys, "key", "import", "token", "sk.pub")
    with simulated_agent(tmp_path, hardware.blob, hardware.raw) as place:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        assert mlopsctl(("sign", "model", "--key", "token")) == 0
        assert "touch it" in capsys.readouterr().err
        assert mlopsctl(("sign", "model", "--key", "token")) == 0
        assert "touch it" not in capsys.readouterr().err
    answer(capsys, "verify", "model", "--key", "sk.pub")


def test_doctor_says_what_kind_the_key_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keygen(tmp_path / "id")
    import_key("laptop", "id")
    mlopsctl(("doctor", "--format", "json"))
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["key"]["state"] == "ok" and "SSHSIG by ssh-ed25519" in checks["key"]["text"]
