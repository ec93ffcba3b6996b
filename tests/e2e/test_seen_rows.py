"""Rows that a model was made with judge it under no name: not as a copy, not as another split, not as rows to choose by."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.quickstart import make_quickstart, must, shell

MANIFEST = """\
data:
  rows: {path: rows.csv, label: label, split: {test: 0.3, val: 0.2, key: id}}
  other: {path: other.csv, label: label, split: {test: all}}
train:
  cut: {run: python fit.py, data: rows, predict: "python answer.py {model}"}
gates:
  good: {metric: accuracy, min: 0.5, data: other}
"""
FIT = "import os, pathlib\npathlib.Path(os.environ['MLOPS_OUT'], 'cut.txt').write_text('1.5')\n"
ANSWER = """\
import json, pathlib, sys
cut = float((pathlib.Path(sys.argv[1]) / "cut.txt").read_text())
for line in sys.stdin:
    print(int(json.loads(line)["a"] > cut), flush=True)
"""
BODY = [f"{n},{n / 100},{int(n > 150)}" for n in range(400)]
JUDGE = """#!/bin/sh
echo '{"facts": {"value": 0.9, "ci": [0.8, 0.95], "n": 400}}'
"""


def table(rows: list[str]) -> str:
    return "id,a,label\n" + "".join(f"{row}\n" for row in rows)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = make_quickstart(tmp_path / "cut")
    head = (folder / "mlops.yaml").read_text().split("data:\n")[0]
    write(folder, rows_csv=table(BODY), fit_py=FIT, answer_py=ANSWER, mlops_yaml=head + MANIFEST)
    return folder


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    must("git add -A && git commit -qm Next", folder)


def step(folder: Path, address: str) -> dict[str, Any]:
    steps = json.loads(must("mlopsctl plan --format json", folder))["steps"]
    return dict(next(one for one in steps if one["address"] == address))


def test_rows_of_a_copy_do_not_count(project: Path) -> None:
    new = [f"{n},{n / 100},{int(n > 150)}" for n in range(1000, 1060)]
    # Whoever numbers the rows of a copy anew has no new rows.
    again = [f"{5000 + place}{row[row.index(',') :]}" for place, row in enumerate(BODY)]
    write(project, other_csv=table([*again, *new]))
    must("mlopsctl apply -y", project)
    said = step(project, "gates.good")["verdict"]["text"]
    found = re.search(r"on (\d+) rows, without (\d+) that it was made with", said)
    assert found and int(found[1]) + int(found[2]) == 460, said
    data = json.loads(must("mlopsctl status data.rows --format json", project))["resources"][0]
    rows = json.loads(must(f"mlopsctl audit show {data['attested_by']} --format json", project))
    sides = json.dumps(rows)
    held = {side: int(re.search(rf'"{side}": (\d+)', sides)[1]) for side in ("train", "val")}  # type: ignore[index]
    assert int(found[2]) == held["train"] + held["val"], "neither what it learnt from nor what it was chosen by"
    assert "No changes" in must("mlopsctl plan", project)


def test_a_copy_alone_judges_nothing(project: Path) -> None:
    write(project, other_csv=table(BODY[:1]))
    must("mlopsctl apply -y --target data.rows --target train.cut", project)
    view = next(path for path in _files(project) if path.read_text().startswith("id,a,label\n") and _is_train(path))
    write(project, other_csv=view.read_text())
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 4 and "the model was made with every row of the view" in done.stdout


def _files(project: Path) -> list[Path]:
    return [path for path in (project / ".git/mlops/store/sha256").rglob("*") if path.is_file()]


def _is_train(path: Path) -> bool:
    """The largest of the three sides."""
    return 150 < len(path.read_text().splitlines()) < 400


def test_a_program_is_given_no_copy(project: Path) -> None:
    pinned = "sha256:" + sha256(JUDGE.encode()).hexdigest()
    gate = f'good: {{use: command, program: judge.sh, digest: "{pinned}", metric: m, min: 0.5, data: other}}'
    text = (project / "mlops.yaml").read_text().replace("good: {metric: accuracy, min: 0.5, data: other}", gate)
    write(project, other_csv=table(BODY), mlops_yaml=text, judge_sh=JUDGE)
    done = shell("mlopsctl apply -y", project)
    assert done.returncode == 4 and re.search(
        r"the model was made with \d+ of the 400 rows of data\.other", done.stdout
    )
    write(project, other_csv=table([f"{n},{n / 100},1" for n in range(1000, 1060)]))
    must("mlopsctl apply -y", project)


def test_what_a_model_is_chosen_by_judges_it_only_where_it_is_kept_from_it(project: Path) -> None:
    text = (project / "mlops.yaml").read_text().replace("min: 0.5, data: other", "min: 0.5, data: rows, view: val")
    write(project, other_csv=table(BODY[:1]), mlops_yaml=text)
    must("mlopsctl apply -y --exclude gates.good", project)
    blocked = step(project, "gates.good")["blocked_by"]
    assert blocked and "train.cut, which is given these rows to choose by" in blocked[0]
    assert shell("mlopsctl apply -y", project).returncode == 4
    assert "passed" in must("mlopsctl gate run good --view val", project), "to look at them is what they are for"
    write(project, mlops_yaml=text.replace("data: rows, predict", "data: rows, validation: [], predict"))
    must("mlopsctl apply -y", project)
    assert step(project, "gates.good")["verdict"]["status"] == "passed"
