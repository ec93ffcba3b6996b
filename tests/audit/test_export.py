"""What others are handed: a bundle that stock tools read, and a folder that verifies without the repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from base64 import b64decode
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlopsctl.adapters.keys import new_key
from mlopsctl.cli.audit_checks import checked
from mlopsctl.cli.main import run as mlopsctl
from tests.cli.contract import follows
from tests.quickstart import BIN, must, shell

from .clone import Clone, forged, owner, result


@pytest.fixture(scope="module")
def exported(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole trail of the quickstart, with its artifacts. Never change it: copy it."""
    place = tmp_path_factory.mktemp("exported") / "auditor"
    must(f"mlopsctl audit export --folder {place} --artifacts", applied)
    return place


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """An own copy of the exported folder."""
    return Path(shutil.copytree(exported, tmp_path / "auditor"))


@pytest.fixture(scope="module")
def root(applied: Path) -> str:
    """What the people of the project say their root entry is."""
    found = json.loads(must("mlopsctl audit log --kind root --format json", applied))
    return str(found["entries"][0]["id"])


def away(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """mlopsctl on a machine with nothing but itself and the folder: no home, no repository, no git."""
    nowhere = folder.parent / "nowhere"
    nowhere.mkdir(exist_ok=True)
    return subprocess.run(
        [BIN / "python", "-m", "mlopsctl", "audit", *words],
        cwd=nowhere, env={"HOME": "", "PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def verdict(folder: Path, root: str = "") -> dict[str, Any]:
    """The same in this process: there are many folders to look at."""
    found, more, _ = checked(folder, root, "", (), (), strict=False, full=False, read_bytes=False)
    return {**found.as_json(), **more}


def verdict_away(folder: Path, *words: str) -> dict[str, Any]:
    done = away(folder, "verify", "--offline", str(folder), "--format", "json", *words)
    found: dict[str, Any] = follows("audit-verify", done.stdout)
    assert (done.returncode == 0) is found["ok"], done.stderr
    return found


def codes(found: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in found["findings"]}


# --- The bundle ------------------------------------------------------------------------------------------------


def test_every_line_of_a_bundle_is_an_envelope_whose_signature_holds(project: Path) -> None:
    must("mlopsctl audit export -o all.intoto.jsonl", project)
    (owner,) = json.loads(must("mlopsctl trust show --format json", project))["policy"]["signers"].values()
    key: Any = serialization.load_der_public_key(b64decode(owner["key"]))
    statement_type: Any = import_module("in_toto_attestation.v1.statement_pb2").Statement
    json_format: Any = import_module("google.protobuf.json_format")
    lines = (project / "all.intoto.jsonl").read_text().splitlines()
    for line in lines:
        envelope = json.loads(line)
        assert envelope.keys() == {"payload", "payloadType", "signatures"}
        payload, kind = b64decode(envelope["payload"]), envelope["payloadType"].encode()
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        key.verify(b64decode(envelope["signatures"][0]["sig"]), message, ec.ECDSA(hashes.SHA256()))
        assert json_format.Parse(payload, statement_type()).predicate_type
    assert len(lines) == len(json.loads(must("mlopsctl audit log --format json", project))["entries"])


def test_a_bundle_for_one_result_holds_what_it_rests_on(project: Path) -> None:
    must("sed -i 's/0.93/0.94/' mlops.yaml && git commit -qam bar && mlopsctl apply -y", project)
    text = must("mlopsctl audit export train.classifier", project)
    payloads = [json.loads(b64decode(json.loads(line)["payload"])) for line in text.splitlines()]
    entries = [payload["predicate"]["mlopsctl_entry"] for payload in payloads]
    assert {entry.get("address", entry["kind"]) for entry in entries} == {
        "root", "data.digits", "train.classifier", "gates.accuracy", "gates.scan",
    }  # fmt: skip


def test_a_signature_that_a_stranger_hung_on_an_entry_is_not_handed_on(project: Path) -> None:
    before = must("mlopsctl audit export", project)
    note = must("git notes --ref mlops list | cut -d' ' -f2 | tail -n 1", project).strip()
    line = json.loads(must(f"git notes --ref mlops show {note}", project).splitlines()[0])
    line["dsse"]["signatures"][0]["sig"] = "MAAA"
    forged = json.dumps(line, separators=(",", ":"), sort_keys=True)
    body = must(f"git notes --ref mlops show {note}", project) + forged + "\n"
    (project / "body").write_text(body)
    must(f"git notes --ref mlops add -f -C $(git hash-object -w body) {note}", project)
    assert must("mlopsctl audit export", project) == before


# --- The folder ------------------------------------------------------------------------------------------------


def test_a_folder_verifies_where_there_is_nothing_else(folder: Path, root: str) -> None:
    found = verdict_away(folder, "--root", root, "--strict")
    assert (found["ok"], found["root"], found["freshness"]) == (True, "pinned", "unproven")
    assert found["folder"]["signatures"] == found["folder"]["artifacts"] == 2


def test_nothing_in_the_folder_says_whose_it_is(folder: Path) -> None:
    assert verdict(folder)["root"] == "unpinned"
    assert codes(verdict_away(folder, "--strict")) == {"MLO7026"}
    assert "MLO7025" in codes(verdict(folder, "f" * 64))


def test_the_folder_is_read_like_a_clone(folder: Path, project: Path) -> None:
    traced = away(folder, "trace", "targets.cpu", "--offline", str(folder), "--format", "json")
    assert json.loads(traced.stdout) == json.loads(must("mlopsctl audit trace targets.cpu --format json", project))
    logged = away(folder, "log", "--offline", str(folder), "--format", "json")
    assert logged.stdout == must("mlopsctl audit log --format json", project)


def test_two_clones_export_the_same_bytes(project: Path, folder: Path, tmp_path: Path) -> None:
    must(
        f"git clone -q . {tmp_path}/two && git -C {tmp_path}/two fetch -q origin refs/notes/mlops:refs/notes/mlops",
        project,
    )
    must(f"cp -r .git/mlops/store {tmp_path}/two/.git/ && mkdir {tmp_path}/two/.git/mlops", project)
    must(f"mv {tmp_path}/two/.git/store {tmp_path}/two/.git/mlops/store", project)
    must(f"mlopsctl audit export --folder {tmp_path}/again --artifacts", tmp_path / "two")
    assert (tmp_path / "again/SHA256SUMS").read_bytes() == (folder / "SHA256SUMS").read_bytes()


def test_coreutils_check_the_sums(folder: Path) -> None:
    assert "FAILED" not in must("sha256sum --check SHA256SUMS", folder)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def sum_again(folder: Path) -> None:
    """A forger who can change a file can change the list of sums."""
    names = [name for name in files_of(folder) if name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.mark.parametrize("way", ["changed", "removed", "changed and summed", "removed and summed"])
def test_tampering_with_any_file_is_found(folder: Path, root: str, tmp_path: Path, way: str) -> None:
    names = [name for name in files_of(folder) if name != "SHA256SUMS"]
    assert {name.partition("/")[0] for name in names} >= {
        "notes", "policies", "keys", "code", "signatures", "artifacts", "trail.json", "README.md"
    }  # fmt: skip
    for number, name in enumerate(names):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(folder, copy)
        if way.startswith("changed"):
            body = bytearray((copy / name).read_bytes())
            body[len(body) // 2] ^= 1
            (copy / name).write_bytes(bytes(body))
        else:
            (copy / name).unlink()
        if way.endswith("summed"):
            sum_again(copy)
        found = verdict(copy, root)
        if name == "README.md" and way.endswith("summed"):
            # Words for people, which nobody signed: told, and no finding.
            assert [warning["code"] for warning in found["warnings"]] == ["MLO7243"]
        elif name.startswith("artifacts/") and way == "removed and summed":
            assert found["folder"]["artifacts"] < 2 or not found["ok"]
        else:
            assert not found["ok"], name
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["extra.txt", "keys/mallory.pem", "artifacts/sha256-" + "0" * 64, "code/x/y.py"])
def test_what_was_put_in_is_found(folder: Path, root: str, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("more")
    assert "MLO7232" in codes(verdict(folder, root))
    sum_again(folder)
    assert codes(verdict(folder, root)) & {"MLO7234", "MLO7235"}


def test_a_whole_other_trail_is_another_root(folder: Path, tmp_path: Path, root: str) -> None:
    other = tmp_path / "other"
    must(f"git init -q {other} && XDG_CONFIG_HOME={tmp_path} mlopsctl init --template quickstart {other}", tmp_path)
    must(
        f"git add -A && git commit -qm x && XDG_CONFIG_HOME={tmp_path} mlopsctl audit export --folder {tmp_path}/forged",
        other,
    )
    assert verdict(tmp_path / "forged")["ok"]
    assert "MLO7025" in codes(verdict(tmp_path / "forged", root))


def test_a_changed_entry_is_found_far_from_home(folder: Path, root: str) -> None:
    note = max((folder / "notes").iterdir(), key=lambda path: path.stat().st_size)
    lines = note.read_bytes().splitlines(keepends=True)
    note.write_bytes(b"".join(lines[:-2] + lines[-1:]))
    sum_again(folder)
    found = verdict_away(folder, "--root", root)
    assert "MLO7022" in codes(found) and not found["ok"]


@pytest.mark.parametrize("bad", ["no sums", "a link", "torn sums"])
def test_what_is_no_exported_folder_is_refused(folder: Path, bad: str) -> None:
    if bad == "no sums":
        (folder / "SHA256SUMS").unlink()
    elif bad == "a link":
        (folder / "keys" / "link").symlink_to("/etc/passwd")
    else:
        (folder / "SHA256SUMS").write_text("x")
    done = away(folder, "verify", "--offline", str(folder))
    assert done.returncode == 7 and "MLO7233" in done.stderr


def test_an_export_is_whole_or_not_there(project: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = shell(f"mlopsctl audit export --folder {tmp_path}/there", project)
    assert done.returncode == 64 and "MLO7241" in done.stdout
    model = next((project / ".git/mlops/store/dirhash").rglob("*/*"))
    os.chmod(model, 0o644)
    model.write_bytes(b"other bytes")
    assert shell(f"mlopsctl audit export --folder {tmp_path}/broken --artifacts", project).returncode == 1
    assert "MLO7244" in shell(f"mlopsctl audit export --folder {tmp_path}/again --artifacts", project).stdout
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_options_that_contradict_each_other(project: Path) -> None:
    for words in ("-o x --folder y", "--artifacts", "train.nobody"):
        done = shell(f"mlopsctl audit export {words}", project)
        assert done.returncode in (1, 64) and "MLO7" in done.stdout


# --- Trails with a history -----------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A trail where bob was admitted and removed again; one entry still waits in the journal."""
    clone = Clone.start(tmp_path / "repo")
    bob = new_key(tmp_path / "keys" / "bob.pem")
    trail = clone.trail
    trust = trail.entries()[0].facts["trust"]
    more = {**trust, "signers": {**trust["signers"], "bob": {"key": bob.key, "roles": ["train"]}}}
    trail.append("trust", facts={"trust": more})
    trail.flush()
    clone.signer = bob
    clone.train("by-bob")
    clone.signer = owner()
    trail = clone.trail
    trail.append("trust", facts={"trust": trust})
    trail.flush()
    trail.append("result", **result("waiting"), commit=clone.commit())
    monkeypatch.chdir(clone.folder)
    return clone


def test_every_policy_and_key_that_ever_counted_is_there(clone: Clone, tmp_path: Path) -> None:
    assert mlopsctl(["audit", "export", "--folder", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out/policies").iterdir())) == 3
    assert {path.name.partition("-")[0] for path in (tmp_path / "out/keys").iterdir()} == {"owner", "bob"}
    root = clone.trail.entries()[0].id
    found = verdict(tmp_path / "out", root)
    assert found["ok"] and found["entries"] == len(clone.trail.entries()) == 5
    # Nothing here was in a store: that is said, and is no finding.
    assert len(json.loads((tmp_path / "out/trail.json").read_text())["missing"]) == 2


def test_a_grant_that_is_put_back_into_the_folder_is_found(clone: Clone, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert mlopsctl(["audit", "export", "--folder", str(out)]) == 0
    small, *_, large = sorted((out / "policies").iterdir(), key=lambda path: path.stat().st_size)
    small.write_bytes(large.read_bytes())
    sum_again(out)
    assert codes(verdict(out, clone.trail.entries()[0].id)) == {"MLO7234"}


def test_what_is_wrong_in_the_trail_goes_along_and_is_found(clone: Clone, tmp_path: Path) -> None:
    entry = clone.trail.entries()[2]
    root = clone.trail.entries()[0].id
    clone.trail.flush()
    bad = clone.replace(entry.id, forged(clone.line(entry.id), clone.signer, signer="bob"))
    assert mlopsctl(["audit", "export", "--folder", str(tmp_path / "out")]) == 0
    found = verdict(tmp_path / "out", root)
    assert {(one["code"], one["entry"]) for one in found["findings"]} >= {("MLO7012", bad)}


def test_a_bundle_leaves_out_what_does_not_count(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    entry = clone.trail.entries()[-1]
    clone.trail.flush()
    clone.replace(entry.id, forged(clone.line(entry.id), clone.signer, signer="bob"))
    assert mlopsctl(["audit", "export"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
