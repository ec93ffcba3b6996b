"""A dataset with ``final: true`` judges one model a release; a deployment of that model begins the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_looks import FIT, ROWS, gate, write
from tests.quickstart import make_quickstart, must, shell, take_down

MANIFEST = """\
data:
  rows: {path: rows.csv, label: label, split: {test: 0.3, key: id}, final: true}
train:
  cut: {run: python fit.py, predict: "python answer.py {model}"}
gates:
  accuracy: {metric: accuracy, min: 0.5}
targets:
  packed: {use: program}
deployments:
  local: {target: packed}
"""
TWO = """\
data:
  rows: {path: rows.csv, label: label, split: {test: 0.3, key: id}, final: true}
train:
  first: {run: python fit.py 1.5, predict: "python answer.py {model}"}
  second: {run: python fit.py 1.4, predict: "python answer.py {model}"}
gates:
  one: {metric: accuracy, min: 0.5, model: first}
  two: {metric: accuracy, min: 0.5, model: second}
"""
ANSWER = """\
import json, pathlib, sys
cut = float(pathlib.Path(__file__).with_name("cut.txt").read_text())
for line in sys.stdin:
    print(int(json.loads(line)["a"] > cut), flush=True)
"""


OTHERS = "id,a,label\n" + "".join(f"{n},{n / 100 - 9.997},{int(n > 1150)}\n" for n in range(1000, 1300))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = make_quickstart(tmp_path / "cut")
    yield folder
    take_down(folder)


def head(folder: Path) -> str:
    return (folder / "mlops.yaml").read_text().split("data:\n")[0]


def measured(folder: Path) -> list[str]:
    found = json.loads(must("mlopsctl audit log --format json", folder))["entries"]
    gates = [one["address"] for one in found if one["address"].startswith("gates.") and one["kind"] == "result"]
    return sorted(one for one in gates if not one.startswith("gates.scan"))


def barred(done: Any) -> bool:
    said = " ".join(done.stdout.split())
    return "data.rows, which is final and has judged a model since the last release" in said


def test_a_second_model_waits_for_the_release_of_the_first(folder: Path) -> None:
    top = head(folder)
    alone = MANIFEST.split("targets:")[0]
    write(folder, rows_csv=ROWS, fit_py=FIT, answer_py=ANSWER, mlops_yaml=top + alone)
    must("mlopsctl apply -y", folder)
    assert measured(folder) == ["gates.accuracy"]
    # Another bar measures nothing again, and another gate on the same model is no other look.
    more = alone.replace("min: 0.5", "min: 0.6") + "  balanced: {metric: balanced_accuracy, min: 0.5}\n"
    write(folder, mlops_yaml=top + more)
    must("mlopsctl apply -y", folder)
    assert measured(folder) == ["gates.accuracy", "gates.balanced"]

    write(folder, fit_py=FIT.replace("'1.5'", "'1.4'"))
    (why,) = gate(folder, "plan")["blocked_by"]
    assert why.startswith("data.rows, which is final") and "by gates.accuracy at 20" in why
    done = shell("mlopsctl apply -y", folder)
    assert done.returncode == 4 and barred(done)
    assert measured(folder) == ["gates.accuracy", "gates.balanced"], "trained it is, and not measured"
    assert shell("mlopsctl apply -y", folder).returncode == 4, "nor the next time"

    for trial in ("--quick", "--set train.cut.seed=7"):
        done = shell(f"mlopsctl apply -y {trial}", folder)
        assert done.returncode == 4 and "MLO1325" in done.stdout, done.stdout
    assert shell("mlopsctl plan --quick", folder).returncode == 4
    done = shell("mlopsctl apply -y --set data.rows.final=false", folder)
    assert done.returncode == 64 and "MLO6420" in done.stdout
    done = shell("mlopsctl gate run accuracy", folder)
    assert done.returncode == 4 and "MLO1325" in done.stdout
    must("mlopsctl apply -y --quick --exclude 'gates.*'", folder)

    # The first model is released: the next one may be measured, and the one after that waits again.
    write(folder, fit_py=FIT, mlops_yaml=top + MANIFEST)
    must("mlopsctl apply -y", folder)
    write(folder, fit_py=FIT.replace("'1.5'", "'1.4'"))
    assert gate(folder, "plan")["blocked_by"] == []
    must("mlopsctl apply -y --exclude deployments.local", folder)
    write(folder, fit_py=FIT.replace("'1.5'", "'1.3'"))
    assert barred(shell("mlopsctl apply -y", folder))
    # Other rows judged nobody yet: whoever numbers them anew draws most of the test rows anew.
    write(folder, rows_csv=ROWS.replace("\n", "\n9", 300).replace("\n9\n", "\n").removesuffix("9"))
    must("mlopsctl apply -y", folder)


def test_one_row_more_or_another_name_is_no_new_test_set(folder: Path) -> None:
    top, alone = head(folder), MANIFEST.split("targets:")[0]
    write(folder, rows_csv=ROWS, fit_py=FIT, answer_py=ANSWER, mlops_yaml=top + alone)
    must("mlopsctl apply -y", folder)
    # Twenty rows more: some of them are test rows.
    more = ROWS + "".join(f"{n},{n / 100 + 0.003},{int(n > 150)}\n" for n in range(300, 320))
    write(folder, fit_py=FIT.replace("'1.5'", "'1.4'"), rows_csv=more)
    assert barred(shell("mlopsctl apply -y", folder))
    # The same file as another dataset, without the word.
    twin = "  twin: {path: rows.csv, label: label, split: {test: 0.3, key: id}}\ntrain:"
    other = alone.replace("train:", twin, 1).replace("fit.py,", "fit.py, data: rows,")
    write(folder, mlops_yaml=top + other.replace("min: 0.5", "min: 0.5, data: twin"))
    said = " ".join(shell("mlopsctl apply -y", folder).stdout.split())
    assert "data.twin, which is final and has judged a model since the last release" in said, said
    # Under another name of the file, too, where that is final as well.
    copy = twin.replace("twin: {path: rows.csv", "twin: {path: copy.csv, final: true")
    other = alone.replace("train:", copy, 1).replace("fit.py,", "fit.py, data: rows,")
    write(folder, copy_csv=more, mlops_yaml=top + other.replace("min: 0.5", "min: 0.5, data: twin"))
    assert "data.twin, which is final and has judged" in " ".join(shell("mlopsctl apply -y", folder).stdout.split())
    write(folder, copy_csv=OTHERS)
    must("mlopsctl apply -y", folder)


def test_a_deployment_without_a_gate_on_the_rows_ends_no_release(folder: Path) -> None:
    scan = MANIFEST.replace("gates:\n", "gates:\n  files: {use: scan}\n").replace("packed}", "packed, gates: [files]}")
    write(folder, rows_csv=ROWS, fit_py=FIT, answer_py=ANSWER, mlops_yaml=head(folder) + scan)
    must("mlopsctl apply -y", folder)
    write(folder, fit_py=FIT.replace("'1.5'", "'1.4'"))
    assert barred(shell("mlopsctl apply -y", folder))


def test_of_two_models_at_once_one_is_measured(folder: Path) -> None:
    write(folder, rows_csv=ROWS, fit_py=FIT, answer_py=ANSWER, mlops_yaml=head(folder) + TWO)
    done = shell("mlopsctl apply -y --jobs 4 --keep-going", folder)
    assert done.returncode == 4 and barred(done)
    assert len(measured(folder)) == 1
