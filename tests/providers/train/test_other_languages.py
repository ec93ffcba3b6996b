"""Trainers that are not Python: C++ writes a real ONNX model, Java a model of its own with the program that answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlopsctl.errors import ProviderError

from .conftest import Project

TRAINERS = Path(__file__).parent / "trainers"
ROWS = "a,b,label\n" + "".join(f"{n / 10},{n / 10},0\n{3 + n / 10},{2 + n / 10},1\n" for n in range(10))


@pytest.fixture
def trainers(project: Project) -> Project:
    for path in TRAINERS.iterdir():
        shutil.copy(path, project.root)
    return project


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")
def test_a_trainer_in_cpp_writes_onnx(trainers: Project) -> None:
    keys = {"run": ("g++ -O1 -o trainer train.cpp", "./trainer"), "code": ("*.cpp", "*.h")}
    want = trainers.resource(**keys)
    outcome = trainers.train(trainers.inputs(want, train=ROWS), **keys)
    assert outcome.facts["kind"] == "onnx" and outcome.facts["opset"] == 17
    assert outcome.facts["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 2]}]
    assert trainers.log.read_text() == "20 rows\n"

    import numpy as np

    from mlopsctl.adapters.inference import run_model

    rows = np.array([[0.2, 0.1], [3.5, 2.5]], np.float32)
    answers = run_model(Path(str(outcome.outputs["model"])) / "model.onnx", {"x": rows})["p"]
    assert answers.argmax(axis=1).tolist() == [0, 1]


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")
def test_a_header_that_is_not_declared_is_named(trainers: Project) -> None:
    with pytest.raises(ProviderError) as caught:
        trainers.train(run=("g++ -O1 -o trainer train.cpp", "./trainer"))
    assert caught.value.code == "MLO1212"
    assert "code: [onnx_writer.h, train.cpp]" in caught.value.hint


@pytest.mark.skipif(
    shutil.which("javac") is None, reason="javac is not installed: apt-get install default-jdk-headless"
)
def test_a_trainer_in_java_brings_its_own_model_and_program(trainers: Project) -> None:
    keys = {
        "run": ("javac -d {out} Train.java Predict.java", "java -cp {out} Train"),
        "predict": "java -cp {model} Predict {model}",
    }
    want = trainers.resource(**keys)
    outcome = trainers.train(trainers.inputs(want, train=ROWS), **keys)
    assert outcome.facts["kind"] == "opaque"
    assert "20 rows\n" in trainers.log.read_text()

    from mlopsctl.adapters.inference import run_program

    model = Path(str(outcome.outputs["model"]))
    assert run_program(outcome.facts["predict"], model, [{"a": 0.1, "b": 0}, {"a": 4.0, "b": 0}]) == [0, 1]
