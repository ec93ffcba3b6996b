"""Bare scripts and MLproject files -> entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adopt.flow import flow_of
from mlopsctl.adopt.label import guess_label

from .repositories import addresses, proposed, spec

TRAIN = """\
import argparse
import pandas as pd
import joblib
from lib import tools

DATA = "data/rows.csv"

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", "-a", type=float, default=0.5)
    parser.add_argument("--n-trees", type=int, default=10)
    parser.add_argument("--who", required=True)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--maybe")
    args = parser.parse_args()
    rows = pd.read_csv(DATA)
    joblib.dump(rows, "out/model.joblib")

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(
    ("source", "reads", "writes"),
    [
        ("import pandas as pd\npd.read_csv('a.csv').to_csv('b.csv')", ["a.csv"], ["b.csv"]),
        ("open('a.txt').read()\nopen('b.txt', 'w')\nopen('c', mode='ab')", ["a.txt"], ["b.txt", "c"]),
        ("from pathlib import Path\nP = Path('d') / 'x'\nP.read_bytes()\n(P / 'y').write_text('')", ["d/x"], ["d/x/y"]),
        ("import os\nopen(os.path.join('d', 'x.csv'))", ["d/x.csv"], []),
        ("import onnx\nonnx.save(m, 'm.onnx')\nimport torch\ntorch.save(m, 'm.pt')\ntorch.onnx.export(m, a, 'n.onnx')", [],
         ["m.onnx", "m.pt", "n.onnx"]),
        ("from onnx import save_model as s\ns(m, 'm.onnx')\nmodel.save_model('n.ubj')", [], ["m.onnx", "n.ubj"]),
        ("from joblib import dump\ndump(m, 'm.joblib')", [], ["m.joblib"]),
        ("import pickle\npickle.dump(m, open('m.pkl', 'wb'))\njson.dump(x, open('x.json', 'w'))", [], ["m.pkl", "x.json"]),
        ("import numpy as np\nnp.savetxt('w.csv', np.loadtxt('v.csv'))\nnp.save('u.npy', x)", ["v.csv"], ["w.csv", "u.npy"]),
        ("from pathlib import Path\nwith Path('z.bin').open('wb') as f: f.write(b'')", [], ["z.bin"]),
        ("NAME = 'a.csv'\nNAME = 'b.csv'\nopen(NAME)", [], []),
        ("open(f'{x}.csv', 'w')\nopen(x)", [], []),
        ("open('both.csv').read(); open('both.csv', 'w')", [], ["both.csv"]),
    ],
)  # fmt: skip
def test_files_are_found_by_the_calls_that_open_them(source: str, reads: list[str], writes: list[str]) -> None:
    flow = flow_of(source)
    assert flow is not None and (sorted(flow.reads), sorted(flow.writes)) == (sorted(reads), sorted(writes))


def test_what_is_no_python_has_no_flow() -> None:
    assert flow_of("print 'old'") is None and flow_of("(" * 10_000) is None


def test_a_script_is_proposed_with_its_options_and_says_what_was_guessed(tmp_path: Path) -> None:
    files = {
        "train.py": TRAIN,
        "lib/tools.py": "open('x', 'w')\n",
        "data/rows.csv": "a\n1\n",
        "setup.py": "open('y','w')\n",
    }
    found, manifest = proposed(tmp_path, {**files, "test_train.py": "open('z', 'w')\n"})
    assert addresses(manifest) == ["data.rows", "train.train"]
    train = spec(manifest, "train.train")
    assert train.run[1] == "python train.py --alpha {params.alpha} --n-trees {params.n_trees} --who {params.who}"
    assert train.params == {"alpha": 0.5, "n_trees": 10, "who": "FILL-IN"} and train.data == "rows"
    assert train.run[2:] == ("mkdir -p {out}/out", "cp -R out/model.joblib {out}/out/") and train.produces == "files"
    why = " ".join(found.proposal.entries[-1].why)
    assert "Guessed" in why and "data/rows.csv" in why and "FILL-IN" in why


def test_scripts_that_read_each_others_files_follow_each_other(tmp_path: Path) -> None:
    files = {
        "b.py": "open('two.txt', 'w').write(open('one.txt').read())\n",
        "a.py": "open('one.txt', 'w').write('x')\n",
        "c.py": "open('four', 'w').write(open('three').read())\n",
        "d.py": "open('three', 'w').write(open('four').read())\n",
    }
    found, manifest = proposed(tmp_path, files)
    assert addresses(manifest) == ["train.a", "train.b"]
    assert spec(manifest, "train.b").run[0] == "cp -R {train.a}/one.txt ."
    assert len(found.proposal.unknown) == 2 and all("out of its own results" in line for line in found.proposal.unknown)


def test_a_script_that_writes_to_the_folder_itself_needs_no_copy(tmp_path: Path) -> None:
    text = "import os\nopen(os.environ['MLOPS_OUT'] + '/model.bin', 'w')\nprint(1)\n"
    _, manifest = proposed(tmp_path, {"train.py": text})
    assert spec(manifest, "train.train").run == "python train.py"


def test_a_result_in_git_that_is_no_data_is_left_out(tmp_path: Path) -> None:
    text = "open('model.bin', 'w')\nopen('notes.json', 'w')\nprint(1)\n"
    found, manifest = proposed(tmp_path, {"train.py": text, "notes.json": "{}"})
    assert spec(manifest, "train.train").run[1] == "cp -R model.bin {out}/"
    assert any("notes.json" in line and "git" in line for line in found.proposal.entries[0].why)


MLPROJECT = """\
name: demo
conda_env: conda.yaml
entry_points:
  main:
    parameters:
      data: {type: path, default: rows.csv}
      alpha: {type: float, default: 0.1}
      who: string
      unused: {default: 1}
    command: "python train.py {data} --alpha {alpha} --who {who} --odd {{x}}"
  piped: {parameters: {alpha: {default: 0.5}}, command: "python train.py {alpha} '{alpha}' | tail -n 1"}
"""


def test_entry_points_become_entries_with_their_parameters(tmp_path: Path) -> None:
    files = {
        "MLproject": MLPROJECT,
        "conda.yaml": "x: 1\n",
        "rows.csv": "a\n",
        "train.py": "open('m.bin', 'w')\nprint(1)\n",
    }
    found, manifest = proposed(tmp_path, files)
    assert sorted(addresses(manifest)) == ["data.rows", "train.main", "train.piped"]
    main = spec(manifest, "train.main")
    assert main.run[0] == "python train.py {params.data} --alpha {params.alpha} --who {params.who} --odd {{{{x}}}}"
    assert main.params == {"data": "rows.csv", "alpha": 0.1, "who": "FILL-IN"}
    assert main.data == "rows" and main.lock == "conda.yaml" and main.run[1] == "cp -R m.bin {out}/"
    piped = spec(manifest, "train.piped")
    assert piped.run[0] == "python train.py {params.alpha} '0.5' | tail -n 1" and piped.shell
    assert len(found.proposal.unknown) == 1 and "'main' writes m.bin too" in found.proposal.unknown[0]


def test_a_value_that_quotation_marks_cannot_hold_is_said(tmp_path: Path) -> None:
    point = 'entry_points: {main: {parameters: {who: {default: "a\'b"}}, command: "python train.py \'{who}\' | wc"}}\n'
    files = {"MLproject": point, "train.py": "open('m.bin', 'w')\n", "other.py": "open('o.bin', 'w').write('1')\n"}
    found, manifest = proposed(tmp_path, files)
    assert "train.main" not in addresses(manifest)
    assert any("who stands in quotation marks" in text for text in found.proposal.unknown)


@pytest.mark.parametrize("text", ["entry_points: 3\n", "[", "name: x\n", "entry_points: {main: {command: 3}}\n"])
def test_an_mlproject_that_says_nothing_is_listed(tmp_path: Path, text: str) -> None:
    found, _ = proposed(tmp_path, {"MLproject": text, "a.py": "open('x', 'w')\nprint(1)\n"})
    assert any("MLproject" in line for line in found.proposal.unknown)


def test_all_kinds_together_share_datasets_and_propose_nothing_twice(tmp_path: Path) -> None:
    files = {
        "dvc.yaml": "stages: {make: {cmd: python make.py, deps: [rows.csv], outs: [made.csv]}}\n",
        "make.py": "open('made.csv', 'w').write(open('rows.csv').read())\nprint(1)\n",
        "MLproject": "entry_points: {main: {command: python main.py}}\n",
        "main.py": "open('main.bin', 'w').write(open('made.csv').read())\nprint(1)\n",
        "alone.py": "open('alone.bin', 'w').write(open('rows.csv').read())\nprint(1)\n",
        "rows.csv": "a\n1\n",
    }
    _, manifest = proposed(tmp_path, files)
    assert addresses(manifest) == ["data.rows", "train.make", "train.alone", "train.main"]
    assert spec(manifest, "train.main").run[0] == "cp -R {train.make}/made.csv ."
    assert spec(manifest, "train.main").data == () and spec(manifest, "train.alone").data == "rows"


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("y = rows.pop('b')", "b"),
        ("x = rows.drop(columns=['b'])\ny = 1", "b"),
        ("x = rows.drop('b', axis=1)", "b"),
        ("y_train = rows['b']\nz = rows['a']", "b"),
        ("y = rows[:, -1]", "c"),
        ("y = rows[:, 2].astype(int)", "c"),
        ("y = rows[:, 1]", ""),
        ("rows.drop(columns=['a', 'b'])", ""),
        ("rows.pop('a')\nrows.pop('b')", ""),
        ("y = rows['gone']", ""),
        ("print 'old'", ""),
    ],
)
def test_the_label_is_guessed_from_the_script(source: str, label: str) -> None:
    assert guess_label([source], ["a", "b", "c"]) == label
    assert guess_label([""], ["a", "target"]) == "target"


def test_a_table_that_a_model_is_trained_on_gets_the_guessed_label_and_keeps_all_rows(tmp_path: Path) -> None:
    text = "import pandas as pd, onnx\nrows = pd.read_csv('rows.csv')\ny = rows.pop('b')\nonnx.save(m, 'm.onnx')\n"
    found, manifest = proposed(tmp_path, {"train.py": text, "rows.csv": "a,b\n1,2\n"})
    rows = spec(manifest, "data.rows")
    assert rows.label == "b" and rows.split == "none"
    assert any(line.startswith("Guessed: 'b'") for line in found.proposal.entries[0].why)
