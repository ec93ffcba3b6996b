"""How many models were measured on the same rows is counted, in plan, status and gate run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.contract import follows
from tests.quickstart import make_quickstart, must

MANIFEST = """\
data:
  rows: {path: rows.csv, label: label, split: {test: 0.3, key: id}}
train:
  cut: {run: python fit.py, predict: "python answer.py {model}"}
gates:
  accuracy: {metric: accuracy, min: 0.5}
"""
FIT = """\
import os, pathlib, sys
cut = sys.argv[1] if len(sys.argv) > 1 else '1.5'
pathlib.Path(os.environ['MLOPS_OUT'], 'cut.txt').write_text(cut)
"""
ANSWER = """\
import json, pathlib, sys
cut = float((pathlib.Path(sys.argv[1]) / "cut.txt").read_text())
for line in sys.stdin:
    print(int(json.loads(line)["a"] > cut), flush=True)
"""
ROWS = "id,a,label\n" + "".join(f"{n},{n / 100},{int(n > 150)}\n" for n in range(300))


def gate(folder: Path, verb: str, name: str = "gates.accuracy") -> dict[str, Any]:
    found = follows(verb, must(f"mlopsctl {verb} --format json", folder))
    return next(row for row in found["steps" if verb == "plan" else "resources"] if row["address"] == name)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    must("git add -A && git commit -qm Next", folder)


def test_models_are_counted_by_the_rows_that_judge_them(tmp_path: Path) -> None:
    folder = make_quickstart(tmp_path / "cut")
    head = (folder / "mlops.yaml").read_text().split("data:\n")[0]
    write(folder, rows_csv=ROWS, fit_py=FIT, answer_py=ANSWER, mlops_yaml=head + MANIFEST)
    must("mlopsctl apply -y", folder)
    assert gate(folder, "status")["nth_model"] == 1

    write(folder, fit_py=FIT.replace("1.5", "1.4"))
    assert gate(folder, "plan")["nth_model"] == 2, "the model that is still to be made"
    assert "the second model measured on these rows" in must("mlopsctl plan", folder)
    must("mlopsctl apply -y", folder)
    assert gate(folder, "status")["nth_model"] == 2
    assert "the second model measured on these rows" in must("mlopsctl status", folder)
    assert follows("gate", must("mlopsctl gate run accuracy --format json 2>/dev/null", folder))["nth_model"] == 2

    write(folder, mlops_yaml=head + MANIFEST + "  balanced: {metric: balanced_accuracy, min: 0.5}\n")
    must("mlopsctl apply -y", folder)
    assert gate(folder, "status", "gates.balanced")["nth_model"] == 2, "two gates are one look at a model"

    for _ in range(2):
        must("mlopsctl apply -y --set train.cut.seed=7", folder)
    assert gate(folder, "status")["nth_model"] == 2, "a trial that makes the same model is no other look"
    must("mlopsctl apply -y --set 'train.cut.run=python fit.py 1.3'", folder)
    write(folder, fit_py=FIT.replace("'1.5'", "'1.2'"))
    assert gate(folder, "plan")["nth_model"] == 4, "one that makes another is"

    write(folder, fit_py=FIT)
    assert gate(folder, "status")["nth_model"] == 1, "an old model keeps its place"
    # A label of a row of every view is corrected: the rows, by their keys, are the same.
    write(folder, rows_csv=ROWS.replace(",0\n", ",1\n", 20))
    must("mlopsctl apply -y --target data.rows", folder)
    assert gate(folder, "plan")["nth_model"] == 4
    write(folder, rows_csv=ROWS.replace("\n", "\n9", 300).replace("\n9\n", "\n").removesuffix("9"))
    must("mlopsctl apply -y --target data.rows", folder)
    assert gate(folder, "plan")["nth_model"] == 1, "other rows judged nobody yet"
