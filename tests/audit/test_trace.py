"""From an entry back to what it was made from, as it stood then."""

from __future__ import annotations

import json
from pathlib import Path

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
