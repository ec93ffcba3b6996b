"""How apply records its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.cli.messages import in_full
from mlopsctl.cli.project import open_project
from mlopsctl.cli.workshop import ProjectWorkshop, on_record
from mlopsctl.errors import EvidenceError
from mlopsctl.resources import title_of
from mlopsctl.types import Address, Resource
from tests.audit.clone import Clone


def test_a_failure_goes_on_record_without_its_words_and_this_machine_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "mlops.yaml").write_text(
        f"apiVersion: mlopsctl/v1\nproject: {{name: digits, log: '{clone.log}'}}\n"
    )
    monkeypatch.chdir(clone.folder)
    want = Resource(Address("train", "model"), "train/command", None)
    with ProjectWorkshop(open_project(), lambda address, text: None) as workshop:
        facts = {"code": "MLO1211", "message": "Jane Roe is no float; the registry refused ghp_" + "a" * 36}
        made = workshop.record("failure", want, status="failed", facts=facts)
    entry = clone.trail.entry(made.entry)
    assert entry is not None and entry.facts == {"code": "MLO1211", "message": title_of("MLO1211")}
    shown = in_full(entry, clone.state)
    assert shown is not None and shown.facts["message"] == "Jane Roe is no float; the registry refused ***"
    other = in_full(entry, tmp_path)
    assert other == entry, "another clone knows the title only"


def test_figures_of_programs_that_saw_rows_are_kept_and_their_words_are_not() -> None:
    claimed = {"rows": 3, "loss": "0.25", "who": "Jane Roe", "jane@example.org": 1, "per": {"a": "1e-3", "b": "x"}}
    assert on_record("train", {"claimed": claimed})["claimed"] == {"rows": 3, "loss": "0.25", "per": {"a": "1e-3"}}
    assert on_record("deployments", {"claimed": {"id": "svc-1"}})["claimed"] == {"id": "svc-1"}


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
