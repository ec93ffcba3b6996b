"""``moved:``: one step from a free name to a declared one, everything else is refused with its place."""

from __future__ import annotations

import pytest

from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest

BASE = """\
apiVersion: mlopsctl/v1
project: {name: small}
data:
  rows: {path: rows.csv, label: y}
train:
  new: {run: python train.py}
gates:
  good: {metric: accuracy, min: 0.5}
targets:
  cpu: {}
deployments:
  live: {target: cpu}
  own: {target: cpu, use: command, to: somewhere, program: p, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}
moved:
"""


def moved(*lines: str) -> dict[str, str]:
    found = load_manifest((BASE + "".join(f"  - {line}\n" for line in lines)).encode())
    return {str(new): str(old) for new, old in found.moved.items()}


def test_the_old_name_is_known_by_the_new_one() -> None:
    assert moved("{from: train.old, to: train.new}") == {"train.new": "train.old"}
    assert moved("{from: train.old, to: train.new}", "{from: gates.fine, to: gates.good}") == {
        "train.new": "train.old",
        "gates.good": "gates.fine",
    }
    assert moved("{from: deployments.old, to: deployments.live}") == {"deployments.live": "deployments.old"}


def test_every_instance_moves_along() -> None:
    text = BASE.replace("  rows: {path: rows.csv, label: y}", "  rows: {each: {of: [a, b]}, path: '{each.of}.csv'}")
    text = text.split("train:")[0] + "moved:\n  - {from: data.lines, to: data.rows}\n"
    found = load_manifest(text.encode()).moved
    assert {str(new): str(old) for new, old in found.items()} == {
        "data.rows[a]": "data.lines[a]",
        "data.rows[b]": "data.lines[b]",
    }


@pytest.mark.parametrize(
    ("lines", "code", "says"),
    [
        (["{from: train.old}"], "MLO1040", "'from' and 'to'"),
        (["{from: train.old, to: train.new, why: x}"], "MLO1040", "'from' and 'to'"),
        (["train.old"], "MLO1040", "'from' and 'to'"),
        (["{from: old, to: train.new}"], "MLO1040", "no address"),
        (["{from: [a], to: train.new}"], "MLO1040", "no address"),
        (["{from: data.old, to: train.new}"], "MLO1041", "two sections"),
        (["{from: train.new, to: train.new}"], "MLO1041", "to itself"),
        (["{from: train.old, to: train.nwe}"], "MLO1041", "not declared"),
        (["{from: train.a, to: train.new}", "{from: train.b, to: train.a}"], "MLO1041", "continues another move"),
        (["{from: train.a, to: train.new}", "{from: train.new, to: train.c}"], "MLO1041", "continues another move"),
        (["{from: train.a, to: train.new}", "{from: train.new, to: train.a}"], "MLO1041", "continues another move"),
        (["{from: train.a, to: train.new}", "{from: train.b, to: train.new}"], "MLO1041", "says again"),
        (["{from: gates.good, to: gates.good}"], "MLO1041", "to itself"),
    ],
)
def test_what_cannot_have_happened(lines: list[str], code: str, says: str) -> None:
    with pytest.raises(ManifestError) as caught:
        moved(*lines)
    found = [caught.value, *caught.value.others]
    assert any(one.code == code and says in one.message for one in found), found
    assert caught.value.where is not None and caught.value.where.line >= 14


def test_a_name_that_is_still_taken() -> None:
    text = BASE.replace("  new: {run", "  old: {run: python other.py, produces: files}\n  new: {run")
    with pytest.raises(ManifestError, match="still declared"):
        load_manifest((text + "  - {from: train.old, to: train.new}\n").encode())


def test_moved_must_be_a_list() -> None:
    with pytest.raises(ManifestError, match="must be a list"):
        load_manifest((BASE.replace("moved:\n", "moved: {a: b}\n")).encode())
