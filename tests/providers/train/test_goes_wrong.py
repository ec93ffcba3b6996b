"""A trainer that goes wrong: what is said about it, and what it cannot do to the rest."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from mlopsctl.budgets import Resources
from mlopsctl.errors import ProviderError
from mlopsctl.providers.train import local

from .conftest import ONNX_SCRIPT, Project, failure, script


def test_exit_status_1_shows_the_last_lines(project: Project) -> None:
    script(project, "for n in range(100): print('line', n)\nsys.exit(1)")
    error = failure(project)
    assert error.code == "MLO1211"
    assert error.message == "'python train.py' exited with status 1"
    assert error.hint.startswith("all it printed: mlopsctl logs ")
    assert "\n  | line 85\n" in error.hint and error.hint.endswith("line 99")
    script(project, "sys.exit(2)")
    assert failure(project).hint.endswith("it printed nothing")


def test_a_module_that_is_nowhere_is_named(project: Project) -> None:
    script(project, "import no_such_module.inner")
    assert "neither the repository nor the command's python has no_such_module: " in failure(project).hint


def test_a_trainer_that_hangs_is_ended_with_its_children(project: Project) -> None:
    script(
        project,
        "import subprocess, time\nsubprocess.Popen(['sleep', '98765'])\nprint('waiting', flush=True)\ntime.sleep(99)",
    )
    error = failure(project, timeout=0.8)
    assert error.code == "MLO1216" and "after 0.8 s and" in error.message and "waiting" in error.hint
    until = time.monotonic() + 5
    while any(b"98765" in _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < until, "the trainer's child still runs"
        time.sleep(0.05)


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
    limited = Resources(memory=300 << 20, cpu=1)
    assert "MemoryError" in failure(project, resources=limited).hint


def test_the_processor_limit_holds(project: Project) -> None:
    script(project, "print('cores', len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])" + ONNX_SCRIPT)
    project.train(resources=Resources(cpu=1))
    assert "cores 1 1" in project.log.read_text()


def test_the_cards_of_a_step_are_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process may see; a step that says nothing about cards sees what this process does."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    script(project, "print('cards', repr(os.environ['CUDA_VISIBLE_DEVICES']))" + ONNX_SCRIPT)
    context = project.context()._replace(cards=("1", "2"))
    monkeypatch.setattr(project, "context", lambda: context)
    for resources, seen in ((Resources(gpu=2), "1,2"), (Resources(cpu=1), "0,1,2")):
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
