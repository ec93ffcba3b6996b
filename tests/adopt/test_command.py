from __future__ import annotations

import pytest

from mlopsctl.adopt.command import as_run, doubled, read_line
from mlopsctl.adopt.proposal import NotUnderstood


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("python train.py --lr 0.1", (("python", "train.py", "--lr", "0.1"),)),
        ("mkdir -p out && cp a out/", (("mkdir", "-p", "out"), ("cp", "a", "out/"))),
        ("python a.py\npython b.py  # the second", (("python", "a.py"), ("python", "b.py"))),
        ("python a.py \\\n   --x 1", (("python", "a.py", "--x", "1"),)),
        ("echo 'a && b | $c' \"d;e\"", (("echo", "a && b | $c", "d;e"),)),
        (".venv/bin/python3.11 train.py", (("python", "train.py"),)),
        (r"echo a\ b\|c", (("echo", "a b|c"),)),
    ],
)
def test_a_line_without_a_shells_own_words_is_commands(text: str, commands: tuple[tuple[str, ...], ...]) -> None:
    assert read_line(text).commands == commands


def test_variables_before_a_command_are_its_environment() -> None:
    line = read_line("SEED=1 python a.py && SEED=1 MODE='x y' python b.py")
    assert line.env == {"SEED": "1", "MODE": "x y"} and len(line.commands) == 2
    with pytest.raises(NotUnderstood, match="SEED"):
        read_line("SEED=1 python a.py && SEED=2 python b.py")


@pytest.mark.parametrize(
    "text",
    ["a | b", "a > b", "a; b", "a & b", "echo $HOME", 'echo "$HOME"', "echo `date`", "cp *.csv x", "(a)", "cd x && a",
     "ls ~", "a 'open", "", "export A=1"],
)  # fmt: skip
def test_what_only_a_shell_can_do_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        read_line(text)


def test_words_come_back_as_they_were() -> None:
    words = ("python", "a b.py", "it's", doubled("{x}"), "{params.lr}")
    assert as_run(words) == "python 'a b.py' 'it'\"'\"'s' {{x}} {params.lr}"
