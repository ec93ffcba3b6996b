"""No gate measures on rows that its model was trained on."""

from __future__ import annotations

import pytest

from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest

MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: p}
data:
  old: {path: old.csv, label: y}
  new: {path: new.csv, label: y}
  fresh: {path: fresh.csv, label: y, split: {test: all}}
train:
  base: {run: python base.py, data: old}
  tuned: {run: "python tune.py {train.base}", data: new}
gates:
  good: {metric: accuracy, min: 0.9, model: tuned, data: DATA, view: VIEW}
"""


def load(data: str, view: str) -> None:
    load_manifest(MANIFEST.replace("DATA", data).replace("VIEW", view).encode())


@pytest.mark.parametrize("data", ["new", "old"])
def test_all_rows_of_training_data_are_refused_through_any_step(data: str) -> None:
    with pytest.raises(ManifestError, match=rf"view: all of data\.{data} holds the rows that train\.tuned") as caught:
        load(data, "all")
    assert caught.value.code == "MLO1319"


@pytest.mark.parametrize(("data", "view"), [("new", "test"), ("old", "test"), ("fresh", "all"), ("fresh", "test")])
def test_rows_set_aside_are_taken(data: str, view: str) -> None:
    load(data, view)
