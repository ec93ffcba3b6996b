"""``moved:`` and blocks that leave the manifest, in a real project."""

from __future__ import annotations

from pathlib import Path

from tests.cli.contract import follows
from tests.quickstart import must, shell

MOVE = """
sed -i 's/  classifier: {run/  recogniser: {run/' mlops.yaml
printf 'moved:\\n  - {from: train.classifier, to: train.recogniser}\\n' >> mlops.yaml
git commit -qam move
"""


def test_a_moved_model_keeps_its_results_and_its_history(project: Path) -> None:
    must(MOVE, project)
    said = must("mlopsctl plan", project)
    assert "> train.recogniser" in said and "metadata only: was train.classifier" in said
    assert "Plan: 1 to move, 4 unchanged." in said
    assert "1 applied" in must("mlopsctl apply -y", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
    history = must("mlopsctl show train.recogniser --history", project)
    assert "move" in history and "result" in history
    # What the trail knows needs no line any more.
    must("sed -i '/^moved:/,$d' mlops.yaml && git commit -qam 'moved long ago'", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
    assert "result" in must("mlopsctl show train.recogniser --history", project)
    must("echo '# more' >> train.py", project)
    assert "retrain: train.py changed" in must("mlopsctl plan", project), "the reason compares with the old name"
    assert "0 findings" in must("mlopsctl audit verify", project)


def test_what_left_the_manifest_is_forgotten_once(project: Path) -> None:
    must("sed -i '/^gates:/,/^targets:/{/^targets:/!d}' mlops.yaml && git commit -qam 'No bar'", project)
    found = follows("plan", must("mlopsctl plan --format json 2>/dev/null", project))
    forgotten = [step["address"] for step in found["steps"] if step["action"] == "forget"]
    assert forgotten == ["gates.accuracy"] and found["summary"]["forget"] == 1
    assert shell("mlopsctl plan --detailed-exitcode", project).returncode == 2
    assert "forget" not in must("mlopsctl plan --target 'train.*'", project)
    must("mlopsctl apply -y", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
    must("git revert --no-edit HEAD", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project), "the measurement is found again"


def test_a_branch_that_never_had_it_forgets_nothing(project: Path) -> None:
    must("git branch before && sed -i 's/^  cpu: {}/  cpu: {}\\n  all: {view: all}/' mlops.yaml", project)
    must("git commit -qam 'Another target' && mlopsctl apply -y && git checkout -q before", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
