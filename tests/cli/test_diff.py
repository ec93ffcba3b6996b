"""``diff``: what a reviewer has to see, between revisions, the working tree, and in a bare clone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.contract import follows
from tests.quickstart import must, shell


def document(folder: Path, words: str = "") -> list[dict[str, Any]]:
    found = follows("diff", must(f"mlopsctl diff {words} --format json 2>/dev/null", folder))
    return list(found["differences"])


def addresses(folder: Path, words: str = "") -> dict[str, str]:
    return {one["address"]: one["kind"] for one in document(folder, words)}


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
    assert lines[0] == "### main to feature: 2 resources differ" and "|  | resource | what |" in lines
    assert "| `gates.accuracy` | `min` | `0.9` | `0.93` |" in lines


def test_a_protected_deployment_is_compared_in_a_bare_clone_too(branched: Path, tmp_path: Path) -> None:
    """Its rules ask for the state of a working tree, and there is none."""
    manifest = branched / "mlops.yaml"
    manifest.write_text(manifest.read_text() + "deployments:\n  live: {target: cpu, approvals: {count: 2}}\n")
    must("git commit -qam 'Protect it'", branched)
    must("sed -i 's/count: 2/count: 1/' mlops.yaml && git commit -qam 'Loosen it'", branched)
    must(f"git clone -q --mirror digits {tmp_path}/mirror.git", tmp_path)
    said = must("mlopsctl diff HEAD~1..HEAD", tmp_path / "mirror.git")
    assert said == must("mlopsctl diff HEAD~1..HEAD", branched) and "weakens deployments.live approvals" in said
    assert json.loads(must("mlopsctl diff HEAD~2..HEAD --format json", tmp_path / "mirror.git"))["differences"]


def test_an_added_and_a_removed_resource(project: Path) -> None:
    must("sed -i 's/  cpu: {}/  two: {}/' mlops.yaml", project)
    assert addresses(project) == {"targets.two": "added", "targets.cpu": "removed"}


@pytest.mark.parametrize(("words", "code"), [("no-such-branch", 1), ("main..none", 1), ("--format xml", 64)])
def test_what_it_refuses(project: Path, words: str, code: int) -> None:
    done = shell(f"mlopsctl diff {words}", project)
    assert done.returncode == code and "Traceback" not in done.stdout, done.stdout


def test_two_histories_without_a_fork_are_compared_as_they_are(project: Path) -> None:
    must("git checkout -q --orphan other && git commit -qm other", project)
    done = shell("mlopsctl diff main...other", project)
    assert done.returncode == 1 and "mlopsctl diff main..other" in done.stdout


def test_gate_figures_stand_side_by_side_with_their_bars_and_say_whether_intervals_overlap(branched: Path) -> None:
    found = document(branched, "main..feature")
    gate = next(one for one in found if one["address"] == "gates.accuracy")
    (side,) = gate["measured"]
    assert (side["metric"], side["view"], side["overlap"]) == ("accuracy", "test", True)
    assert (side["old"]["bar"], side["new"]["bar"]) == (">= 0.9", ">= 0.93")
    assert side["old"]["ci"][0] < side["old"]["value"] < side["old"]["ci"][1] and side["new"]["n"] > 300
    said = must("mlopsctl diff main..feature", branched)
    assert "accuracy on test:" in said and "the intervals overlap: neither is shown to be better" in said


def test_rows_columns_and_size_of_a_table(project: Path) -> None:
    table = project / "data" / "digits.csv"
    lines = table.read_text().splitlines()
    table.write_text(
        "\n".join([lines[0] + ",more", *(f"{line},1" for line in [*lines[3:], lines[1], lines[1]])]) + "\n"
    )
    (data,) = [one["data"] for one in document(project) if one["address"] == "data.digits"]
    assert (data["rows_added"], data["rows_removed"], data["rows_changed"]) == (1, 1, None)
    assert data["columns_added"] == ["more"] and data["columns_removed"] == [] and data["size"][1] > data["size"][0]
    said = must("mlopsctl diff", project)
    assert "rows: +1 -1" in said and "columns added: more" in said
    table.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert "rows: the same ones, written otherwise" in must("mlopsctl diff", project)


def test_rows_of_a_parquet_file_by_their_key(project: Path) -> None:
    """In the tree or another commit, read by pyarrow, which no other diff loads."""
    manifest = project / "mlops.yaml"
    block = "  more: {path: more.parquet, label: y, split: {test: 0.5, key: id}}\n"
    text = manifest.read_text().replace("\ndata:\n", f"\ndata:\n{block}")
    manifest.write_text(text.replace("run: python train.py", "run: python train.py, data: digits"))
    ids = list(range(40))
    pq.write_table(pa.table({"id": ids, "y": [n % 2 for n in ids], "old": ids}), project / "more.parquet")
    must("git add -A && git commit -qm 'A Parquet file'", project)
    changed = {"id": [*ids[2:], 90], "y": [1, *(n % 2 for n in ids[3:]), 0], "new": [*ids[2:], 90]}
    pq.write_table(pa.table(changed), project / "more.parquet")
    (data,) = [one["data"] for one in document(project) if one["address"] == "data.more"]
    assert (data["rows_added"], data["rows_removed"], data["rows_changed"]) == (1, 2, 1)
    assert (data["columns_added"], data["columns_removed"]) == (["new"], ["old"])


def test_lines_of_code_and_single_parameters(project: Path) -> None:
    must("sed -i 's/{run: python train.py}/{run: python train.py, params: {lr: 0.1, depth: 3}}/' mlops.yaml", project)
    must("git commit -qam Params && sed -i 's/lr: 0.1/lr: 0.2/' mlops.yaml", project)
    must("sed -i '$d' train.py && printf 'import helper\\n\\n' >> train.py && echo 'A = 1' > helper.py", project)
    (found,) = document(project)
    assert [(change["field"], change["new"]) for change in found["changes"]] == [("params.lr", {"float": "0.2"})]
    files = {file["field"]: (file["lines_added"], file["lines_removed"]) for file in found["files"]}
    assert files == {"helper.py": (1, 0), "train.py": (2, 1)}
    assert "params.lr: 0.1 -> 0.2" in must("mlopsctl diff", project)


def test_a_clone_without_the_trail_fetches_it_before_it_shows_figures(branched: Path, tmp_path: Path) -> None:
    must(f"git init -q --bare {tmp_path}/origin.git && git remote add origin {tmp_path}/origin.git", branched)
    must("git push -q origin main feature && mlopsctl push", branched)
    must(f"git clone -q {tmp_path}/origin.git clone", tmp_path)
    clone = tmp_path / "clone"
    assert all(not one["measured"] for one in document(clone, "origin/main..origin/feature --offline"))
    assert any(one["measured"] for one in document(clone, "origin/main..origin/feature"))
    must(f"rm -rf clone && git clone -q {tmp_path}/origin.git clone && mv origin.git gone", tmp_path)
    done = shell("mlopsctl diff origin/main..origin/feature", clone)
    assert done.returncode == 1 and "pull --trail-only" in done.stdout


def test_one_git_process_reads_all_files_of_a_commit(project: Path, tmp_path: Path) -> None:
    must("for n in 1 2 3 4 5; do echo 'A = 1' > part$n.py; echo \"import part$n\" >> train.py; done", project)
    must("git add -A && git commit -qm Parts", project)
    must(f"GIT_TRACE={tmp_path}/trace mlopsctl diff HEAD..HEAD", project)
    assert (tmp_path / "trace").read_text().count("built-in: git cat-file --batch") == 2


def test_a_pull_request_gets_short_tables_and_folded_details(branched: Path) -> None:
    page = must("mlopsctl diff main..feature --format markdown", branched)
    head, _, rest = page.partition("<details>")
    assert "**Measured**" in head and "| `gates.accuracy` | accuracy on test |" in head
    assert page.count("<details>") == page.count("</details>") >= 1 and "python train.py --seed 3" in rest


def test_a_renamed_resource_is_no_removed_and_added_one(project: Path) -> None:
    must(
        "sed -i 's/^  cpu: {}/  small: {}/' mlops.yaml && echo 'moved: [{from: targets.cpu, to: targets.small}]' >> mlops.yaml",
        project,
    )
    (found,) = document(project)
    assert (found["address"], found["kind"], found["previously"]) == ("targets.small", "renamed", "targets.cpu")
    assert "> targets.small  renamed, before targets.cpu" in must("mlopsctl diff", project)


def test_loosened_controls_come_first_and_are_warnings(project: Path) -> None:
    must("printf '\\ndeployments:\\n  local: {target: cpu}\\n' >> mlops.yaml && git commit -qam Deploy", project)
    must("sed -i 's/min: 0.93/min: 0.9/; s/cpu: {}/cpu: {timeout: 50s}/' mlops.yaml", project)
    found = document(project)
    assert (found[0]["address"], found[0]["kind"]) == ("deployments.local", "changed")
    assert any("gates.accuracy" in line for line in found[0]["weakens"])
    assert "weakens" in must("mlopsctl diff", project)
    assert "::warning title=MLO3035 deployments.local::" in must("mlopsctl diff --format github", project)


def test_an_artifact_is_compared_by_its_size_and_by_what_it_reaches(project: Path) -> None:
    """While the new side was not made, that is said instead of figures of one side."""
    must("sed -i 's/DECAY = 64/DECAY = 8/' train.py", project)
    said = must("mlopsctl diff", project)
    assert "the trail has no result of the new side yet" in said and "(none)" not in said
    must("sed -i 's/min: 0.93/min: 0.5/' mlops.yaml && git commit -qam 'A small one'", project)
    must("mlopsctl apply -y", project)
    said = must("mlopsctl diff HEAD~1", project)
    artifact = said[said.index("~ targets.cpu") :]
    assert re.search(r"size: 2\d,\d{3} -> \d,\d{3} bytes", artifact), artifact
    assert re.search(r"accuracy on test:\n +before  0\.\d+ +\[.+\n +after   0\.\d+ +\[", artifact), artifact
    page = must("mlopsctl diff HEAD~1 --format markdown", project)
    assert "| `targets.cpu` | accuracy on test |" in page
