"""What a program deployed counts once it says that it serves; else the former one is put back."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

from tests.quickstart import must, shell
from tests.shelf import BEFORE, PROGRAM, another_model, block, declare, make_small, on

APPLY = f"{BEFORE}mlopsctl apply -y"
FAULT = b"""
import json as _json, os as _os
_shelf = spec["to"]
if verb == "apply" and _os.path.exists(_shelf + "/fault"):
    _os.rename(_shelf + "/fault", _shelf + "/current/FAULT")
if verb == "probe" and _os.path.exists(_shelf + "/current/FAULT"):
    how = open(_shelf + "/current/FAULT").read()
    if how == "fails":
        sys.exit("no connection")
    facts["state"] = how
json.dump({"facts": facts}, sys.stdout)
"""
FAULTY = PROGRAM.replace(b'json.dump({"facts": facts}, sys.stdout)\n', FAULT)


@pytest.fixture
def project(tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_small(tmp_path / "small")
    declare(folder, live=block(shelf, "timeout: 8s"))
    (folder / "tools/shelf.py").write_bytes(FAULTY)
    text = (folder / "mlops.yaml").read_text()
    digest = "digest: sha256:" + hashlib.sha256(FAULTY).hexdigest()
    (folder / "mlops.yaml").write_text(re.sub(r"digest: sha256:[0-9a-f]{64}", digest, text))
    must("git commit -qam Faults", folder)
    return folder


def label(shelf: Path) -> str:
    return (shelf / "label").read_text()


@pytest.mark.parametrize(("fault", "said"), [("down", "its program says 'down'"), ("fails", "failed (status 1)")])
def test_a_first_deployment_that_never_answers_is_none(project: Path, shelf: Path, fault: str, said: str) -> None:
    assert sys.executable
    (shelf / "fault").write_text(fault)
    done = shell(APPLY, project)
    assert done.returncode == 1 and "MLO1519" in done.stdout and said in done.stdout, done.stdout
    assert "no deployment of this trail was there before" in done.stdout
    entries = json.loads(must("mlopsctl audit log --format json", project))["entries"]
    kinds = [one["kind"] for one in entries if one["address"] == "deployments.live"]
    assert "failure" in kinds and "result" not in kinds
    assert re.search(r"deployments\.live +create", must("mlopsctl plan", project))
    must(APPLY, project)
    assert "No changes" in must("mlopsctl plan", project)


def test_the_former_one_is_put_back_under_its_own_label(project: Path, shelf: Path) -> None:
    must(APPLY, project)
    before, named = on(shelf), label(shelf)
    (shelf / "fault").write_text("down")
    another_model(project)
    done = shell(APPLY, project)
    assert done.returncode == 1 and re.search(r"entry [0-9a-f]{12} serves again", done.stdout), done.stdout
    assert on(shelf) == before and label(shelf) == named
    status = must("mlopsctl status live", project)
    assert "release 1" in status
    # The place names what the trail says of it: the next attempt finds nothing foreign there.
    must(APPLY, project)
    assert on(shelf) != before and "release 2" in must("mlopsctl status live", project)
    must("mlopsctl audit verify --full", project)
