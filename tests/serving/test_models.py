"""Models of several runtimes and shapes, loaded as the server loads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlopsctl.serving.artifact import ArtifactRefused, read_artifact
from mlopsctl.serving.models import load, zeros

from .conftest import artifact


def test_a_small_model_answers_on_the_event_loop(tmp_path: Path) -> None:
    model = load(read_artifact(artifact(tmp_path / "a", slope=2.0)))
    assert model.inline
    assert model.run({"x": np.ones((3, 2), np.float32)}, ["y"])["y"].tolist() == [[4.0]] * 3


def test_scikit_learns_list_of_maps_becomes_a_table(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows = np.array([[0, 0], [1, 1], [0, 1], [1, 0]], dtype=np.float32)
    fitted = LogisticRegression().fit(rows, ["no", "yes", "no", "yes"])
    folder = artifact(tmp_path / "a")
    (folder / "model.onnx").write_bytes(to_onnx(fitted, rows[:1], target_opset=17).SerializeToString())
    model = load(read_artifact(folder))
    assert [(port.name, port.datatype) for port in model.outputs] == [
        ("output_label", "BYTES"),
        ("output_probability", "FP32"),
    ]
    found = model.run({model.inputs[0].name: rows}, [port.name for port in model.outputs])
    assert found["output_label"].tolist() == fitted.predict(rows).tolist()
    assert np.allclose(found["output_probability"], fitted.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": 2}, "knows format 1"),
        ({"model": "../model.onnx"}, "outside its folder"),
        ({"model": "other.onnx"}, "cannot load"),
        ({"runtime": "magic"}, "no runtime 'magic'"),
        ({"runtime": "program"}, "no 'predict' command"),
        ({"name": None, "runtime": None, "inputs": 3}, "incomplete"),
    ],
)
def test_what_is_wrong_with_an_artifact_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    folder = artifact(tmp_path / "a", **changed)
    with pytest.raises(ArtifactRefused, match=message):
        load(read_artifact(folder))


def test_a_folder_without_a_description_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match="holds no artifact.json"):
        read_artifact(tmp_path)
    (tmp_path / "artifact.json").write_text("{")
    with pytest.raises(ArtifactRefused, match="no JSON"):
        read_artifact(tmp_path)


def test_zeros_fill_free_dimensions_with_one(tmp_path: Path) -> None:
    inputs = [{"name": "a", "dtype": "int64", "shape": [None, 3]}, {"name": "s", "dtype": "string", "shape": [None]}]
    made = read_artifact(artifact(tmp_path / "a", inputs=inputs))
    found = zeros(made.inputs)
    assert found["a"].shape == (1, 3) and found["a"].dtype == np.int64
    assert found["s"].tolist() == [""]
    assert json.loads((made.folder / "artifact.json").read_text())["inputs"] == inputs
