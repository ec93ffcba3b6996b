"""``plan``: what apply would do and why, and the exit codes that scripts read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from tests.cli.contract import follows
from tests.quickstart import BIN, must, shell

EDIT = "echo '# another line' >> train.py"


def test_nothing_to_do_is_one_line_and_exit_0(project: Path) -> None:
    assert "No changes: 5 resources are as the manifest says." in must("mlopsctl plan --detailed-exitcode", project)


def test_a_change_is_shown_with_its_reason_and_exit_2(project: Path) -> None:
    done = shell(f"{EDIT} && mlopsctl plan --detailed-exitcode", project)
    assert done.returncode == 2
    line = next(line for line in done.stdout.splitlines() if "train.classifier" in line)
    assert "retrain" in line and "train.py" in line
    assert shell("mlopsctl plan", project).returncode == 0


def test_a_name_or_a_glob_may_leave_the_section_out(project: Path) -> None:
    for option, pattern, names in (
        ("--target", "accuracy", {"data.digits", "train.classifier", "gates.accuracy"}),
        ("--target", "'acc*'", {"data.digits", "train.classifier", "gates.accuracy"}),
        ("--target", "'gates.acc?racy'", {"data.digits", "train.classifier", "gates.accuracy"}),
        ("--exclude", "'*c?u'", {"data.digits", "train.classifier", "gates.accuracy", "gates.scan"}),
    ):
        steps = json.loads(must(f"mlopsctl plan {option} {pattern} --format json", project))["steps"]
        assert {step["address"] for step in steps} == names, pattern
    assert "declares no 'nothing*'" in shell("mlopsctl plan --target 'nothing*'", project).stdout


def test_why_shows_every_input_old_and_new(project: Path) -> None:
    must("sed -i 's/metric: accuracy, min: 0.93/metric: f1, min: 0.9/' mlops.yaml", project)
    assert "metric: accuracy -> f1" not in must("mlopsctl plan", project)
    said = must("mlopsctl plan --why", project)
    assert "metric: accuracy -> f1" in said and "made from sha256:" in said
    assert "file train.py: " in said and "input data: train of data.digits: sha256:" in said


def test_a_step_is_made_anew_on_purpose(project: Path) -> None:
    said = must("mlopsctl plan --replace 'targets.*' --format json 2>/dev/null", project)
    actions = {step["address"]: step["action"] for step in json.loads(said)["steps"]}
    assert actions["targets.cpu"] == "replace" and actions["train.classifier"] == "noop"
    assert "1 to replace" in must("mlopsctl plan --replace cpu", project)
    done = shell("mlopsctl plan --replace targets.cup", project)
    assert done.returncode == 1 and "did you mean 'targets.cpu'?" in done.stdout


def test_a_bar_that_is_not_met_blocks_with_exit_4_and_says_what_would_help(project: Path) -> None:
    done = shell("sed -i 's/min: 0.93/min: 0.999/' mlops.yaml && mlopsctl plan --detailed-exitcode", project)
    assert done.returncode == 4
    assert "what would help" in done.stdout
    assert "No changes: 5 resources are as the manifest says, and gates.accuracy not passed." in done.stdout


def test_a_saved_plan_is_the_plan(project: Path) -> None:
    said = must(f"{EDIT} && mlopsctl plan -o next.plan", project)
    assert "saved: mlopsctl apply next.plan" in said
    saved = json.loads((project / "next.plan").read_text())
    assert saved["plan_digest"] == json.loads(must("mlopsctl plan --format json 2>/dev/null", project))["plan_digest"]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("mlopsctl plan --format yaml", 64, "MLO6401"),
        ("mlopsctl plan extra", 64, "MLO6400"),
        ("sed -i 's/cpu: {}/cpu: {modle: x}/' mlops.yaml && mlopsctl plan", 3, "did you mean 'model'?"),
        ("rm mlops.yaml && mlopsctl plan", 1, "mlopsctl init"),
    ],
)
def test_what_it_refuses(project: Path, line: str, code: int, words: str) -> None:
    done = shell(line, project)
    assert (done.returncode, words in done.stdout) == (code, True), done.stdout


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (".", "folder"),
        ("train.py/release.plan", "folder"),
        ("-", "--format json"),
        (".git/config", "git's own"),
        (".git/hooks/pre-commit", "git's own"),
        (".git/mlops/lock", "git's own"),
        ("inside/description", "git's own"),
        ("../apart/config", "git's own"),
    ],
)
def test_a_plan_that_cannot_be_saved_there_says_why(project: Path, place: str, word: str) -> None:
    must("ln -s .git inside && git init -q --bare ../apart", project)
    before = (project / ".git/config").read_bytes()
    for option in ("-o ", "--write json="):
        done = shell(f"mlopsctl plan {option}{place}", project)
        assert done.returncode == 64 and "MLO1072" in done.stdout and word in done.stdout, done.stdout
    assert (project / ".git/config").read_bytes() == before and not (project / "-").exists()


def test_a_partial_plan_says_what_it_is_about(project: Path) -> None:
    said = must("mlopsctl plan --target train.classifier", project)
    assert "gates.accuracy" not in said and "Partial: only train.classifier and what that needs; 3 resources" in said
    said = must("mlopsctl plan --exclude classifier", project)
    assert "left out: gates.accuracy (needs train.classifier)" in said


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        ("--target train.clasifier", "MLO1012", "did you mean 'train.classifier'"),
        ("--exclude 'trian.*'", "MLO1012", "it has data.digits"),
        ("--target train.classifier --exclude 'data.*'", "MLO6004", "needs data.digits"),
        ("--target 'data.*' --replace train.classifier", "MLO6004", "not named by --target"),
    ],
)
def test_a_pattern_that_names_nothing_is_an_error(project: Path, options: str, code: str, word: str) -> None:
    done = shell(f"mlopsctl plan {options}", project)
    assert done.returncode in (1, 64) and code in done.stdout and word in done.stdout


def test_a_partial_plan_is_saved_and_applied_as_it_is(project: Path) -> None:
    must("echo '# more' >> train.py && git commit -qam more && mlopsctl plan --target 'train.*' -o part.plan", project)
    said = must("mlopsctl apply part.plan", project)
    assert "1 applied" in said and "gates.accuracy" not in said
    assert "data.digits" in said and "3 to" not in said


def test_lost_outputs_are_found_by_a_look_and_made_again_when_needed(project: Path) -> None:
    assert "No drift: 5 resources" in must("mlopsctl plan --refresh-only --detailed-exitcode", project)
    must("rm -r .git/mlops/store/dirhash", project)
    assert "No changes" in must("mlopsctl plan --detailed-exitcode", project)
    done = shell("mlopsctl plan --refresh --detailed-exitcode --format json 2>/dev/null", project)
    steps = {step["address"]: step for step in follows("plan", done.stdout)["steps"]}
    assert done.returncode == 2 and steps["train.classifier"]["action"] == "read"
    assert "outputs lost: model;" in steps["train.classifier"]["reason"] and steps["data.digits"]["action"] == "noop"
    assert "0 applied" in must("mlopsctl apply -y --refresh", project)


def test_a_plan_that_only_looks_plans_nothing(project: Path) -> None:
    said = must(f"{EDIT} && mlopsctl plan --refresh-only -o look.plan", project)
    assert "No drift" in said and "retrain" not in said
    assert "only looked" in must("mlopsctl apply look.plan", project)
    done = shell("mlopsctl plan --refresh-only --replace train.classifier", project)
    assert done.returncode == 64 and "MLO6005" in done.stdout


def test_on_a_narrow_terminal_no_word_is_cut(project: Path) -> None:
    """A person's terminal of 70 columns; a pipe gets the lines as they are."""
    piped = must("mlopsctl plan", project)
    assert max(map(len, piped.splitlines())) > 70
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 70, 0, 0))
    command = [str(BIN / "mlopsctl"), "--no-color", "plan"]
    with subprocess.Popen(command, cwd=project, stdout=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux ends a terminal that nobody holds with EIO
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
    assert process.returncode == 0
    lines = shown.decode().replace("\r\n", "\n").splitlines()
    assert max(map(len, lines)) <= 70
    assert " ".join(lines).split() == piped.split()


def test_a_script_that_is_not_there_is_shown_with_its_place(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("python train.py", "python trian.py"))
    done = shell("mlopsctl plan", project)
    assert done.returncode == 1 and "error[MLO1203] mlops.yaml:" in done.stdout
