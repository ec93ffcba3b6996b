"""What is said about a model file that is not what was expected; nothing is ever unpickled."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import zipfile
import zlib
from pathlib import Path

import pytest

from mlopsctl.errors import ProviderError
from mlopsctl.providers.train.contract import (
    EXPORT,
    MODEL,
    framework_of,
    is_pickle,
    require_model,
    take_claims,
    written,
)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def zipped(*names: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return body.getvalue()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "work").mkdir()
    return folder


def said(out: Path) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        require_model(out, out.parent / "work", ())
    return caught.value


def test_a_pickle_is_named_and_never_loaded(out: Path, tmp_path: Path) -> None:
    for name in ("model.pkl", "model.onnx", "model.bin", "anything"):
        (out / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
        error = said(out)
        assert error.code == "MLO1214" and "is a Python pickle" in error.message
        assert "skl2onnx" in error.hint
        (out / name).unlink()
    assert not (tmp_path / "exploded").exists()


def test_a_scikit_learn_model_shows_its_export(out: Path) -> None:
    joblib = pytest.importorskip("joblib", reason="scikit-learn is not installed")
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    for compress in (0, 3):
        joblib.dump(model, out / "model.joblib", compress=compress)
        error = said(out)
        assert error.message == "model.joblib is a scikit-learn file, not an ONNX model"
        assert all(line in error.hint for line in EXPORT["scikit-learn"].splitlines())


def test_the_shown_scikit_learn_lines_export_a_model_that_loads(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skl2onnx")
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from mlopsctl.providers.train.contract import inspect

    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    monkeypatch.setenv("MLOPS_OUT", str(out))
    exec(EXPORT["scikit-learn"], {"os": os, "pathlib": pathlib, "X": x, "model": LogisticRegression().fit(x, [0, 1])})
    found = inspect(out / MODEL)
    assert found["opset"] == 17 and found["inputs"][0]["shape"] == [None, 2]


def test_the_shown_pytorch_lines_export_a_model_that_loads(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    pytest.importorskip("onnxscript", reason="torch.onnx.export(dynamo=True) needs onnxscript")
    from mlopsctl.providers.train.contract import inspect

    monkeypatch.setenv("MLOPS_OUT", str(out))
    exec(EXPORT["PyTorch"], {"os": os, "torch": torch, "model": torch.nn.Linear(3, 2), "example": torch.zeros(2, 3)})
    assert inspect(out / MODEL)["inputs"][0]["shape"] == [None, 3]


@pytest.mark.parametrize(
    ("name", "body", "framework"),
    [
        ("model.pt", zipped("archive/data.pkl"), "PyTorch"),
        ("weights.bin", zipped("weights/data.pkl"), "PyTorch"),
        ("net.pth", b"anything", "PyTorch"),
        ("model.keras", zipped("config.json"), "Keras"),
        ("model.h5", b"\x89HDF\r\n\x1a\n...", "Keras"),
        ("saved_model.pb", b"\x08\x01", "Keras"),
        ("model.ubj", b"{L", "XGBoost"),
        ("model.json", b'{"learner": {"gradient_booster": {}}}', "XGBoost"),
        ("model.txt", b"tree\nversion=v4\n", "LightGBM"),
        ("m.pkl", b"\x80\x04\x95cxgboost.sklearn\nXGBClassifier", "XGBoost"),
        ("m.joblib", zlib.compress(b"\x80\x04\x95clightgbm.sklearn\nLGBM"), "LightGBM"),
        ("model.gguf", b"GGUF\x03", "GGUF"),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{}", "safetensors"),
        ("model.rds", b"\x1f\x8b", "R"),
        ("notes.json", b'{"a": 1}', ""),
        ("x.bin", b"xyz", ""),
        ("empty", b"", ""),
    ],
)
def test_frameworks_by_name_and_first_bytes(out: Path, name: str, body: bytes, framework: str) -> None:
    (out / name).write_bytes(body)
    assert framework_of(out / name) == framework
    if framework:
        error = said(out)
        assert error.code == "MLO1214" and framework in error.message
        assert ("predict:" in error.hint) == (framework not in EXPORT)


def test_a_model_left_in_the_working_folder_is_found_there(out: Path) -> None:
    (out.parent / "work/model.pt").write_bytes(zipped("a/data.pkl"))
    assert said(out).message.startswith("model.pt is a PyTorch file")


def test_pickles_are_told_from_data(out: Path) -> None:
    (out / "a").write_bytes(pickle.dumps(1))
    (out / "b").write_bytes(b"plain")
    assert is_pickle(out / "a") and not is_pickle(out / "b")


def test_files_are_listed_and_links_refused(out: Path) -> None:
    (out / "deep").mkdir()
    (out / "deep/b").write_text("")
    (out / "a").write_text("")
    assert written(out) == ["a", "deep/b"]
    (out / "deep/link").symlink_to(out)
    with pytest.raises(ProviderError) as caught:
        written(out)
    assert caught.value.code == "MLO1217" and "deep/link" in caught.value.message


def test_claims_are_bounded(out: Path) -> None:
    lines = [f'{{"figure{number}": {number}}}' for number in range(1000)]
    (out / "metrics.jsonl").write_text("\n".join(lines))
    found = take_claims(out)
    assert len(found) == 32 and not (out / "metrics.jsonl").exists()
    assert take_claims(out) == {}
    (out / "metrics.jsonl").write_bytes(b'{"a": 1}\n' + b"\xff" * 3_000_000 + b'\n{"b": true, "c": 1e400, "d": [1]}\n')
    assert take_claims(out) == {"c": "inf"}
