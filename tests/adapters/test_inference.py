"""Models run in a process of their own: what they answer, and what happens when they are hostile or broken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.adapters.inference import inspect_model, run_fully, run_model, run_program
from mlopsctl.adapters.sandbox import strongest_mode
from mlopsctl.errors import ProviderError

from .onnx_models import linear, port, save

WEIGHTS = np.arange(6.0).reshape(3, 2)


def test_inspect_says_what_a_model_takes_and_gives(tmp_path: Path) -> None:
    found = inspect_model(linear(tmp_path, WEIGHTS, softmax=True, metadata={"classes": "[0, 1]"}))
    assert (found["opset"], found["ir"], found["nodes"]) == (17, 10, 2)
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 3]}]
    assert found["outputs"] == [{"name": "y", "dtype": "float32", "shape": [None, 2]}]
    assert found["ops"] == {"Gemm": 1, "Softmax": 1}
    assert found["metadata"] == {"classes": "[0, 1]"}
    assert found["size"] == (tmp_path / "model.onnx").stat().st_size


@pytest.mark.parametrize("batch", ["N", 1, 7, 4096])
def test_rows_of_any_number_go_through_models_of_any_batch_size(tmp_path: Path, batch: int | str) -> None:
    rows = np.random.default_rng(0).normal(size=(2500 if batch != 1 else 40, 3)).astype(np.float32)
    answer = run_model(linear(tmp_path, WEIGHTS, 1.0, batch=batch), {"x": rows})
    np.testing.assert_allclose(answer["y"], rows @ WEIGHTS.astype(np.float32) + 1, rtol=1e-5)


def test_no_rows_give_no_answers(tmp_path: Path) -> None:
    assert len(run_model(linear(tmp_path, WEIGHTS), {"x": np.zeros((0, 3), np.float32)})["y"]) == 0


def test_text_goes_in_and_comes_out(tmp_path: Path) -> None:
    model = save(
        tmp_path,
        [helper.make_node("Identity", ["a"], ["b"])],
        [port("a", ["N"], TensorProto.STRING)],
        [port("b", ["N"], TensorProto.STRING)],
    )
    words = np.array(["red", "Grün", "", "日本"], dtype=object)
    assert run_model(model, {"a": words})["b"].tolist() == ["red", "Grün", "", "日本"]


def test_a_scikit_learn_model_with_a_list_of_maps_comes_as_columns(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = np.array(["ham", "spam", "eggs"])[rng.integers(0, 3, 60)]
    fitted = LogisticRegression().fit(x, y)
    (tmp_path / "model.onnx").write_bytes(to_onnx(fitted, x[:1], target_opset=17).SerializeToString())
    ran = run_fully(tmp_path / "model.onnx", {"X": x})
    assert ran.keys == {"output_probability": ["eggs", "ham", "spam"]}
    np.testing.assert_allclose(ran.outputs["output_probability"], fitted.predict_proba(x), atol=1e-5)
    assert ran.outputs["output_label"].tolist() == fitted.predict(x).tolist()
    assert inspect_model(tmp_path / "model.onnx")["labels"] == ["eggs", "ham", "spam"]


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95 a pickle", b"x" * 5000])
def test_a_file_that_is_no_model_is_named_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ProviderError, match="is no ONNX model") as caught:
        inspect_model(tmp_path / "model.onnx")
    assert caught.value.code == "MLO1302"


def test_half_a_model_is_refused(tmp_path: Path) -> None:
    model = linear(tmp_path, np.ones((200, 20)))
    model.write_bytes(model.read_bytes()[:-3000])
    with pytest.raises(ProviderError):
        inspect_model(model)


def test_a_missing_model_names_the_place_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="there is no model.onnx") as caught:
        inspect_model(tmp_path / "model.onnx")
    assert "MLOPS_OUT" in caught.value.hint


def with_external_data(folder: Path, location: str) -> Path:
    tensor = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [port("x", ["N", 3])], [port("y", ["N", 2])], [tensor]
    )
    folder.mkdir(exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    model = with_external_data(tmp_path / "m", "weights.bin")
    (tmp_path / "m/weights.bin").write_bytes(np.full((3, 2), 2, np.float32).tobytes())
    assert run_model(model, {"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[6.0, 6.0]]
    assert inspect_model(model)["external"] == ["weights.bin"]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "sub/../../secret.bin", ""])
def test_weights_outside_the_folder_are_never_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"0" * 24)
    model = with_external_data(tmp_path / "m", location)
    (tmp_path / "m/link.bin").symlink_to(tmp_path / "secret.bin")
    for ask in (inspect_model, lambda path: run_model(path, {"x": np.ones((1, 3), np.float32)})):
        with pytest.raises(ProviderError, match="outside the model's folder") as caught:
            ask(model)
        assert caught.value.code == "MLO1303"


def test_an_unknown_operator_does_not_load(tmp_path: Path) -> None:
    node = helper.make_node("Pwn", ["x"], ["y"], domain="evil")
    model = save(tmp_path, [node], [port("x", ["N", 3])], [port("y", ["N", 3])], domains=(("", 17), ("evil", 1)))
    with pytest.raises(ProviderError, match="ONNX Runtime does not load it") as caught:
        inspect_model(model)
    assert caught.value.code == "MLO1304"


def terabytes(folder: Path) -> Path:
    """A model that makes 4 TB of zeros out of nothing when it runs."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["i"], to=TensorProto.INT64),
        helper.make_node("Mul", ["i", "zero"], ["z"]),
        helper.make_node("Add", ["z", "huge"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    weights = {"zero": np.array([0], np.int64), "huge": np.array([10**12], np.int64)}
    return save(folder, nodes, [port("x", ["N", 3])], [port("y", ["N", 3])], weights)


def test_a_model_that_wants_terabytes_is_ended_by_its_memory_limit(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        run_model(terabytes(tmp_path), {"x": np.ones((2, 3), np.float32)})
    assert caught.value.code == "MLO1306"


def endless(folder: Path) -> Path:
    """A model that loops for ever on any row."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "one"], ["w"])],
        "body",
        [port("i", [], TensorProto.INT64), port("go", [], TensorProto.BOOL), port("v", ["N", 3])],
        [port("on", [], TensorProto.BOOL), port("w", ["N", 3])],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    loop = helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)
    return save(folder, [loop], [port("x", ["N", 3])], [port("y", ["N", 3])], {"true": np.array(True)})


def test_a_model_that_never_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        run_fully(endless(tmp_path), {"x": np.ones((1, 3), np.float32)}, seconds=1)
    assert caught.value.code == "MLO1306"


def test_rows_of_the_wrong_shape_are_an_error_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        run_model(linear(tmp_path, WEIGHTS), {"x": np.ones((2, 5), np.float32)})
    assert caught.value.code == "MLO1305"


def test_an_output_without_rows_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    model = save(tmp_path, [node], [port("x", ["N", 3])], [port("y", [])])
    with pytest.raises(ProviderError, match="one row for each"):
        run_model(model, {"x": np.ones((2, 3), np.float32)})


def test_running_twice_gives_the_same_bits(tmp_path: Path) -> None:
    model = linear(tmp_path, WEIGHTS, softmax=True)
    rows = np.random.default_rng(1).normal(size=(1500, 3)).astype(np.float32)
    assert run_model(model, {"x": rows})["y"].tobytes() == run_model(model, {"x": rows})["y"].tobytes()


def test_nothing_of_onnx_is_imported_here() -> None:
    import subprocess

    code = "import sys, mlopsctl.adapters.inference, mlopsctl.adapters.features; print([m for m in ('numpy', 'onnx', 'onnxruntime') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"  # noqa: S603


PROGRAM = """
import json, sys
bias = float(open(sys.argv[1] + '/bias').read())
for line in sys.stdin:
    print(json.dumps(json.loads(line)['a'] + bias))
"""


def program(folder: Path, text: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "chat.py").write_text(text)
    (folder / "bias").write_text("0.5")
    return [sys.executable, "chat.py", "{model}"]


def test_a_program_answers_one_line_a_row(tmp_path: Path) -> None:
    argv = program(tmp_path / "m", PROGRAM)
    assert run_program(argv, tmp_path / "m", [{"a": 1}, {"a": 2.5}]) == [1.5, 3.0]


def test_a_program_sees_no_variable_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    argv = program(tmp_path / "m", "import json, os, sys\nprint(json.dumps('AWS_SECRET_ACCESS_KEY' in os.environ))")
    assert run_program(argv, tmp_path / "m", [{}]) == [False]


def test_a_program_cannot_look_for_the_answers(tmp_path: Path) -> None:
    secret = tmp_path / "repository"
    secret.mkdir()
    (secret / "labels.csv").write_text("y")
    text = f"import json, os\ntry:\n    found = os.listdir({str(secret)!r})\nexcept OSError:\n    found = []\nprint(json.dumps(found))"
    argv = program(tmp_path / "m", text)
    assert run_program(argv, tmp_path / "m", [{}], hidden=[secret]) == (
        [[]] if strongest_mode() != "export" else [["labels.csv"]]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print(1)", "answered 1 lines for 2 rows"),
        ("print('x'); print(2)", "line 1 of its answer is no JSON"),
        ("import sys; sys.exit('no weights')", "it ended with status 1$"),
        ("print('[' * 100000); print(2)", "line 1 of its answer is no JSON"),
        ("import time; time.sleep(60)", "no end after 1 seconds"),
    ],
)
def test_a_program_that_misbehaves_is_named_so(tmp_path: Path, text: str, said: str) -> None:
    argv = program(tmp_path / "m", text)
    with pytest.raises(ProviderError, match=said) as caught:
        run_program(argv, tmp_path / "m", [{"a": 1}, {"a": 2}], seconds=1)
    assert caught.value.code == "MLO1307"


def test_what_a_failed_program_printed_is_shown_and_never_part_of_the_kept_message(tmp_path: Path) -> None:
    argv = program(tmp_path / "m", "import sys; sys.exit('bad row: Ada Lovelace')")
    with pytest.raises(ProviderError) as caught:
        run_program(argv, tmp_path / "m", [{"a": 1}])
    assert "Ada" not in caught.value.message
    assert caught.value.hint.endswith("it last said: bad row: Ada Lovelace")


def test_a_program_that_prints_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    argv = program(tmp_path / "m", "import sys\nwhile True:\n    sys.stdout.write('1\\n' * 100000)")
    with pytest.raises(ProviderError, match="printed far more than one line a row|status 1"):
        run_program(argv, tmp_path / "m", [{"a": 1}], seconds=60)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="there is no program 'no-such-program'"):
        run_program(["no-such-program"], tmp_path, [{}])


def test_the_onnx_checker_agrees_that_these_models_are_models(tmp_path: Path) -> None:
    onnx.checker.check_model(str(linear(tmp_path, WEIGHTS, softmax=True)))
