"""dvc.yaml and .dvc files -> entries; tests/cli/test_existing.py runs them beside the stock dvc."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adopt.dvc import read_stages

from .repositories import addresses, proposed, repository, spec

PIPELINE = """\
vars:
  - names: {model: net}
stages:
  prepare:
    cmd: python prepare.py raw.csv
    deps: [raw.csv, prepare.py]
    outs: [data/ready]
  train:
    cmd: python train.py --lr ${lr} --to ${names.model}.onnx
    deps: [data/ready, train.py]
    params: [lr, more.json:]
    outs: ["${names.model}.onnx"]
    frozen: true
  evaluate:
    cmd: python evaluate.py
    deps: [net.onnx]
    metrics: [scores.json: {cache: false}]
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "lr: 1e-3\nother: 2\n",
    "raw.csv": "a,b\n1,2\n",
    "prepare.py": "",
    "train.py": "import helper\n",
    "helper.py": "",
    "evaluate.py": "",
}


def test_a_pipeline_becomes_a_manifest_that_runs_its_commands_as_they_are(tmp_path: Path) -> None:
    pipeline = PIPELINE.replace("more.json:]", "{more.json: }]")
    found, manifest = proposed(tmp_path, {**FILES, "dvc.yaml": pipeline, "more.json": '{"deep": 3}'})
    assert addresses(manifest) == ["data.raw", "train.prepare", "train.train", "gates.scan"]
    prepare, train = spec(manifest, "train.prepare"), spec(manifest, "train.train")
    assert prepare.run == (
        "mkdir -p data", "python prepare.py raw.csv", "mkdir -p {out}/data", "cp -R data/ready {out}/data/",
    )  # fmt: skip
    assert prepare.data == "raw" and prepare.produces == "files" and prepare.code == ()
    assert train.run == (
        "mkdir -p data",
        "cp -R {train.prepare}/data/ready data/",
        "python train.py --lr {params.lr} --to {params.names_model}.onnx",
        "cp -R net.onnx {out}/model.onnx",
    )
    assert train.params == {"lr": 0.001, "names_model": "net"} and train.data == () and train.produces == "model"
    assert set(train.code) == {"train.py", "helper.py", "params.yaml", "more.json"}
    assert any("evaluate" in text and "gates" in text for text in found.proposal.unknown)
    why = next(entry.why for entry in found.proposal.entries if entry.name == "train")
    assert any("frozen" in text for text in why) and any("params.yaml" in text for text in why)


def test_foreach_and_matrix_become_an_entry_each(tmp_path: Path) -> None:
    pipeline = """\
stages:
  clean:
    foreach: [eu, us]
    do: {cmd: "python a.py ${item}", deps: [a.py], outs: ["${item}.txt"]}
  fit:
    foreach: {small: {n: 1}, large: {n: 2}}
    do: {cmd: "python a.py ${key} ${item.n} ${sizes[1]}", outs: ["fit-${key}.txt"]}
  grid:
    matrix: {lr: "${rates}", on: [true]}
    cmd: python a.py ${item.lr} ${item.on}
    outs: ["grid-${item.lr}.txt"]
"""
    _, manifest = proposed(
        tmp_path, {"dvc.yaml": pipeline, "params.yaml": "rates: [1e-1, 2]\nsizes: [3, 4]\n", "a.py": ""}
    )
    assert addresses(manifest) == [
        "train.clean-eu", "train.clean-us", "train.fit-small", "train.fit-large", "train.grid-0-1-true",
        "train.grid-2-true",
    ]  # fmt: skip
    assert spec(manifest, "train.clean-us").run[0] == "python a.py us"
    large = spec(manifest, "train.fit-large")
    assert large.run[0] == "python a.py large 2 {params.sizes_1}" and large.params == {"sizes_1": 4}
    assert spec(manifest, "train.grid-0-1-true").run[0] == "python a.py 0.1 true"


def test_sections_without_a_counterpart_are_listed(tmp_path: Path) -> None:
    pipeline = "stages: {a: {cmd: python a.py, outs: [x]}}\nplots: [x]\nartifacts: {m: {path: x}}\ndatasets: []\n"
    found, _ = proposed(tmp_path, {"dvc.yaml": pipeline, "a.py": ""})
    assert found.proposal.unknown == tuple(
        f"dvc.yaml: its '{key}' has no counterpart here" for key in ("artifacts", "datasets")
    )


def test_a_stage_runs_in_its_folder_and_finds_its_files_from_there(tmp_path: Path) -> None:
    pipeline = """\
stages:
  prepare: {cmd: python prepare.py ../raw.csv, wdir: "${where}", deps: [prepare.py, ../raw.csv], outs: [ready.csv, ../top.csv]}
  train:
    wdir: steps/${last}
    cmd: ["python train.py --lr ${lr} --deep ${deep}", python ../../check.py]
    vars: [more.json]
    deps: [../../sub/ready.csv, train.py, ../../top.csv]
    params: [size]
    outs: [out/net.onnx]
  enters: {cmd: "cd .. && python near.py", wdir: sub, deps: [near.py], outs: [../near.txt]}
  piped: {cmd: "cd sub\\ncat near.py | sort > ../sorted.txt", deps: [sub/near.py], outs: [sorted.txt]}
  twice: {cmd: "cd sub && cd .. && python near.py", deps: [near.py], outs: [twice.txt]}
  each: {foreach: [a, b], do: {wdir: "steps/${item}", cmd: python go.py, deps: [go.py], outs: ["${item}.txt"]}}
"""
    files = {
        "dvc.yaml": pipeline, "raw.csv": "a,b\n1,2\n", "sub/prepare.py": "import near", "sub/near.py": "", "near.py": "",
        "params.yaml": "where: sub\nlast: last\nlr: 0.1\n", "steps/last/params.yaml": "size: 3\nlr: 9\n",
        "steps/last/more.json": '{"deep": 2}', "steps/last/train.py": "", "check.py": "", "steps/a/go.py": "",
        "steps/b/go.py": "",
    }  # fmt: skip
    found, manifest = proposed(tmp_path, files)
    assert not found.proposal.unknown
    prepare, train = spec(manifest, "train.prepare"), spec(manifest, "train.train")
    assert (prepare.cwd, prepare.data, prepare.code) == ("sub", "raw", ())
    assert prepare.run == (
        "python prepare.py ../raw.csv", "mkdir -p {out}/sub", "cp -R ready.csv {out}/sub/", "cp -R ../top.csv {out}/",
    )  # fmt: skip
    assert train.cwd == "steps/last"
    assert train.run == (
        "mkdir -p ../../sub out", "cp -R {train.prepare}/sub/ready.csv ../../sub/", "cp -R {train.prepare}/top.csv ../../",
        "python train.py --lr {params.lr} --deep {params.deep}", "python ../../check.py", "cp -R out/net.onnx {out}/model.onnx",
    )  # fmt: skip
    assert train.params == {"lr": 0.1, "deep": 2}, "a stage's folder has no default parameters of its own"
    assert set(train.code) == {"steps/last/train.py", "check.py", "steps/last/params.yaml"}
    enters, piped = spec(manifest, "train.enters"), spec(manifest, "train.piped")
    assert (enters.cwd, enters.run) == ("", ("python near.py", "cp -R near.txt {out}/")) and not enters.shell
    assert (piped.cwd, piped.shell, piped.run[0]) == ("sub", True, "cat near.py | sort > ../sorted.txt")
    assert spec(manifest, "train.twice").cwd == ""
    assert [spec(manifest, f"train.each-{name}").cwd for name in "ab"] == ["steps/a", "steps/b"]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("{cmd: python a.py, wdir: .., outs: [x]}", "does not lie in the project's folder"),
        ("{cmd: python a.py, wdir: /tmp, outs: [x]}", "does not lie in the project's folder"),
        ("{cmd: python a.py, wdir: [sub], outs: [x]}", "no name of a folder"),
        ("{cmd: python a.py, wdir: sub, outs: [../../x]}", "does not lie in the project's folder"),
        ("{cmd: python a.py, deps: [gone.csv], outs: [x]}", "gone.csv"),
        ("{cmd: python a.py, deps: ['s3://b/x'], outs: [x]}", "s3://b/x"),
        ("{cmd: python a.py, outs: [/abs]}", "/abs"),
        ("{cmd: python a.py, outs: [../up]}", "../up"),
        ("{cmd: 'python a.py ${missing}', outs: [x]}", "missing"),
        ("{cmd: 'python a.py ${a b}', outs: [x]}", "no name"),
        ("{cmd: python gone.py, outs: [x]}", "gone.py"),
        ("{cmd: python a.py, outs: [x], strange: 1}", "strange"),
        ("{outs: [x]}", "no command"),
        ("[1]", "no mapping"),
        ("{foreach: 3, do: {cmd: python a.py}}", "foreach"),
        ("{cmd: 'python a.py --key AKIAABCDEFGHIJKLMNOP', outs: [x]}", "secret"),
        ("{cmd: python a.py, params: [lr], outs: [x]}", "params.yaml"),
        ("{cmd: python a.py, outs: [a.onnx, model.onnx]}", "2 models"),
    ],
)
def test_what_cannot_be_expressed_is_listed_and_the_rest_is_proposed(tmp_path: Path, stage: str, said: str) -> None:
    pipeline = f"stages:\n  odd: {stage}\n  fine: {{cmd: python a.py, outs: [y]}}\n"
    found, manifest = proposed(tmp_path, {"dvc.yaml": pipeline, "a.py": ""})
    assert "train.fine" in addresses(manifest) and "train.odd" not in addresses(manifest)
    [line] = found.proposal.unknown
    assert said in line and "dvc.yaml:2" in line and "'odd'" in line


def test_what_needs_a_shell_is_read_by_one(tmp_path: Path) -> None:
    """A setting is a placeholder where it stands by itself, and its value inside of quotation marks."""
    pipeline = """\
stages:
  count: {cmd: 'grep -c "${mark}," rows.csv | head -n ${most} > "my ${mark}.txt"', deps: [rows.csv], outs: ["my a.txt"]}
  more:
    cmd: ['cat "my a.txt" > {both}', 'for i in 1 2; do python a.py $i >> {both}; done']
    deps: ["my a.txt", a.py]
    outs: ["{both}"]
"""
    files = {"dvc.yaml": pipeline, "params.yaml": "mark: a\nmost: 3\n", "a.py": "print(1)\n", "rows.csv": "a,b\n"}
    found, manifest = proposed(tmp_path, files)
    assert found.proposal.unknown == ()
    count, more = spec(manifest, "train.count"), spec(manifest, "train.more")
    assert count.run == (
        'grep -c "a," rows.csv | head -n {params.most} > "my a.txt"',
        "cp -R 'my a.txt' {out}/",
    )
    assert count.shell and count.params == {"most": 3} and count.data == "rows"
    assert more.run == (
        "cp -R {train.count}'/my a.txt' .",
        'cat "my a.txt" > {{both}}',
        "for i in 1 2; do python a.py $i >> {{both}}; done",
        "cp -R {{both}} {out}/",
    )
    assert any("sh reads it here" in line for line in found.proposal.entries[-1].why)


def test_what_needs_a_stage_that_was_left_out_is_left_out_and_says_why(tmp_path: Path) -> None:
    pipeline = """\
stages:
  first: {cmd: python a.py, outs: [b], strange: 1}
  second: {cmd: python a.py, deps: [b], outs: [c]}
  third: {cmd: python a.py, deps: [c], outs: [d]}
  apart: {cmd: python a.py, outs: [e]}
"""
    found, manifest = proposed(tmp_path, {"dvc.yaml": pipeline, "a.py": ""})
    assert addresses(manifest) == ["train.apart"]
    assert [line.rpartition(": ")[2] for line in found.proposal.unknown[1:]] == [
        "it needs b, which 'first' makes",
        "it needs 'second'",
    ]


def test_datasets_that_dvc_pins_are_entries_without_a_pipeline(tmp_path: Path) -> None:
    pin = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  hash: md5\n  path: rows.csv\n"
    found, manifest = proposed(tmp_path, {"data/rows.csv.dvc": pin, "old.csv.dvc": "outs: [{md5: x, path: old.csv}]\n"})
    assert addresses(manifest) == ["data.rows"] and spec(manifest, "data.rows").path == "data/rows.csv"
    assert len(found.proposal.unknown) == 1 and "old.csv.dvc" in found.proposal.unknown[0]


@pytest.mark.parametrize("text", ["stages: [1", "stages:\n\t- x", "- a", "a: &x [*x]", "!!python/object:os.system {}"])
def test_a_broken_pipeline_is_said_with_its_place(tmp_path: Path, text: str) -> None:
    stages, unknown, _ = read_stages(repository(tmp_path, {"dvc.yaml": text}))
    assert stages == [] and len(unknown) == 1 and "dvc.yaml" in unknown[0]


def test_a_stage_that_reads_one_file_of_anothers_folder_gets_the_folder(tmp_path: Path) -> None:
    pipeline = """\
stages:
  make: {cmd: python a.py, outs: [out/all]}
  use: {cmd: python a.py, deps: [out/all/part.csv], outs: [z.csv]}
  both: {cmd: python a.py, deps: [out], outs: [q.csv]}
"""
    _, manifest = proposed(tmp_path, {"dvc.yaml": pipeline, "a.py": ""})
    for name in ("use", "both"):
        assert spec(manifest, f"train.{name}").run[1] == "cp -R {train.make}/out/all out/"
