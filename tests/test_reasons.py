"""What a plan says of a change: old and new value where they are short, of parameters each one that differs."""

from __future__ import annotations

import pytest

from mlopsctl.manifest import load_manifest
from mlopsctl.reasons import in_words
from mlopsctl.types import Change, Json

MANIFEST = b"""
apiVersion: mlopsctl/v1
project: {name: small}
train:
  model: {run: python train.py, data: []}
"""


@pytest.mark.parametrize(
    ("field", "old", "new", "words"),
    [
        ("seed", 3, 7, "seed 3 -> 7"),
        ("seed", None, 7, "seed now 7"),
        ("seed", 7, None, "seed no longer 7"),
        ("shell", False, True, "shell false -> true"),
        ("threshold", {"float": "0.5"}, {"float": "0.25"}, "threshold 0.5 -> 0.25"),
        ("params", {"lr": {"float": "0.1"}, "depth": 3}, {"lr": {"float": "0.1"}, "depth": 4}, "params.depth 3 -> 4"),
        ("params", {"depth": 3}, None, "params.depth no longer 3"),
        ("params", None, {"depth": {"max": 3}}, "params changed"),
        ("params", {}, dict.fromkeys("abcde", 1), "params.a now 1, params.b now 1, params.c now 1, 2 more"),
        ("env", {"A": "x" * 41}, {"A": "y"}, "env changed"),
        ("run", "python a.py {train:0}", "python b.py", "run changed"),
        ("run", "first\nsecond", "first", "run changed"),
        ("by", ["a"], ["b"], "by changed"),
    ],
)
def test_a_short_value_is_told_and_a_long_one_is_not(field: str, old: Json, new: Json, words: str) -> None:
    want = load_manifest(MANIFEST).resources[0]
    assert in_words(want, (Change(field, old, new),), ()) == words
