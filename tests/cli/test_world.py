"""What a plan asks of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopsctl.canonical import digest_of
from mlopsctl.cli.project import open_project
from mlopsctl.cli.world import ProjectWorld
from mlopsctl.types import Address, Digest, Resource
from tests.audit.clone import Clone

ARTIFACT = Digest("dirhash:" + "a" * 64)


def made(address: str, **more: Any) -> dict[str, Any]:
    ingredients = {"provider": f"{address.partition('.')[0]}/x", "spec": {}, **more.pop("ingredients", {})}
    return {"address": address, "made_from": digest_of(ingredients), "ingredients": ingredients, **more}


def test_for_an_older_artifact_only_a_target_vouches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for data could else attest the bytes anew, and with them the signature that is checked."""
    clone = Clone.start(tmp_path / "repo")
    (clone.folder / "mlops.yaml").write_text(
        f"apiVersion: mlopsctl/v1\nproject: {{name: digits, log: '{clone.log}'}}\n"
    )
    trail = clone.trail
    target = trail.append("result", **made("targets.cpu", outputs={"artifact": ARTIFACT}))
    running = trail.append("result", **made("deployments.local", ingredients={"inputs": {"artifact": [ARTIFACT]}}))
    trail.append("result", **made("data.digits", outputs={"artifact": ARTIFACT}))
    monkeypatch.chdir(clone.folder)
    want = Resource(Address("deployments", "local"), "deployments/local", None)
    inputs = ProjectWorld(open_project()).inputs_of(running.id, want)
    assert inputs is not None and [item.seen.entry for item in inputs if item.seen] == [target.id]
