"""What of a person is struck out before it is signed for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.personal import Machine, claims, struck, without_persons

HERE = Machine("/srv/people/jane", "jane-laptop")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("asked for by jane.roe+ml@mail.example.org, twice", "asked for by ***, twice"),
        ("/home/jane/models/m.onnx", "~/models/m.onnx"),
        ("in /Users/Jane Roe", "in ~ Roe"),
        (r"C:\Users\jane\m.onnx", r"~\m.onnx"),
        ("/srv/people/jane/m.onnx", "~/m.onnx"),
        ("/srv/people/janet/m.onnx", "/srv/people/janet/m.onnx"),
        ("accuracy 0.93 @ 360 rows, user@host", "accuracy 0.93 @ 360 rows, user@host"),
        ("https://models.example/m.onnx", "https://models.example/m.onnx"),
        ("jane-laptop is down", "jane-laptop is down"),
    ],
)
def test_addresses_and_home_folders_are_struck_out(text: str, left: str) -> None:
    assert struck(text, HERE) == left


def test_a_machines_name_is_struck_out_of_prose_only() -> None:
    facts = {"reason": "jane-laptop is down", "metric": "jane-laptop", "endpoint": "http://jane-laptop:80", "n": 3}
    found = without_persons(facts, HERE)
    assert found == {"reason": "*** is down", "metric": "jane-laptop", "endpoint": "http://***:80", "n": 3}


def test_lists_and_keys_are_looked_through_too() -> None:
    assert without_persons([{"a@b.example": ["x@y.example", 1, None, True]}]) == [{"***": ["***", 1, None, True]}]


@given(st.text())
def test_striking_twice_changes_nothing_more(text: str) -> None:
    once = struck(text, HERE, prose=True)
    assert struck(once, HERE, prose=True) == once


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"loss": "0.25", "n": 3, "ok": True, "nan": "NaN", "e": "-1e-3"}, None),
        ({"who": "Jane Roe"}, {}),
        ({"jane@example.org": 1, "": 1, "x" * 80: 1}, {}),
        ({"per": {"class": {"a": "0.5", "b": "Jane"}}, "list": [1, "2"], "mixed": [1, "Jane"]},
         {"per": {"class": {"a": "0.5"}}, "list": [1, "2"]}),
    ],
)  # fmt: skip
def test_of_claims_only_figures_under_plain_names_are_kept(said: dict[str, object], kept: object) -> None:
    assert claims(said) == (said if kept is None else kept)
