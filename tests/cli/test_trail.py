"""The trail of one clone, wired together: which root is trusted, and where that is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopsctl.cli.trail import open_trail, pin_file
from mlopsctl.errors import EvidenceError
from tests.audit.clone import Clone


def test_the_root_that_init_wrote_is_pinned_for_this_user(tmp_path: Path) -> None:
    clone = Clone.start(tmp_path / "repo")
    root = clone.trail.entries()[0]
    assert json.loads(pin_file(clone.log).read_bytes())["root"] == root.id
    assert clone.trail.ledger.expected.root == root.id


@pytest.mark.parametrize("log", ["{repo}/pin", "../../../../../../../../../../proc/self/cwd/pin", "A" * 32, "1"])
def test_a_manifest_cannot_bring_its_own_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str) -> None:
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "pin.json").write_text(json.dumps({"root": "f" * 64, "key": "owner"}))
    monkeypatch.chdir(clone.folder)
    with pytest.raises(EvidenceError) as caught:
        open_trail(clone.repo, clone.state, log.format(repo=clone.folder))
    assert caught.value.code == "MLO7116"
