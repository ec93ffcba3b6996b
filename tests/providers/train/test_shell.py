"""``shell: true``: a script of sh, in which no value is ever read as code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopsctl.adapters.argv import in_quotes
from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import result_fields
from mlopsctl.providers.train import local
from mlopsctl.providers.train.shell import commands_in

from .conftest import ONNX_SCRIPT, Project

SCRIPT = "import os, sys\nout = os.environ['MLOPS_OUT']\nprint(sys.argv[1:])" + ONNX_SCRIPT


def test_a_shell_runs_the_command_only_where_it_is_asked_for(project: Project) -> None:
    project.write("train.py", SCRIPT)
    line = "export WORD=two; python train.py $WORD | tee said.txt && test -s {out}/model.onnx && echo 'all done'"
    project.train(run=line, shell=True)
    said = project.log.read_text()
    assert "['two']" in said and said.rstrip().endswith("all done")
    # The same words without a shell are arguments of a program that is not there.
    with pytest.raises(ProviderError, match="no such program on PATH"):
        project.train(run=line)


@pytest.mark.parametrize(
    "value",
    [
        "two words",
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "' touch pwned '",
        '" touch pwned "',
        "*",
        "a\nb",
        "-n",
    ],
)
def test_a_value_is_one_word_and_never_code(project: Project, value: str) -> None:
    project.write("train.py", SCRIPT)
    project.train(
        run="python train.py {params.name} x{params.name}y && if test -e pwned; then exit 9; fi",
        shell=True,
        params={"name": value},
    )
    assert str([value, f"x{value}y"]) in project.log.read_text()


def test_the_first_command_that_fails_ends_it(project: Project) -> None:
    project.write("train.py", SCRIPT)
    with pytest.raises(ProviderError, match="exited with status 1"):
        project.train(run="false\npython train.py", shell=True)


def test_its_python_is_the_one_of_other_commands(project: Project) -> None:
    project.write("train.py", "import sys\nprint(sys.executable)\n" + SCRIPT)
    project.train(run="python train.py")
    plain = project.log.read_text().splitlines()[0]
    project.train(run="true && python train.py", shell=True)
    assert project.log.read_text().splitlines()[0] == plain


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("python a.py && python b.py", [["python", "a.py"], ["python", "b.py"]]),
        ("LR=1 python a.py > out.txt", [["python", "a.py"], ["out.txt"]]),
        ("if test -e x; then python a.py; fi", [["test", "-e", "x"], ["python", "a.py"], ["fi"]]),
        ("# don't\npython a.py \\\n  --lr 1", [["python", "a.py", "--lr", "1"]]),
        ("(cd src; python a.py)", [["cd", "src"], ["python", "a.py"]]),
        ("cat <<END\ndon't\nEND", [["cat", "<<END", "don't", "END"]]),
    ],
)
def test_its_commands_are_found_to_look_for_code_in(text: str, commands: list[list[str]]) -> None:
    assert commands_in(text) == commands


def test_the_code_of_every_command_counts(project: Project) -> None:
    for name, body in (("prepare.py", "import helper"), ("helper.py", ""), ("train.py", SCRIPT), ("other.py", "")):
        project.write(name, body)
    want = project.resource(run="python prepare.py && LR=1 python train.py", shell=True)
    assert {"prepare.py", "helper.py", "train.py"} <= set(local.sources(want, project.tree))
    assert "other.py" not in local.sources(want, project.tree)


def test_it_enters_the_fingerprint_and_the_plan_shows_it(project: Project) -> None:
    plain, shell = (project.resource(run="python train.py && true", shell=one) for one in (False, True))
    assert result_fields(plain.spec) != result_fields(shell.spec)
    assert "shell" not in result_fields(plain.spec)
    assert local.notes(shell, ()) == ("runs in a shell: python train.py && true",)
    assert local.notes(plain, ()) == ()


def test_the_plan_shows_a_script_line_by_line(project: Project) -> None:
    """In one line, a comment would seem to hold the commands after it."""
    want = project.resource(run="# nothing to see\ntouch x\npython train.py\n", shell=True)
    assert local.notes(want, ()) == ("runs in a shell:", "| # nothing to see", "| touch x", "| python train.py")


def test_a_failed_script_is_named_by_its_first_line(project: Project) -> None:
    project.write("train.py", "")
    with pytest.raises(ProviderError) as caught:
        project.train(run="cd .\nexit 3\n", shell=True)
    assert caught.value.message == "'cd . …' exited with status 3"


def manifest(run: str, more: str = "") -> bytes:
    return f"""\
apiVersion: mlopsctl/v1
project: {{name: x}}
data:
  rows: {{path: rows.csv, label: y, split: {{test: 0.2, key: id}}}}
train:
  scorer: {{run: {json.dumps(run)}{more}}}
""".encode()


def test_a_command_that_needs_a_shell_is_told_the_key() -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(manifest("python a.py && python b.py"))
    assert caught.value.code == "MLO3022"
    assert "shell: true" in caught.value.hint
    assert load_manifest(manifest("python a.py && python b.py", ", shell: true")).resources[1].spec.shell


@pytest.mark.parametrize(
    ("run", "hint"),
    [
        ("echo ${HOME}", "write {{HOME}} for the braces"),
        ("f() { echo; }", "write {{ echo; }} for the braces"),
        ("echo {uot}", "did you mean 'out'?"),
    ],
)
def test_braces_of_the_shell_are_told_from_a_slip(run: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(manifest(run, ", shell: true"))
    assert caught.value.code == "MLO3021"
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "run",
    [
        'python a.py "{out}/x"',
        'echo "a b" && python a.py "$X {data.rows}"',
        "python a.py \\{out}",
        "cat <<END\nto {out}\nEND\npython a.py",
    ],
)
def test_a_placeholder_stands_outside_of_quotation_marks(run: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(manifest(run, ", shell: true"))
    assert caught.value.code == "MLO3036"


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("echo X", False),
        ("echo 'X'", True),
        ('echo "X"', True),
        ("echo 'a' X", False),
        ("echo \\'X", False),
        ('echo "a\\"X"', True),
        ("echo 'a\\' X", False),
        ("# don't\nX", False),
        ("# don't X", False),
        ("a#'X", True),
        ("echo \\X", True),
        ("echo \\\\X", False),
        ("cat <<END\ndon't\nEND\necho X", False),
        ("cat <<END X\nEND", False),
        ("cat <<END\nX\nEND", True),
        ("cat <<-'END'\n\tX\n\tEND", True),
        ("cat <<A <<B\nA\nX\nB\n", True),
        ("cat <<A <<B\nA\nB\nX", False),
        ("echo $((1<<2))\nX", False),
    ],
)
def test_what_lies_between_quotation_marks(text: str, inside: bool) -> None:
    assert in_quotes(text, text.index("X")) is inside


def test_a_shell_agrees_on_quotation_marks(tmp_path: Path) -> None:
    """Where it says outside, a placeholder's own marks keep a value whole."""
    import subprocess

    for text in ("printf %s X", "printf %s 'a'X", "printf %s \\'X", "# don't\nprintf %s X"):
        script = text.replace("X", '"${V}"')
        done = subprocess.run(["sh", "-c", script], env={"V": "a  *"}, cwd=tmp_path, capture_output=True, check=True)
        assert b"a  *" in done.stdout, text
