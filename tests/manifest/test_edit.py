"""A block is inserted and every other character stays."""

from __future__ import annotations

import pytest

from mlopsctl.manifest.edit import insert
from mlopsctl.manifest.yaml_positions import decode, read_yaml


def inserted(text: str) -> str:
    found = insert(text.encode(), "gates", "new", "metric: f1").decode()
    source, findings = decode(found.encode(), "f")
    node = read_yaml(source, findings).get("gates")
    findings.close()
    assert node is not None and list(node.value)[-1] == "new"
    return found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\n", "a: 1\ngates:\n  new: {metric: f1}\n"),
        ("a: 1\n\n\n", "a: 1\ngates:\n  new: {metric: f1}\n"),
        ("a: 1", "a: 1\ngates:\n  new: {metric: f1}\n"),
        ("gates:\na: 1\n", "gates:\n  new: {metric: f1}\na: 1\n"),
        ("gates: {}   # none yet\n", "gates: {new: {metric: f1}}   # none yet\n"),
        ("gates: {x: {a: 1}}\n", "gates: {x: {a: 1}, new: {metric: f1}}\n"),
        ("gates: {x: {a: 1}, }\n", "gates: {x: {a: 1}, new: {metric: f1}}\n"),
        (
            "gates:\n    x:  # why\n        a: 1  # because\n\n# next\nb: 2\n",
            "gates:\n    x:  # why\n        a: 1  # because\n    new: {metric: f1}\n\n# next\nb: 2\n",
        ),
        ("gates:\n  x:\n", "gates:\n  x:\n  new: {metric: f1}\n"),
        ("gates:\n  x: {a: [1,\n    2]}\nb: 2\n", "gates:\n  x: {a: [1,\n    2]}\n  new: {metric: f1}\nb: 2\n"),
        (
            "gates:\n  x:\n    run: |\n      a\n      b\nb: 2\n",
            "gates:\n  x:\n    run: |\n      a\n      b\n  new: {metric: f1}\nb: 2\n",
        ),
        ("gates:\r\n  x: {}\r\n", "gates:\r\n  x: {}\r\n  new: {metric: f1}\r\n"),
        ("gates:\n  x: 'ä'\n", "gates:\n  x: 'ä'\n  new: {metric: f1}\n"),
    ],
)
def test_a_block_is_written_where_a_person_would(before: str, after: str) -> None:
    assert inserted(before) == after
