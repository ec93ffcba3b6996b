"""From an entry back to what it was made from, as it stood then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from mlopsctl.audit.trace import ancestry
from mlopsctl.types import Digest, Entry
from tests.quickstart import must


def test_a_later_run_that_gave_the_same_bytes_takes_no_credit(project: Path) -> None:
    before = json.loads(must("mlopsctl audit trace targets.cpu --format json", project))
    script = project / "train.py"
    script.write_text(script.read_text() + "# says nothing new\n")
    must("git commit -qam 'A comment' && mlopsctl apply -y", project)
    history = json.loads(must("mlopsctl show train.classifier --history --format json", project))["entries"]
    assert history[-1]["status"] == "done"
    after = json.loads(must("mlopsctl audit trace targets.cpu --format json", project))
    models = [[node["id"] for node in trace["inputs"] if node["role"] == "model"] for trace in (before, after)]
    assert models[0] == models[1] and models[0]


def test_what_a_gate_compared_with_is_behind_no_release() -> None:
    """Whoever trained the champion neither made the candidate, nor may they be kept from approving it."""

    def made(entry: str, signer: str, output: str = "", **inputs: list[str]) -> Entry:
        given = {role.replace("_", " "): digests for role, digests in inputs.items()}
        outputs = {"model": Digest(output)} if output else {}
        return Entry(
            entry, len(entry), (), "", signer, "result", "train.m", ingredients={"inputs": given}, outputs=outputs
        )

    entries = [
        made("a", "ann", "old"),
        made("bb", "ben", "new"),
        made("ccc", "cy", champion=["old"], champion_rows=["old"], model=["new"]),
    ]

    class Trail:
        def entry(self, entry_id: str) -> Entry | None:
            return next((one for one in entries if one.id == entry_id), None)

        def with_output(self, digest: str, section: str = "", before: int = 0) -> Entry | None:
            return next((one for one in entries if digest in one.outputs.values()), None)

    assert [one.signer for one in ancestry(cast(Any, Trail()), ["ccc"])] == ["cy", "ben"]
