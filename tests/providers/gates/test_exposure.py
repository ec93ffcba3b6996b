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
  again: {path: new.csv, label: y, split: {test: all}}
  less: {path: new.csv, label: y, split: {test: 0.1}}
  more: {path: new.csv, label: y, split: {test: 0.3}}
  seed: {path: new.csv, label: y, split: {test: 0.1, seed: 1}}
  keyed: {path: new.csv, label: y, split: {test: 0.1, key: id}}
  folder: {path: lot}
  inside: {path: lot/some.csv, label: y}
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


@pytest.mark.parametrize("data", ["again", "more", "seed", "keyed"])
def test_another_dataset_of_the_same_file_is_no_way_around(data: str) -> None:
    with pytest.raises(ManifestError, match=r"data\.new, of which it is given rows, is read from the same place"):
        load(data, "test")


def test_a_file_of_a_folder_that_was_trained_on_is_no_way_around() -> None:
    text = MANIFEST.replace("data: new", "data: folder").replace("DATA", "inside").replace("VIEW", "test")
    with pytest.raises(ManifestError, match=r"data\.folder, of which it is given rows"):
        load_manifest(text.encode())


def test_rows_that_another_step_chooses_by_are_no_way_around() -> None:
    text = MANIFEST.replace("data: new}", "data: fresh2, validation: chosen}").replace("VIEW", "test")
    more = "  fresh2: {path: f.csv, label: y}\n  chosen: {path: val.csv, label: y, split: none}\n"
    more += "  judge: {path: val.csv, label: y, split: {test: all}}\ntrain:"
    with pytest.raises(ManifestError, match=r"holds the rows that train\.tuned was chosen by; data\.chosen, of which"):
        load_manifest(text.replace("train:", more, 1).replace("DATA", "judge").encode())


@pytest.mark.parametrize(
    ("data", "view"), [("new", "test"), ("old", "test"), ("fresh", "all"), ("fresh", "test"), ("less", "test")]
)
def test_rows_set_aside_are_taken(data: str, view: str) -> None:
    load(data, view)
