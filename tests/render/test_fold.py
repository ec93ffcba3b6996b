"""Lines on a narrow terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.render.fold import fold

ROW = "    gates.accuracy     unchanged  passed: accuracy 0.9731 [0.9497, 0.9858] on 335 rows, needs >= 0.93"


def test_a_row_goes_on_under_its_text() -> None:
    assert fold(ROW, 80) == [
        "    gates.accuracy     unchanged  passed: accuracy 0.9731 [0.9497, 0.9858] on",
        "                                  335 rows, needs >= 0.93",
    ]
    assert fold(ROW, 200) == [ROW]


def test_on_a_terminal_too_narrow_for_that_it_goes_on_at_the_left() -> None:
    first, *others = fold(ROW, 48)
    assert first == "    gates.accuracy     unchanged  passed:"
    assert all(line.startswith(" " * 8) and line[8] != " " for line in others)


def test_a_line_that_begins_far_to_the_right_goes_on_where_it_begins() -> None:
    note = " " * 34 + "resolves ±0.011 at 335 rows; ±0.005 needs about 1,500"
    first, second = fold(note, 60)
    assert [len(line) - len(line.lstrip()) for line in (first, second)] == [30, 30]


def test_colours_take_no_room() -> None:
    painted = f"\x1b[31m{ROW[:32]}\x1b[0m{ROW[32:]}"
    assert fold(painted, len(ROW)) == [painted]
    assert fold(painted, 80)[1] == fold(ROW, 80)[1]


def test_a_long_word_stays_whole() -> None:
    digest = "sha256:" + "0" * 64
    assert fold(f"  made from {digest} today", 40) == ["  made from", f"    {digest}", "    today"]


@given(st.text("ab \x1b[0m", max_size=200), st.integers(20, 90))
def test_no_word_is_lost_and_no_line_too_long(line: str, columns: int) -> None:
    found = fold(line, columns)
    assert " ".join(found).split() == line.split()
    words = max((len(word) for word in line.split()), default=0)
    assert all(len(part) <= columns + words for part in found)
