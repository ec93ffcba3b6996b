"""``import --from-dvc`` beside the stock dvc: what it has made is not made again, where it would come out of today's files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsctl.cli.project import open_project
from tests.adopt.repositories import repository
from tests.quickstart import must, shell

FILES = {
    "raw.csv": "a,b\n" + "".join(f"{n},{n % 3}\n" for n in range(50)),
    "params.yaml": "train:\n  lr: 0.1\n  epochs: 3\n  # a comment\n",
    "lib/helper.py": "def read(path):\n    return open(path).read()\n",
    "prepare.py": (
        "import pathlib, sys\nout = pathlib.Path('ready')\nout.mkdir(exist_ok=True)\n(out / 'deep').mkdir(exist_ok=True)\n"
        "lines = open(sys.argv[1]).read().splitlines()\n"
        "(out / 'train.csv').write_text('\\n'.join(lines[:30]))\n(out / 'deep' / 'rest.csv').write_text('\\n'.join(lines[30:]))\n"
    ),
    "train.py": (
        "import sys\nfrom lib.helper import read\nepochs = read('params.yaml').split('epochs: ')[1].split()[0]\n"
        "open('model.bin', 'w').write(sys.argv[1] + epochs + read('ready/train.csv'))\n"
        "open('scores.json', 'w').write('{}')\n"
    ),
    "dvc.yaml": """\
stages:
  prepare:
    cmd: python prepare.py raw.csv
    deps: [raw.csv, prepare.py]
    outs: [ready]
  train:
    cmd: python train.py ${train.lr}
    deps: [ready, train.py]
    params: [train.epochs]
    outs: [model.bin]
    metrics: [scores.json: {cache: false}]
  copies:
    foreach: [x, y]
    do: {cmd: "mkdir -p copies && cp model.bin copies/${item}.bin", deps: [model.bin], outs: ["copies/${item}.bin"]}
""",
}
STEPS = ["train.prepare", "train.train", "train.copies-x", "train.copies-y"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of DVC as its users leave it, with the proposal committed; never change it: copy it."""
    folder = tmp_path_factory.mktemp("dvc") / "project"
    repository(folder, FILES)
    must("dvc init -q && dvc add -q raw.csv && dvc repro -q && git add -A && git commit -qm 'as it was'", folder)
    said = must("mlopsctl init --from-existing --ci none", folder)
    assert "mlopsctl import --from-dvc" in said and "not taken over" not in said
    must("git add -A && git commit -qm Start", folder)
    return folder


@pytest.fixture
def project(reproduced: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reproduced, tmp_path / "project", symlinks=True))


def test_a_stage_of_another_folder_runs_there_and_need_not_run_again(tmp_path: Path) -> None:
    files = {
        "raw.csv": "a,b\n" + "".join(f"{n},{n % 3}\n" for n in range(50)),
        "lib/params.yaml": "scale: 3\n",
        "lib/first.py": "text = open('../raw.csv').read()\nopen('half.txt', 'w').write(text[:99])\n",
        "lib/deep/second.py": (
            "import os\nfrom near import scale\nassert os.getcwd().endswith('lib/deep')\n"
            "os.makedirs('../../made', exist_ok=True)\n"
            "open('../../made/all.txt', 'w').write(open('../half.txt').read() * scale)\n"
        ),
        "lib/deep/near.py": "scale = int(open('../params.yaml').read().split()[1])\n",
        "dvc.yaml": """\
stages:
  first: {cmd: python first.py, wdir: lib, deps: [../raw.csv, first.py], outs: [half.txt]}
  second:
    cmd: python second.py
    wdir: lib/deep
    deps: [../half.txt, second.py, near.py]
    params: [../params.yaml: [scale]]
    outs: [../../made/all.txt]
""",
    }
    folder = tmp_path / "project"
    repository(folder, files)
    must("dvc init -q && dvc add -q raw.csv && dvc repro -q && git add -A && git commit -qm 'as it was'", folder)
    must("mlopsctl init --from-existing --ci none && git add -A && git commit -qm Start", folder)
    made = (folder / "made/all.txt").read_bytes()
    said = must("mlopsctl import --from-dvc", folder)
    assert "2 result(s) of DVC taken over" in said, said
    assert set(steps(folder).values()) == {"noop"}
    # Here it runs the same way, and comes to the same bytes.
    must("mlopsctl apply -y --replace train.first --replace train.second", folder)
    opened = open_project(folder)
    entry = opened.trail.latest("train.second")
    assert entry is not None and "origin" not in entry.facts
    assert (opened.store.checkout(entry.outputs["model"], tmp_path / "out") / "made/all.txt").read_bytes() == made
    must("sed -i 's/scale: 3/scale: 4/' lib/params.yaml && git commit -qam 'Another scale'", folder)
    assert steps(folder)["train.second"] != "noop" and steps(folder)["train.first"] == "noop"


def steps(folder: Path) -> dict[str, str]:
    plan = json.loads(must("mlopsctl plan --format json 2>/dev/null", folder))
    return {step["address"]: step["action"] for step in plan["steps"]}


def test_what_dvc_has_made_is_not_made_again(project: Path) -> None:
    assert set(steps(project).values()) == {"create"}
    said = must("mlopsctl import --from-dvc", project)
    assert "4 result(s) of DVC taken over" in said
    assert "train.train: taken over from DVC" in said and "DVC does not compare lib/helper.py" in said
    assert set(steps(project).values()) == {"noop"}
    assert "0 applied, 5 unchanged" in must("mlopsctl apply -y", project)
    assert "0 result(s)" in must("mlopsctl import --from-dvc", project)


def test_the_entries_say_where_the_bytes_come_from_and_are_signed(project: Path) -> None:
    must("mlopsctl import --from-dvc", project)
    opened = open_project(project)
    entry = opened.trail.latest("train.train")
    assert entry is not None and entry.outputs["model.sig"] and "usage" not in entry.facts
    origin = entry.facts["origin"]
    assert (origin["how"], origin["stage"], origin["state"]) == ("dvc.lock", "train", "unverified")
    assert set(origin["md5"]) == {"model.bin"} and origin["not_compared"] == ["lib/helper.py"]
    model = opened.store.checkout(entry.outputs["model"], project.parent / "model")
    assert (model / "model.bin").read_bytes() == (project / "model.bin").read_bytes()
    prepared = opened.trail.latest("train.prepare")
    assert prepared is not None
    made = opened.store.checkout(prepared.outputs["model"], project.parent / "ready")
    assert (made / "ready" / "deep" / "rest.csv").read_bytes() == (project / "ready" / "deep" / "rest.csv").read_bytes()
    assert must("mlopsctl audit verify", project).startswith("ok")


@pytest.mark.slow
def test_taken_over_and_made_here_are_the_same_bytes(project: Path) -> None:
    must("mlopsctl import --from-dvc", project)
    before = {step: open_project(project).trail.latest(step) for step in STEPS}
    must("mlopsctl apply -y --replace 'train.*'", project)
    for step, entry in before.items():
        again = open_project(project).trail.latest(step)
        assert entry is not None and again is not None and again.id != entry.id
        assert again.outputs["model"] == entry.outputs["model"], step


def test_without_the_cache_the_working_tree_is_enough_and_without_both_it_is_said(project: Path) -> None:
    shutil.rmtree(project / ".dvc" / "cache")
    (project / "model.bin").write_text("something else")
    said = must("mlopsctl import --from-dvc", project)
    assert "train.prepare: taken over" in said
    assert "train.train: not taken over: model.bin is neither in DVC's cache nor as it was" in said
    assert "train.copies-x: not taken over: it needs train.train" in said and "1 result(s)" in said


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


def broken_cache(folder: Path) -> None:
    for path in (folder / ".dvc" / "cache").rglob("*"):
        if path.is_file() and path.read_bytes() == (folder / "model.bin").read_bytes():
            path.chmod(0o644)
            path.write_text("changed in the cache")
    (folder / "model.bin").unlink()


@pytest.mark.parametrize(
    ("change", "step", "said"),
    [
        (edit("train.py", "import sys", "import sys  # x"), "train", "train.py is not what it was when DVC ran it"),
        (edit("params.yaml", "epochs: 3", "epochs: 4"), "train", "'train.epochs' in params.yaml is not what it was"),
        (edit("params.yaml", "lr: 0.1", "lr: 0.2"), "train", "its command was changed since DVC ran it"),
        (edit("dvc.yaml", "deps: [ready, train.py]", "deps: [ready]"), "train", "other dependencies"),
        (edit("dvc.lock", "  train:", "  trained:"), "train", "dvc.lock does not have it"),
        (edit("dvc.lock", "hash: md5", "hash: sha"), "prepare", "another DVC"),
        (edit("mlops.yaml", "python train.py", "python -O train.py"), "train", "its entry says something else now"),
        (broken_cache, "train", "neither in DVC's cache nor as it was"),
    ],
)  # fmt: skip
def test_what_would_not_come_out_of_todays_files_is_left_to_apply(
    project: Path, change: Callable[[Path], None], step: str, said: str
) -> None:
    change(project)
    told = must("mlopsctl import --from-dvc", project)
    assert f"train.{step}: not taken over: " in told and said in told
    assert steps(project)[f"train.{step}"] == "create"
    assert "taken over from DVC" in told or step == "prepare"


def test_a_comment_in_the_parameters_is_no_reason(project: Path) -> None:
    edit("params.yaml", "# a comment", "# another")(project)
    assert "4 result(s)" in must("mlopsctl import --from-dvc", project)


def test_an_upstream_that_was_made_here_otherwise_is_no_input_of_dvcs_result(project: Path) -> None:
    must("mlopsctl apply -y --target train.prepare", project)
    copy = project.parent / "same"
    shutil.copytree(project, copy, symlinks=True)
    assert "train.train: taken over" in must("mlopsctl import --from-dvc", copy)
    other = project.parent / "other.csv"
    other.mkdir()
    (other / "ready").mkdir()
    (other / "ready" / "train.csv").write_text("other")
    must(f"mlopsctl import train.prepare {other} --replace", project)
    said = must("mlopsctl import --from-dvc", project)
    assert "train.train: not taken over: it was made from another ready than train.prepare has here" in said


def test_without_a_lock_file_and_with_wrong_words(project: Path) -> None:
    (project / "dvc.lock").unlink()
    done = shell("mlopsctl import --from-dvc", project)
    assert done.returncode == 1 and "MLO1084" in done.stdout
    for words in ("", "train.train", "--from-dvc train.train model.bin", "--from-dvc train.train"):
        assert shell(f"mlopsctl import {words}", project).returncode == 64, words
