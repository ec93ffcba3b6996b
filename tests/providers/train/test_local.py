"""A training command runs on its code and its rows, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.providers.train import local
from mlopsctl.types import Address, Need

from .conftest import ONNX_SCRIPT, Project


def test_the_quickstart_trains_twice_to_the_same_bytes(quickstart: Project) -> None:
    header, *rows = (quickstart.root / "data/digits.csv").read_text().splitlines(keepends=True)
    view = header + "".join(row for number, row in enumerate(rows) if number % 5)
    want = quickstart.resource(run="python train.py")
    columns = header.strip().split(",")
    inputs = quickstart.inputs(want, train=view, path="data/digits.csv", label="digit", features=columns[:-1])

    first, second = (quickstart.train(inputs) for _ in range(2))

    models = [Path(str(outcome.outputs["model"])) / "model.onnx" for outcome in (first, second)]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert first.facts["kind"] == "onnx" and first.facts["opset"] == 17 and first.facts["ir"] <= 10
    assert first.facts["inputs"] == [{"name": "pixels", "dtype": "float32", "shape": [None, 64]}]
    assert first.facts["outputs"] == [{"name": "probabilities", "dtype": "float32", "shape": [None, 10]}]
    assert first.facts["usage"]["max_rss_bytes"] > 10 << 20
    assert {"python", "numpy", "onnx", "platform"} <= set(first.made_with)
    assert any("epoch" in line for line in quickstart.told)
