"""``mlopsctl compile``: a model file for a target, without a project."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
import pytest

from mlopsctl.cli.compiling import read_targets
from mlopsctl.errors import UsageError
from tests.cli.contract import follows
from tests.providers.targets.models import write_mlp
from tests.quickstart import must, shell


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model and rows for it, in no repository."""
    write_mlp(tmp_path / "model.onnx")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d", "y"])
        for number, row in enumerate(np.random.default_rng(0).normal(size=(40, 4)).tolist()):
            writer.writerow([*row, number % 3])
    return tmp_path


def test_an_artifact_is_made_compared_and_not_signed_without_a_key(place: Path) -> None:
    nobody = f"XDG_CONFIG_HOME={place}/nobody HOME={place}/nobody"
    line = "mlopsctl compile model.onnx --target onnxruntime --data rows.csv --label y --format json 2>err"
    (row,) = follows("report-targets", must(f"{nobody} {line}", place))["targets"]
    assert (row["target"], row["proof"], row["rows"], row["agreement"]) == ("onnxruntime", "device-run", 40, 1)
    assert row["metric"]["n"] == 40 and row["verdict"]["status"] == "passed" and row["signed"] is None
    assert "not signed: there is no signing key here" in (place / "err").read_text()
    made = place / "model-compiled"
    assert follows("report-targets", (made / "report.json").read_text())["targets"] == [row]
    assert {path.name for path in made.iterdir()} == {"onnxruntime", "report.json"}
    assert (
        must("mlopsctl predict model-compiled/onnxruntime rows.csv --drop y 2>/dev/null | wc -l", place).strip() == "41"
    )
    assert "MLO6494" in shell("mlopsctl compile model.onnx --target onnxruntime", place).stdout


def test_without_rows_nothing_is_called_compared(place: Path) -> None:
    (row,) = follows(
        "report-targets",
        must("mlopsctl compile model.onnx --target use=onnxruntime,arch=x86-64 --format json 2>/dev/null", place),
    )["targets"]
    assert (row["proof"], row["rows"], row["agreement"], row["metric"]) == ("compiled", 0, None, None)
    assert row["verdict"]["status"] == "not_assessed"
    assert "--data FILE" in row["not_assessed"]


def test_a_key_signs_every_artifact(place: Path) -> None:
    must("mlopsctl key new maker", place)
    out = must("mlopsctl compile model.onnx --target onnxruntime -o dist --key maker 2>/dev/null", place)
    assert "by maker" in out
    must("mlopsctl key show maker --public > maker.pub", place)
    must("mlopsctl verify dist/onnxruntime --key maker.pub", place)
    (place / "dist" / "onnxruntime" / "artifact.json").write_text("{}")
    assert shell("mlopsctl verify dist/onnxruntime --key maker.pub", place).returncode == 7


def test_an_artifact_that_misses_its_bars_is_kept_and_the_exit_code_is_4(place: Path) -> None:
    # TVM's kernels round otherwise, so that a bar of zero cannot hold.
    done = shell("mlopsctl compile model.onnx --target tvm,tolerance=0 --data rows.csv --label y -o dist", place)
    assert done.returncode == 4, done.stdout
    assert "failed: the artifact answers otherwise than the model" in done.stdout
    assert (place / "dist" / "tvm" / "artifact.json").is_file()


def test_what_fails_is_said_beside_what_was_made(place: Path) -> None:
    model = onnx.load(place / "model.onnx")
    model.graph.node[1].op_type = "Mystery"
    onnx.save(model, place / "odd.onnx")
    assert shell("mlopsctl compile odd.onnx --target onnxruntime -o dist", place).returncode == 1
    line = "npm_config_cache=/nowhere mlopsctl compile model.onnx --target web --target onnxruntime -o dist"
    done = shell(line, place)
    assert done.returncode == 1
    assert "MLO1411" in done.stdout
    assert (place / "dist" / "onnxruntime").is_dir() and not (place / "dist" / "web").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("", "MLO6490"),
        ("--target onnxruntime,arch", "MLO6490"),
        ("--target onnxruntime,arch=x86-64,arch=x86-64", "MLO6490"),
        ("--target onnxruntime,nonsense=1", "MLO6491"),
        ("--target nobody", "MLO6491"),
        ("--target command,program=p,digest=sha256:" + "0" * 64, "MLO6495"),
        ("--target onnxruntime,quantize=int8", "MLO6492"),
        ("--target onnxruntime --data rows.csv --calibrate rows.csv", "MLO6492"),
        ("--target onnxruntime --label y", "MLO6490"),
        ("--target onnxruntime --data nothing.csv", "MLO6461"),
        ("--target onnxruntime --format sarif", "MLO6401"),
    ],
)
def test_a_wrong_command_line_is_said_before_anything_is_written(place: Path, words: str, code: str) -> None:
    done = shell(f"mlopsctl compile model.onnx {words}", place)
    assert done.returncode == 64, done.stdout
    assert code in done.stdout
    assert not (place / "model-compiled").exists()


def test_int8_is_calibrated_on_the_rows_that_are_named(place: Path) -> None:
    must("head -n 20 rows.csv | cut -d, -f1-4 > other.csv && cut -d, -f1-4 rows.csv > test.csv", place)
    line = "mlopsctl compile model.onnx --target onnxruntime,quantize=int8 --data rows.csv --label y --calibrate"
    done = shell(f"{line} other.csv --format json 2>/dev/null", place)
    (row,) = follows("report-targets", done.stdout)["targets"]
    assert row["figures"]["calibration_rows"] == 19
    assert row["target"] == "onnxruntime-int8"


def test_targets_get_names_of_their_own_and_defaults_of_a_manifest() -> None:
    found = read_targets(["tvm,arch=arm64", "use=tvm,arch=arm64,batch=4", "web"], "model", "")
    assert [want.address.name for want in found] == ["tvm-arm64", "tvm-arm64-2", "web"]
    assert [want.provider for want in found] == ["targets/tvm", "targets/tvm", "targets/web"]
    assert found[1].spec.batch == 4
    with pytest.raises(UsageError, match="is no list of KEY=VALUE"):
        read_targets(["tvm,=3"], "model", "")
