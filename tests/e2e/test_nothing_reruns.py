"""What must never be a reason to run anything again (docs/planning-behaviors.md)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.quickstart import must, shell


def pending(folder: Path) -> list[str]:
    """Addresses that plan would work on."""
    plan = json.loads(must("mlopsctl plan --format json", folder))
    return [step["address"] for step in plan["steps"] if step["action"] != "noop"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_second_plan_and_apply_do_nothing(project: Path) -> None:
    assert pending(project) == []
    entries = must("mlopsctl audit log --format json", project)
    assert "0 applied" in must("mlopsctl apply -y", project)
    assert must("mlopsctl audit log --format json", project) == entries
    assert shell("mlopsctl plan --detailed-exitcode", project).returncode == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data:\n", "# about data\ndata:   # a comment\n"),
        ("{metric: accuracy, min: 0.93}", "{min: 0.93, metric: accuracy}"),
        ("{metric: accuracy, min: 0.93}", "\n    metric: 'accuracy'\n    min: 0.930"),
        ("{metric: accuracy, min: 0.93}", "{metric: accuracy, min: 0.90, inconclusive: warn}"),
        ("{run: python train.py}", "{run: python train.py, timeout: 10m, retries: 3}"),
        ("{run: python train.py}", "{run: 'python train.py', seed: 0, use: local}"),
        ("data:\n", "x-notes: {anything: goes}\ndata:\n"),
    ],
    ids=["comments", "key-order", "formatting", "bars", "run-fields", "defaults", "x-keys"],
)
def test_an_edit_of_the_manifest_that_means_nothing_new(project: Path, old: str, new: str) -> None:
    edit(project / "mlops.yaml", old, new)
    assert pending(project) == []


def test_a_new_resource_leaves_the_others_alone(project: Path) -> None:
    edit(project / "mlops.yaml", "gates:\n", "gates:\n  calibrated: {metric: ece, max: 0.2}\n")
    assert pending(project) == ["gates.calibrated"]


def test_a_renamed_resource(project: Path) -> None:
    edit(project / "mlops.yaml", "  classifier: {run", "  recogniser: {run")
    assert pending(project) == []


def test_touched_and_rewritten_files(project: Path) -> None:
    for name in ("train.py", "data/digits.csv", "mlops.yaml"):
        os.utime(project / name, (1, 1))
    (project / "train.py").write_bytes((project / "train.py").read_bytes())
    assert pending(project) == []


def test_unrelated_files(project: Path) -> None:
    (project / "notes.txt").write_text("nothing to do with training")
    must("git add notes.txt && git commit -qm notes", project)
    assert pending(project) == []


def test_a_moved_folder(project: Path) -> None:
    moved = project.rename(project.with_name("elsewhere"))
    assert pending(moved) == []


def test_amend_rebase_squash_and_gc(project: Path) -> None:
    must('git commit -q --amend -m "Other words"', project)
    must("git commit -q --allow-empty -m more && git rebase -q --root", project)
    must("git reset -q --soft $(git rev-list --max-parents=0 HEAD) && git commit -q --amend -m one", project)
    must("git reflog expire --expire=now --all && git gc -q --prune=now", project)
    assert pending(project) == []
    assert "ok" in must("mlopsctl audit verify", project)


def test_branches_that_trained_different_models_merge_without_training_again(project: Path) -> None:
    must("git checkout -q -b other", project)
    edit(project / "mlops.yaml", "{run: python train.py}", "{run: python train.py, seed: 1}")
    must("git commit -qam 'Another seed' && mlopsctl apply -y", project)
    must("git checkout -q main && git commit -q --allow-empty -m aside", project)
    assert pending(project) == []
    must("git merge -q -m merged other", project)
    assert pending(project) == []


def test_another_machine_and_another_home(project: Path) -> None:
    assert (
        shell(
            "HOME=/tmp XDG_CONFIG_HOME=/tmp/none HOSTNAME=other mlopsctl plan --detailed-exitcode", project
        ).returncode
        == 0
    )


def test_a_lost_cache_costs_time_only(project: Path) -> None:
    must("rm -rf .git/mlops/index.db .git/mlops/stat.json .git/mlops/logs .git/mlops/work", project)
    assert pending(project) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "reached"),
    [
        (
            "train.py",
            "import",
            "# a changed line\nimport",
            ["train.classifier", "gates.scan", "gates.accuracy", "targets.cpu"],
        ),
        ("mlops.yaml", "metric: accuracy, min: 0.93", "metric: f1, min: 0.5", ["gates.accuracy"]),
        ("mlops.yaml", "cpu: {}", "cpu: {}\n  second: {}", []),
        ("data/digits.csv", "", "", []),
    ],
)
def test_a_real_change_reaches_exactly_what_it_touches(
    project: Path, path: str, old: str, new: str, reached: list[str]
) -> None:
    text = (project / path).read_text()
    (project / path).write_text(text.replace(old, new, 1))
    assert sorted(pending(project)) == sorted(reached)


def test_another_row_of_data_is_a_change_of_data(project: Path) -> None:
    data = project / "data" / "digits.csv"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines, lines[1]]) + "\n")
    assert "data.digits" in pending(project)
