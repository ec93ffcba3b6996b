"""The command line: help that is quick, errors that help, exit codes that hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.cli.verb_table import GROUPS, VERBS


def mlopsctl(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlopsctl", *args], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_version() -> None:
    from mlopsctl import __version__

    done = mlopsctl("--version")
    assert (done.returncode, done.stdout) == (0, f"mlopsctl {__version__}\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["valdate"], "Did you mean 'validate'?"),
        (["plan", "--nonsense"], "No such option '--nonsense'"),
        (["plan", "--format", "xml"], "--format xml is not written here"),
        (["-C", "/does/not/exist", "plan"], "No such file or directory"),
        ([], "Usage: mlopsctl"),
    ],
)
def test_wrong_use_exits_64_and_says_how(args: list[str], words: str) -> None:
    done = mlopsctl(*args)
    assert done.returncode == 64
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_verb() -> None:
    shown = mlopsctl("--help").stdout
    for name in (*VERBS, *GROUPS):
        assert f"  {name} " in shown


def test_outside_a_repository_one_message_with_the_fix(tmp_path: Path) -> None:
    done = mlopsctl("plan", cwd=tmp_path)
    assert done.returncode == 1
    assert "is in no git repository" in done.stderr and "git init" in done.stderr


@pytest.mark.parametrize(
    "verb", [[name] for name in VERBS] + [[g, v] for g, (_, verbs) in GROUPS.items() for v in verbs]
)
def test_every_verb_has_help_with_an_example(verb: list[str]) -> None:
    done = mlopsctl(*verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"mlopsctl {' '.join(verb)}" in done.stdout.split("Usage:")[1].split("\n", 1)[1]


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_caller_may_close_standard_streams(closed: str, tmp_path: Path) -> None:
    """Nothing that is opened later has the number of one, and what is printed there goes nowhere."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    line = f'exec "$0" -m mlopsctl plan {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "" if "2>" in closed else "is in no git repository" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("repro", "mlopsctl apply"),
        ("state", "mlopsctl status"),
        ("apply --auto-approve", "fix: -y"),
        ("apply --dry-run", "mlopsctl plan shows what apply would do"),
        ("plan -target=train.a", "two dashes: --target"),
        ("plan train.a", "--target train.a"),
        ("apply train.a", "--target train.a"),
        ("diff main HEAD", "mlopsctl diff A..B"),
    ],
)
def test_what_other_tools_call_otherwise_is_said(line: str, words: str) -> None:
    done = mlopsctl(*line.split())
    assert done.returncode == 64 and words in done.stderr, done.stderr


def test_every_habit_is_answered_with_verbs_and_options_that_there_are() -> None:
    """And what has a name here needs no hint."""
    from mlopsctl.cli.habits import OPTIONS
    from mlopsctl.cli.habits import VERBS as HABITS

    known = {*VERBS, *GROUPS}
    shown = "".join(mlopsctl(verb, "--help").stdout for verb in ("plan", "apply"))
    assert not known & set(HABITS)
    for hint in (*HABITS.values(), *OPTIONS.values()):
        assert set(re.findall(r"mlopsctl ([a-z]+)", hint)) <= known, hint
        options = re.findall(r"(?<!\w)--?[a-z][a-z-]*", hint)
        assert all(re.search(rf"(?<![\w-]){option}\b", shown) for option in options), hint
