"""A training command runs on its code and its rows, and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.providers.train import local
from mlopsctl.types import Address, Need

from .conftest import ONNX_SCRIPT, Project, failure, script


def test_the_quickstart_trains_twice_to_the_same_bytes(quickstart: Project) -> None:
    header, *rows = (quickstart.root / "data/digits.csv").read_text().splitlines(keepends=True)
    view = header + "".join(row for number, row in enumerate(rows) if number % 5)
    want = quickstart.resource(run="python train.py")
    columns = header.strip().split(",")
    inputs = quickstart.inputs(want, train=view, path="data/digits.csv", label="digit", features=columns[:-1])

    first, second = (quickstart.train(inputs) for _ in range(2))

    models = [Path(str(outcome.outputs["model"])) / "model.onnx" for outcome in (first, second)]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert first.facts["kind"] == "onnx" and first.facts["opset"] == 17 and first.facts["ir"] <= 10
    assert first.facts["inputs"] == [{"name": "pixels", "dtype": "float32", "shape": [None, 64]}]
    assert first.facts["outputs"] == [{"name": "probabilities", "dtype": "float32", "shape": [None, 10]}]
    assert first.facts["usage"]["max_rss_bytes"] > 10 << 20
    assert {"python", "numpy", "onnx", "platform"} <= set(first.made_with)
    assert any("epoch" in line for line in quickstart.told)


def test_the_command_finds_the_training_view_at_the_path_of_the_data(project: Project) -> None:
    script(
        project, "print(open('data/rows.csv').read()); print(open(os.environ['MLOPS_DATA_ROWS']).read())" + ONNX_SCRIPT
    )
    project.train()
    said = project.log.read_text()
    assert said.count("5,6,0") == 2
    assert "secret-test-row" not in said


def test_placeholders_and_variables_carry_parameters_seed_and_data(project: Project) -> None:
    script(
        project,
        "import json\nprint(sys.argv[1:], json.load(open(os.environ['MLOPS_PARAMS'])), os.environ['MLOPS_SEED'])"
        + ONNX_SCRIPT,
    )
    project.train(
        run="python train.py --lr {params.lr} --name {params.name} --seed={seed} {data.rows} {{x}} {params.flag}",
        params={"lr": 0.001, "name": "two words", "flag": True},
        seed=7,
    )
    said = project.log.read_text()
    assert "['--lr', '0.001', '--name', 'two words', '--seed=7', " in said
    assert "data/rows.csv', '{x}', 'true']" in said
    assert "'lr': 0.001" in said and said.rstrip().endswith("7")


def test_only_named_variables_reach_the_command(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for trainers")
    monkeypatch.setenv("HUB_TOKEN", "hunter2-token")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    script(project, "print(sorted(os.environ)); print('token', os.environ['TOKEN'], os.environ['MODE'])" + ONNX_SCRIPT)
    project.train(env={"TOKEN": "env:HUB_TOKEN", "MODE": "fast"})
    said = project.log.read_text()
    assert "AWS_SECRET_ACCESS_KEY" not in said and "CUDA_VISIBLE_DEVICES" in said
    assert "token *** fast" in said, "a secret is blotted out of the log"
    assert "hunter2" not in said


def test_a_secret_that_is_not_set_is_named(project: Project) -> None:
    script(project, "")
    error = failure(project, env={"TOKEN": "env:NO_SUCH_TOKEN"})
    assert error.code == "MLO1208" and "export NO_SUCH_TOKEN" in error.hint


def test_claimed_figures_are_kept_apart_from_the_model(project: Project) -> None:
    script(
        project,
        ONNX_SCRIPT
        + """
with open(out + "/metrics.jsonl", "w") as f:
    f.write('{"epoch": 1, "accuracy": 0.5}\\nnot json\\n{"epoch": 2, "accuracy": 0.99, "loss": NaN, "note": "x"}\\n')
""",
    )
    outcome = project.train()
    assert outcome.facts["claimed"] == {"epoch": "2", "accuracy": "0.99", "loss": "nan"}
    assert [path.name for path in Path(str(outcome.outputs["model"])).iterdir()] == ["model.onnx"]


def test_several_commands_run_in_order_and_a_failed_one_is_tried_again(project: Project) -> None:
    script(project, "print(os.listdir('.')); assert open('step').read() == 'one'" + ONNX_SCRIPT)
    project.write("first.py", "open('step', 'w').write('one')")
    project.train(run=("python first.py", "python train.py"))

    # The first attempt leaves a mark outside its own folder: only there can the second one see it.
    script(
        project,
        "import pathlib\nmark = pathlib.Path('/dev/shm/mlopsctl-test-mark')\n"
        "if not mark.exists():\n    mark.touch(); sys.exit(3)\nmark.unlink()" + ONNX_SCRIPT,
    )
    project.train(retries=1)
    assert any("trying again (1 of 1)" in line for line in project.told)


def test_commands_run_in_the_folder_that_cwd_names(project: Project) -> None:
    project.write(
        "models/small/train.py",
        "import sys, os, layers\nassert os.getcwd() == os.environ['PWD']\nprint('in', os.getcwd()[-18:])" + ONNX_SCRIPT,
    )
    project.write("models/small/layers.py", "from shared import sizes")
    project.write("shared.py", "sizes = 3")
    project.write("models/small/check.sh", "#!/bin/sh\ntest -s ../../data/rows.csv && test ! -e ../../mlops.yaml")
    (project.root / "models/small/check.sh").chmod(0o755)
    keys: dict[str, Any] = {"run": ("./check.sh", "python train.py", "sh check.sh"), "cwd": "models/small"}
    assert project.made_from(**keys) == {
        "models/small/train.py", "models/small/layers.py", "models/small/check.sh", "shared.py"
    }  # fmt: skip
    project.train(**keys)
    assert "in /work/models/small" in project.told
    # The folder is part of what the step is; without one nothing is.
    other = project.resource(**keys), project.resource(**{**keys, "cwd": ""})
    assert "cwd" in local.nameless(other[0]) and "cwd" not in local.nameless(other[1])
    project.write("models/small/extra.txt", "more")
    project.write("models/small/train.py", "open('extra.txt')" + ONNX_SCRIPT)
    with pytest.raises(ProviderError, match=r"reads models/small/extra\.txt, which is not declared"):
        project.train(**keys)


@pytest.mark.parametrize(
    "cwd",
    [
        "..",
        "../up",
        "/tmp",
        "a/../../b",
        "~",
        "~/x",
        ".git",
        ".git/hooks",
        "a\\..\\b",
        "a\nb",
        ".",
        "./a",
        "a/",
        "a//b",
    ],
)
def test_commands_run_nowhere_but_in_the_project(project: Project, cwd: str) -> None:
    with pytest.raises(ManifestError, match="no folder below the project's"):
        project.resource(run="python train.py", cwd=cwd)


def test_a_step_starts_from_the_model_of_another(project: Project) -> None:
    from mlopsctl.types import Digest, Input, Observed

    folder = project.root.parent / "base"
    folder.mkdir()
    (folder / "weights.txt").write_text("pretrained")
    digest = project.store.put(folder)
    script(project, "print(open(sys.argv[1] + '/weights.txt').read())" + ONNX_SCRIPT)
    want = project.resource(run="python train.py {train.base}")
    need = next(need for need in want.needs if need.role == "base")
    assert need == Need("base", Address("train", "base"), "model")
    base = Input(need, Observed(Digest("sha256:1"), {"model": digest}))
    inputs = [item for item in project.inputs(want) if item.role == "data"]
    project.train([*inputs, base], run="python train.py {train.base}")
    assert "pretrained" in project.log.read_text()


def test_python_is_the_one_of_the_project(project: Project) -> None:
    import venv

    venv.create(project.root / ".venv", symlinks=True)
    project.write(".gitignore", ".venv")
    script(project, "print('prefix', sys.prefix); open(out + '/x', 'w').write('y')")
    project.train(produces="files")
    assert f"prefix {project.root}/.venv" in project.log.read_text()


def test_a_folder_of_data_is_found_at_its_path(project: Project) -> None:
    from mlopsctl.types import Digest, Input, Observed

    folder = project.root.parent / "images"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat/1.png").write_bytes(b"png")
    digest = project.store.put(folder)
    script(project, "print(os.listdir('images/cat')); open(out + '/x', 'w').write('y')")
    want = project.resource(run="python train.py")
    observed = Observed(Digest("sha256:1"), {"train": digest}, {"path": "images", "format": "folder", "features": None})
    project.train([Input(need, observed) for need in want.needs], produces="files")
    assert "['1.png']" in project.log.read_text()


def test_needs_follow_from_references_and_the_split() -> None:
    from mlopsctl.providers.data import dvc
    from mlopsctl.providers.data.split import Split

    spec = local.Spec(run="python train.py")
    assert local.needs(spec, {"data": {"rows": dvc.Spec("rows.csv", "y", split=Split(val=0.1))}}) == (
        Need("data", Address("data", "rows"), "train"),
        Need("validation", Address("data", "rows"), "val"),
    )
    assert local.needs(spec, {}) == ()
    two = {"data": {"rows": object(), "more": object()}}
    with pytest.raises(ManifestError) as caught:
        local.needs(spec, two)
    assert caught.value.code == "MLO1207" and "data: rows" in caught.value.hint
    named = local.needs(local.Spec(run="python train.py {data.more}"), two)
    assert named == (Need("data", Address("data", "more"), "train"),)


def test_the_validation_view_has_a_variable_of_its_own(project: Project) -> None:
    from mlopsctl.types import Input

    script(project, "print('val:', open(os.environ['MLOPS_DATA_ROWS_VAL']).read())" + ONNX_SCRIPT)
    want = project.resource(run="python train.py")
    inputs = project.inputs(want)
    assert inputs[0].seen is not None
    validation = Input(Need("validation", Address("data", "rows"), "val"), inputs[0].seen)
    project.train([*inputs, validation])
    assert "val: a,b,label" in project.log.read_text()


# --- Hunting for the test rows -------------------------------------------------------------------------------

HUNT = """
import glob
roots = sys.argv[1:] + [os.path.dirname(p) for p in ("/proc/1/root/x", "/proc/%d/cwd/x" % os.getppid(), "/proc/%d/root/x" % os.getppid())]
for root in roots:
    for place, folders, files in os.walk(root):
        for name in files:
            try:
                if b"secret-" + b"test-row" in open(os.path.join(place, name), "rb").read():
                    print("FOUND", place, name)
            except OSError as error:
                pass
for path in sys.argv[1:]:
    try:
        print("LISTED", os.listdir(path))
    except OSError as error:
        print("refused", error)
"""


@pytest.mark.parametrize("mode", ["landlock", "namespaces"])
def test_a_trainer_that_hunts_for_the_test_rows_finds_none(
    project: Project, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlopsctl.adapters import sandbox

    if mode == "landlock" and sandbox.strongest_mode() != mode:
        pytest.skip("this kernel has no Landlock")
    if mode == "namespaces" and subprocess.run(["unshare", "-Um", "true"], check=False).returncode != 0:
        pytest.skip("this kernel grants no user namespaces")
    monkeypatch.setattr(sandbox, "strongest_mode", lambda: mode)
    test_view = project.root.parent / "test.csv"
    test_view.write_text("a,b,label\n9,10,secret-test-row\n")
    project.store.put(test_view)
    script(project, HUNT + ONNX_SCRIPT)

    outcome = project.train(run=f"python train.py {project.root} {project.root.parent} {project.root}/.git /tmp")

    said = project.log.read_text()
    assert outcome.facts["isolation"] == mode
    assert "FOUND" not in said
    if mode == "landlock":
        assert "LISTED" not in said and said.count("refused") == 4


def test_the_isolation_is_recorded(project: Project) -> None:
    script(project, ONNX_SCRIPT)
    assert project.train().facts["isolation"] in ("landlock", "namespaces", "export")


# --- Models that are not ONNX --------------------------------------------------------------------------------


def test_an_opaque_model_takes_its_program_along(project: Project) -> None:
    script(project, "open(out + '/weights.json', 'w').write('[2, 3]')")
    project.write("rules.py", "def score(w, row): return w[0] * row['a'] + w[1] * row['b']\n")
    project.write(
        "predict.py",
        "import json, sys\nfrom rules import score\nw = json.load(open(sys.argv[1] + '/weights.json'))\n"
        "for line in sys.stdin: print(score(w, json.loads(line)))\n",
    )
    outcome = project.train(predict="python3 predict.py {model}")
    assert outcome.facts["kind"] == "opaque"
    assert outcome.facts["predict"] == ["python3", "predict.py", "{model}"]

    from mlopsctl.adapters.inference import run_program

    answers = run_program(
        outcome.facts["predict"], Path(str(outcome.outputs["model"])), [{"a": 1, "b": 2}, {"a": 0, "b": 1}]
    )
    assert answers == [8, 3]


def test_what_code_leaves_out_predict_still_takes_along(project: Project) -> None:
    script(project, "open(out + '/weights.json', 'w').write('[2, 3]')")
    project.write("predict.py", "import rules")
    project.write("rules.py", "")
    outcome = project.train(predict="python3 predict.py {model}", code=("train.py",))
    names = sorted(path.name for path in Path(str(outcome.outputs["model"])).iterdir())
    assert names == ["predict.py", "rules.py", "weights.json"]
    script(project, "open(out + '/rules.py', 'w').write('another')")
    assert failure(project, predict="python3 predict.py {model}").code == "MLO1224"


def test_a_pickle_is_no_opaque_model_unless_it_is_named(project: Project) -> None:
    project.write("predict.py", "")
    script(project, "import pickle\npickle.dump([1], open(out + '/model.pkl', 'wb'))")
    error = failure(project, predict="python3 predict.py {model}")
    assert error.code == "MLO1220" and "formats: [pkl]" in error.hint
    project.train(predict="python3 predict.py {model}", formats=("pkl",))
    script(project, "open(out + '/model.bin', 'wb').write(b'x')")
    assert failure(project, predict="python3 predict.py {model}", formats=("json",)).code == "MLO1219"


def test_files_for_another_step_need_no_model(project: Project) -> None:
    script(project, "open(out + '/vocabulary.txt', 'w').write('a b c')")
    outcome = project.train(produces="files")
    assert outcome.facts["kind"] == "files"
    script(project, "")
    error = failure(project, produces="files")
    assert error.code == "MLO1213" and "{out}" in error.hint and "onnx" not in error.hint
    script(project, "open('my words.txt', 'w').write('a b c')")
    assert "cp 'my words.txt' {out}/" in failure(project, produces="files").hint


def test_equal_code_has_an_equal_fingerprint_and_a_comment_counts(project: Project) -> None:
    from mlopsctl.gitobjects import tree_oid

    script(project, "")
    want = project.resource(run="python train.py")
    before = tree_oid(local.sources(want, project.tree))
    assert tree_oid(local.sources(want, project.tree)) == before
    project.write("unrelated.py", "x = 1")
    assert tree_oid(local.sources(want, project.tree)) == before
    script(project, "# a comment")
    assert tree_oid(local.sources(want, project.tree)) != before
    assert hashlib.sha1(b"").hexdigest() != before
