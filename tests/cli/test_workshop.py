"""How apply records its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.cli.project import open_project
from mlopsctl.cli.workshop import ProjectWorkshop
from mlopsctl.errors import EvidenceError
from mlopsctl.types import Address, Resource
from tests.audit.clone import Clone


def test_a_failure_goes_on_record_without_the_secret_in_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "mlops.yaml").write_text(
        f"apiVersion: mlopsctl/v1\nproject: {{name: digits, log: '{clone.log}'}}\n"
    )
    monkeypatch.chdir(clone.folder)
    want = Resource(Address("train", "model"), "train/command", None)
    with ProjectWorkshop(open_project(), lambda address, text: None) as workshop:
        facts = {"code": "MLO1000", "message": "the registry refused ghp_" + "a" * 36}
        made = workshop.record("failure", want, status="failed", facts=facts)
    entry = clone.trail.entry(made.entry)
    assert entry is not None and entry.facts["message"] == "the registry refused ***"


def test_a_key_that_cannot_sign_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After hours of training it would be too late to find that the passphrase is missing."""
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "mlops.yaml").write_text(
        f"apiVersion: mlopsctl/v1\nproject: {{name: digits, log: '{clone.log}'}}\n"
    )
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("MLOPS_KEY", str(new_key(tmp_path / "ada.pem", b"seven words").path))
    with ProjectWorkshop(open_project(), lambda address, text: None) as workshop:
        with pytest.raises(EvidenceError) as caught:
            workshop.context(Address("train", "model"))
        assert caught.value.code == "MLO7130"
