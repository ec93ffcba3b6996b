"""``diff``: what a reviewer has to see, between revisions, the working tree, and in a bare clone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.quickstart import must, shell


def addresses(folder: Path, words: str = "") -> dict[str, str]:
    found = json.loads(must(f"mlopsctl diff {words} --format json 2>/dev/null", folder))
    return {one["address"]: one["kind"] for one in found["differences"]}


def test_the_working_tree_against_the_last_commit(project: Path) -> None:
    assert "No differences" in must("mlopsctl diff", project)
    must("echo '# another line' >> train.py", project)
    said = must("mlopsctl diff", project)
    assert "~ train.classifier  changed" in said and "train.py  changed" in said
    assert addresses(project) == {"train.classifier": "changed"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("min: 0.93", "min: 0.9", "min: 0.93 -> 0.9"),
        ("min: 0.93", "min: 0.93, inconclusive: warn", "inconclusive: block -> warn"),
        ("cpu: {}", "cpu: {min_agreement: 0.5}", "min_agreement: 1.0 -> 0.5"),
        ("{run: python train.py}", "{run: python train.py, resources: {cpu: 1}}", "resources: (none) -> cpu 1"),
        ("label: digit", "label: digit, split: {test: 0.3}", "split: (none) -> test 0.3"),
    ],
)
def test_bars_limits_and_splits_are_differences(project: Path, old: str, new: str, said: str) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace(old, new, 1))
    assert said in must("mlopsctl diff", project)


@pytest.fixture
def branched(project: Path) -> Path:
    """``main`` lowered its bar after ``feature`` had gone off to train otherwise; feature's figures are in the trail."""
    must("git checkout -q -b feature && sed -i 's/python train.py/python train.py --seed 3/' mlops.yaml", project)
    must("git commit -qam Seed && mlopsctl apply -y", project)
    must("git checkout -q main && sed -i 's/min: 0.93/min: 0.9/' mlops.yaml && git commit -qam Bar", project)
    return project


def test_two_dots_compare_the_ends_and_three_begin_at_the_fork(branched: Path) -> None:
    assert "gates.accuracy" in addresses(branched, "main..feature")
    assert "min: 0.9 -> 0.93" in must("mlopsctl diff main..feature", branched)
    said = must("mlopsctl diff main...feature", branched)
    assert "min:" not in said
    assert "train.py -> python train.py --seed 3" in said


def test_a_bare_clone_and_a_table_for_a_pull_request(branched: Path, tmp_path: Path) -> None:
    must(f"git clone -q --mirror digits {tmp_path}/mirror.git", tmp_path)
    assert addresses(tmp_path / "mirror.git", "main..feature") == addresses(branched, "main..feature")
    lines = must("mlopsctl diff main..feature --format markdown", tmp_path / "mirror.git").splitlines()
    assert lines[0].startswith("### main to feature: ") and "| resource | | what | old | new |" in lines
    assert any(line.startswith("| `gates.accuracy` | changed | min | 0.9 | 0.93 |") for line in lines)


def test_an_added_and_a_removed_resource(project: Path) -> None:
    must("sed -i 's/  cpu: {}/  two: {}/' mlops.yaml", project)
    assert addresses(project) == {"targets.two": "added", "targets.cpu": "removed"}


@pytest.mark.parametrize(("words", "code"), [("no-such-branch", 1), ("main..none", 1), ("--format xml", 64)])
def test_what_it_refuses(project: Path, words: str, code: int) -> None:
    done = shell(f"mlopsctl diff {words}", project)
    assert done.returncode == code and "Traceback" not in done.stdout, done.stdout
