"""The living lines of running steps on a terminal."""

from __future__ import annotations

import io
import re

import pytest

from mlopsctl.cli.board import Board
from mlopsctl.cli.progress import Printer
from mlopsctl.types import Address
from mlopsctl.workshop import Event


def screen(text: str) -> list[str]:
    """What a terminal shows after this output: lines, for the two codes that the board uses."""
    lines = [""]
    for part in re.split(r"(\x1b\[\d+F|\x1b\[J|\n)", text):
        if part == "\n":
            lines.append("")
        elif up := re.fullmatch(r"\x1b\[(\d+)F", part):
            del lines[len(lines) - int(up[1]) :]
            lines[-1] = ""
        elif part != "\x1b[J":
            lines[-1] += part
    return lines


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def board(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Board:
    """Nothing is redrawn behind the test's back."""
    monkeypatch.setattr(Board, "_redraw", lambda self: None)
    return Board(stream)


def shown(stream: io.StringIO) -> list[str]:
    return [re.sub(r"\s+", " ", line).strip() for line in screen(stream.getvalue())]


def test_a_line_a_step_and_what_stays_above(board: Board, stream: io.StringIO) -> None:
    board.start("train.a", "create")
    board.start("train.b", "create")
    board.say("train.b", "epoch 3")
    board.say("train.c", "nobody knows this one")
    board.above(["✓ done data.rows"])
    assert shown(stream) == ["✓ done data.rows", "… train.a 0s create", "… train.b 0s epoch 3", ""]
    board.end("train.a")
    board.above(["✓ done train.a"])
    assert shown(stream) == ["✓ done data.rows", "✓ done train.a", "… train.b 0s epoch 3", ""]


def test_nothing_is_drawn_where_nothing_changed(board: Board, stream: io.StringIO) -> None:
    board.start("train.a", "create")
    before = stream.getvalue()
    board.draw()
    assert stream.getvalue() == before


def test_more_steps_than_lines_are_counted(board: Board, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopsctl.cli.board._height", lambda stream: 6)
    for number in range(5):
        board.start(f"train.m{number}", "create")
    assert shown(stream) == ["… train.m0 0s create", "… train.m1 0s create", "… and 3 more", ""]


def test_elsewhere_each_step_may_say_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer("text")
    for line in ("epoch 1", "epoch 2"):
        printer.tell(Address("train", "a"), line)
        printer.tell(Address("train", "b"), line)
    printer.event(Event("interrupted", "train.a", text="was interrupted after 12 m"))
    said = capsys.readouterr().err
    assert said.count("epoch 1") == 2 and "epoch 2" not in said
    assert "! before    train.a  was interrupted after 12 m" in re.sub(r" {2,}", lambda m: m[0], said)
