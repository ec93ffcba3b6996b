"""A training command runs on its code and its rows, and nothing else."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.errors import GateError, ManifestError, ProviderError
from mlopsctl.providers.train import local
from mlopsctl.types import Address, Need

from .conftest import ONNX_SCRIPT, Project


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


def script(project: Project, body: str, name: str = "train.py") -> None:
    project.write(name, "import os, sys\nout = os.environ['MLOPS_OUT']\n" + body)


def failure(project: Project, **keys: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        project.train(**keys)
    return caught.value


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
    class Split:
        val = 0.1

    class Data:
        split = Split()

    spec = local.Spec(run="python train.py")
    assert local.needs(spec, {"data": {"rows": Data()}}) == (
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


# --- A trainer that goes wrong -------------------------------------------------------------------------------


def test_exit_status_1_shows_the_last_lines(project: Project) -> None:
    script(project, "for n in range(100): print('line', n)\nsys.exit(1)")
    error = failure(project)
    assert error.code == "MLO1211"
    assert error.message == "'python train.py' exited with status 1"
    assert str(project.log) in error.hint
    assert "\n  | line 85\n" in error.hint and error.hint.endswith("line 99")
    script(project, "sys.exit(2)")
    assert failure(project).hint.endswith("it printed nothing")


def test_a_trainer_that_hangs_is_ended_with_its_children(project: Project) -> None:
    script(
        project,
        "import subprocess, time\nsubprocess.Popen(['sleep', '98765'])\nprint('waiting', flush=True)\ntime.sleep(99)",
    )
    error = failure(project, timeout=0.8)
    assert error.code == "MLO1216" and "0.8 seconds" in error.message and "waiting" in error.hint
    until = time.monotonic() + 5
    while any(b"98765" in _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < until, "the trainer's child still runs"
        time.sleep(0.05)


def test_a_step_ends_when_its_budget_is_used_up(project: Project) -> None:
    """The budget is that of all attempts, and what exceeds it is no mistake that is tried again."""
    script(project, "import time; time.sleep(99)")
    with pytest.raises(GateError) as caught:
        project.train(budget=local.Budget(time=0.5), retries=3)
    assert (caught.value.code, caught.value.exit_code) == ("MLO6006", 4) and "budget of 0.5 s" in caught.value.message


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_no_model_says_where_it_looked_and_what_was_written(project: Project) -> None:
    script(project, "open(out + '/notes.txt', 'w').write('x'); open('stray.bin', 'w').write('y')")
    error = failure(project)
    assert error.code == "MLO1213"
    assert "$MLOPS_OUT holds notes.txt; its working folder got stray.bin" in error.message

    script(project, ONNX_SCRIPT.replace('os.environ["MLOPS_OUT"] + "/model.onnx"', '"model.onnx"'))
    error = failure(project)
    assert error.hint.startswith("write model.onnx to os.environ")


def test_a_corrupt_model_is_refused(project: Project) -> None:
    script(project, "open(out + '/model.onnx', 'wb').write(b'\\x08\\x0a' + b'garbage' * 99)")
    error = failure(project)
    assert error.code == "MLO1215" and "does not load" in error.message and error.hint
    script(project, "open(out + '/model.onnx', 'wb').close()")
    assert failure(project).code == "MLO1215"


def test_an_ir_version_that_the_runtime_cannot_read_says_so(project: Project) -> None:
    script(project, ONNX_SCRIPT.replace("ir_version=10", "ir_version=99"))
    error = failure(project)
    assert error.code == "MLO1215" and "IR version" in error.message + error.hint


def test_a_model_for_other_columns_is_refused(project: Project) -> None:
    script(project, ONNX_SCRIPT.replace('["N", 2]', '["N", 3]'))
    error = failure(project)
    assert error.code == "MLO1218"
    assert "takes 3 columns, and data/rows.csv has 2 (without the label label)" in error.message


def test_a_link_in_the_output_is_refused(project: Project) -> None:
    script(project, "os.symlink('/etc/passwd', out + '/model.onnx')")
    assert failure(project).code == "MLO1217"


def test_an_undeclared_file_names_the_line_to_add(project: Project) -> None:
    project.write("settings/depth.txt", "3")
    script(project, "open('settings/depth.txt').read()" + ONNX_SCRIPT)
    error = failure(project)
    assert error.code == "MLO1212"
    assert "reads settings/depth.txt, which is not declared" in error.message
    assert "code: [settings/depth.txt, train.py]" in error.hint
    project.train(code=("settings/depth.txt", "train.py"))


def test_a_file_that_git_ignores_is_told_apart(project: Project) -> None:
    project.write(".gitignore", "local.cfg")
    project.write("local.cfg", "3")
    script(project, "open('local.cfg')")
    error = failure(project)
    assert error.code == "MLO1212" and "which is here but not in the repository" in error.message
    assert "git check-ignore -v" in error.hint


def test_a_tool_of_the_project_environment_can_be_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import venv

    venv.create(project.root / ".venv", symlinks=True)
    tool = project.root / ".venv/bin/launch"
    tool.write_text(f"#!{project.root}/.venv/bin/python\nimport runpy, sys\nrunpy.run_path(sys.argv[1])\n")
    tool.chmod(0o755)
    project.write(".gitignore", ".venv")
    project.write("bin/data-thief", "#!/bin/sh\ncat $0")
    monkeypatch.setenv("PATH", f"{project.root}/.venv/bin:{project.root}/bin:{os.environ['PATH']}")
    script(
        project,
        f"open(out + '/x', 'w').write('y')\ntry: open('{project.root}/bin/data-thief'); print('FOUND')\nexcept OSError: pass",
    )
    project.train(run="launch train.py", produces="files")
    assert "FOUND" not in project.log.read_text()


def test_a_module_imported_by_a_made_up_name_is_named_too(project: Project) -> None:
    project.write("plugins/fast.py", "")
    script(project, "import importlib\nname = 'fast'\nimportlib.import_module('plugins.' + name)")
    error = failure(project)
    assert error.code == "MLO1212" and "plugins/**" in error.message


def test_a_program_that_is_not_installed_is_named(project: Project) -> None:
    assert failure(project, run="no-such-trainer --fast").code == "MLO1209"
    assert failure(project, run="./not-built").code == "MLO1211"


def test_a_killed_trainer_is_not_called_a_bug(project: Project) -> None:
    script(project, "import signal\nos.kill(os.getpid(), signal.SIGKILL)")
    error = failure(project)
    assert error.code == "MLO1221" and "most likely memory ran out" in error.message


def test_the_memory_limit_holds(project: Project) -> None:
    script(project, "block = bytearray(400 << 20)" + ONNX_SCRIPT)
    limited = local.Resources(memory=300 << 20, cpu=1)
    assert "MemoryError" in failure(project, resources=limited).hint


def test_the_processor_limit_holds(project: Project) -> None:
    script(project, "print('cores', len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])" + ONNX_SCRIPT)
    project.train(resources=local.Resources(cpu=1))
    assert "cores 1 1" in project.log.read_text()


def test_the_cards_of_a_step_are_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process may see; a step that says nothing about cards sees what this process does."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    script(project, "print('cards', repr(os.environ['CUDA_VISIBLE_DEVICES']))" + ONNX_SCRIPT)
    context = project.context()._replace(cards=("1", "2"))
    monkeypatch.setattr(project, "context", lambda: context)
    for resources, seen in ((local.Resources(gpu=2), "1,2"), (local.Resources(cpu=1), "0,1,2")):
        shutil.rmtree(context.scratch)
        context.scratch.mkdir()
        project.train(resources=resources)
        assert f"cards '{seen}'" in project.log.read_text()


def test_a_gigabyte_of_output_neither_hangs_nor_fills_the_disk(project: Project) -> None:
    script(
        project,
        "line = b'x' * 1023 + b'\\n'\n"
        "for _ in range(1 << 20): os.write(1, line)\nprint('the end', flush=True)" + ONNX_SCRIPT,
    )
    project.train()
    assert project.log.stat().st_size < 5 << 20
    text = project.log.read_text()
    assert "bytes left out" in text and text.rstrip().endswith("the end")


def test_a_file_that_is_saved_meanwhile_is_noticed(project: Project) -> None:
    script(project, ONNX_SCRIPT)
    want, context = project.resource(run="python train.py"), project.context()
    local.sources(want, context.tree)
    script(project, ONNX_SCRIPT + "# saved after the plan was made")
    with pytest.raises(ProviderError) as caught:
        local.apply(want, project.inputs(want), context)
    assert caught.value.code == "MLO1225"


def test_a_machine_that_is_out_of_room_is_no_bug(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from mlopsctl.providers.train import workplace

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    script(project, ONNX_SCRIPT)
    monkeypatch.setattr(workplace, "run_logged", full)
    error = failure(project)
    assert error.code == "MLO1223" and "No space left" in error.message and "df -h" in error.hint


def test_data_among_the_code_is_refused(project: Project) -> None:
    script(project, ONNX_SCRIPT)
    error = failure(project, code=("**/*.csv", "train.py"))
    assert error.code == "MLO1210" and "{data.rows}" in error.hint


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
    assert failure(project, produces="files").code == "MLO1213"


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
