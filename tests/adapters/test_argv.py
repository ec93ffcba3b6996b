"""The words of a command: braces, the model's folder, and the Python that is meant."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.adapters.argv import fill_model, find_python, split_words
from mlopsctl.adapters.inference import run_program
from mlopsctl.serving.artifact import Artifact
from mlopsctl.serving.program import ProgramModel

ECHO = "import json, sys\nfor line in sys.stdin: print(json.dumps(sys.argv[1:]), flush=True)\n"


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("{model}/x", "/m/x"),
        ("{{model}}", "{model}"),
        ("{{{model}}}", "{/m}"),
        ('{{"temperature": 0}}', '{"temperature": 0}'),
        ("plain", "plain"),
    ],
)
def test_doubled_braces_are_braces(word: str, filled: str) -> None:
    assert fill_model([word], Path("/m")) == [filled]


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine as bare Debian is: PATH holds no ``python``."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)


def environment(folder: Path) -> Path:
    """A virtual environment whose Python can be told from others by its path."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    return folder


@pytest.mark.usefixtures("no_python")
def test_python_is_the_projects_then_the_active_one_then_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_python("python", tmp_path) == sys.executable == find_python("python3", None)
    active = environment(tmp_path / "active")
    monkeypatch.setenv("VIRTUAL_ENV", str(active))
    assert find_python("python", tmp_path) == str(active / "bin" / "python")
    own = environment(tmp_path / ".venv")
    assert find_python("python", tmp_path) == str(own / "bin" / "python")
    assert find_python("java", tmp_path) is None is find_python("python3.99", tmp_path)


@pytest.mark.usefixtures("no_python")
def test_gates_and_server_start_the_same_words(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "echo.py").write_text(ECHO)
    words = ["python", "{model}/echo.py", "{{model}}", "{model}"]
    expected = ["{model}", str(model.resolve())]
    assert run_program(words, model, [{"a": 1}]) == [expected]
    artifact = Artifact(model, "echo", "program", model, (), (), (), tuple(words), {})
    served = ProgramModel(artifact)
    try:
        assert served._exchange([b'{"a": 1}']) == [expected]
    finally:
        served.close()


@given(st.text(st.sampled_from(list("ab{}.#=\\'\" \t\r\n\x0b\u00a0é"))), st.booleans())
def test_commands_are_split_as_the_standard_library_does(text: str, posix: bool) -> None:
    try:
        expected = shlex.split(text, posix=posix)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            split_words(text, posix=posix)
        return
    assert split_words(text, posix=posix) == expected
