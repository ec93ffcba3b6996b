"""A model that is gone and cannot be made to the byte again, in a real project."""

from __future__ import annotations

import json
from pathlib import Path

from tests.quickstart import make_quickstart, must, shell, take_down


def test_lost_outputs_may_come_out_otherwise_where_the_figures_agree(tmp_path: Path) -> None:
    project = make_quickstart(tmp_path / "project")
    must("sed -i 's/train.py}/train.py, reproducible: metrics}/' mlops.yaml", project)
    # It starts a little elsewhere each time: other bytes, and nearly the same model.
    must("sed -i 's/np.zeros(10)$/np.zeros(10) + __import__(\"time\").time_ns() % 1000 * 1e-6/' train.py", project)
    must('git commit -qam "No fixed start" && mlopsctl apply -y', project)
    try:
        must("rm -rf .git/mlops/store && sed -i 's/^  cpu: {}/  cpu: {}\\n  whole: {view: all}/' mlops.yaml", project)
        done = shell("mlopsctl apply -y", project)
        assert (done.returncode, "MLO6017" in done.stdout) == (6, True), done.stdout
        assert "gates.accuracy" in done.stdout
        # What follows is made of the new one: no merge brought it, so that the deployment follows as well.
        must("mlopsctl apply -y", project)
        assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
        found = json.loads(must("mlopsctl audit log --format json", project))["entries"]
        models = [one for one in found if one["address"] == "train.classifier" and one["kind"] == "result"]
        assert len(models) == 2
        assert must("mlopsctl audit verify", project).startswith("ok: ")
    finally:
        take_down(project)
