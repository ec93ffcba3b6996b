"""Artifacts for other processors: compiled here, run by an emulator, compared on every row."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from mlopsctl.adapters import native, tools
from mlopsctl.adapters.store import hash_folder
from mlopsctl.adapters.table import read_table
from mlopsctl.cli.predict import _run
from mlopsctl.errors import ProviderError
from mlopsctl.providers.gates.answers import Limits, of_artifact
from mlopsctl.providers.targets import tvm as target
from mlopsctl.types import Address, Input, Need, Observed, Resource, Status
from tests.providers.targets.bench import ROWS, Bench, described
from tests.providers.targets.models import write_conv, write_mlp, write_tree

ONNX = {"kind": "onnx"}
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="the extra tvm is not installed"),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]
needs = {
    arch: pytest.mark.skipif(shutil.which(item.compiler) is None, reason=f"{item.compiler} is not installed")
    for arch, item in native.PROCESSORS.items()
}
ARCHITECTURES = [pytest.param(arch, marks=needs[arch]) for arch in native.PROCESSORS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bundle of a small perceptron, made once for each architecture."""
    kept: dict[str, Any] = {}

    def make(arch: str) -> Any:
        if arch not in kept:
            root = tmp_path_factory.mktemp(arch)
            (root / "model").mkdir()
            write_mlp(root / "model" / "model.onnx")
            kept[arch] = Bench(root).make(target, root / "model", ONNX, arch=arch)
        return kept[arch]

    return make


def judge(made: Any, **spec: Any) -> Any:
    want = Resource(Address("targets", "edge"), "targets/tvm", target.Spec(**spec))
    return target.judge(want, type("Seen", (), {"facts": made.facts})(), ())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_row_is_answered_by_the_emulated_processor(made: Any, arch: str) -> None:
    found = made(arch)
    assert (found.facts["n"], found.facts["agreement"], found.facts["proof"]) == (ROWS, "1", "emulated")
    assert 0 < float(found.facts["max_abs_diff"]) < 1e-5
    assert (found.facts["arch"], found.facts["device"], found.facts["runtime"]) == (arch, "cpu", "native")
    assert found.facts["figures"]["mcpu"] == native.PROCESSORS[arch].mcpu
    assert not [name for name in found.facts["figures"] if "latency" in name], "an emulator's time is no figure"
    assert set(found.made_with) == {
        "tvm",
        "llvm",
        native.PROCESSORS[arch].compiler,
        native.PROCESSORS[arch].emulator,
    }
    assert judge(found, arch=arch).status is Status.PASSED


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_files_are_of_that_processor_and_need_the_c_library_alone(made: Any, arch: str) -> None:
    folder = made(arch).outputs["artifact"]
    assert {path.name for path in folder.iterdir()} == {"artifact.json", "model.h", "model.so", "predict", "run.sh"}
    readelf = native.PROCESSORS[arch].triple + "-readelf"
    said = subprocess.run([readelf, "-hd", folder / "model.so"], capture_output=True, text=True, check=True).stdout
    assert {"arm64": "AArch64", "armv7": "ARM", "riscv64": "RISC-V"}[arch] in said
    wanted = {line.split("[")[1].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line}
    assert wanted <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-armhf.so.3", "ld-linux-aarch64.so.1"}


@needs["arm64"]
def test_a_person_gets_answers_from_the_bundle_with_text(made: Any, tmp_path: Path) -> None:
    folder = made("arm64").outputs["artifact"]
    rows = np.random.default_rng(5).normal(size=(3, 4)).astype(np.float32)
    text = "\n".join(",".join(f"{value:.9g}" for value in row) for row in rows)
    command = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "./predict", "./model.so"]
    said = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, check=True).stdout
    write_mlp(tmp_path / "model.onnx")
    expected = onnxruntime.InferenceSession(str(tmp_path / "model.onnx")).run(None, {"x": rows})[0]
    np.testing.assert_allclose(
        [[float(word) for word in line.split(",")] for line in said.split()], expected, atol=1e-6
    )
    for wrong, why in (("1,2,3\n", "too few"), ("1,2,3,4,5\n", "too many"), ("a,b,c,d\n", "too few")):
        done = subprocess.run(command, cwd=folder, input=wrong, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert why in done.stderr
    assert folder.joinpath("run.sh").stat().st_mode & 0o111
    assert described(folder)["run"] == ["./run.sh"]


@needs["arm64"]
def test_a_gate_measures_the_bundle_and_predict_says_where_it_runs(made: Any, bench: Bench, folder: Path) -> None:
    outcome = made("arm64")
    write_mlp(folder / "model.onnx")
    of_model, _ = bench.inputs(folder, ONNX)
    digest = bench.store.put(outcome.outputs["artifact"])
    seen = Observed(digest, {"artifact": digest}, outcome.facts)
    artifact = Input(Need("artifact", Address("targets", "edge"), "artifact"), seen)
    table = read_table(bench.rows, "csv")
    found, _ = of_artifact(of_model, artifact, bench.data_facts, table, Limits(60, 4 * 2**30), bench.context())
    assert found.outputs["p"].shape == (ROWS, 3)
    with pytest.raises(ProviderError, match=r"made for arm64; there, its ./run.sh answers rows"):
        _run(outcome.outputs["artifact"], table)


@needs["arm64"]
def test_a_convolution_in_batches_and_another_processor(bench: Bench, folder: Path) -> None:
    write_conv(folder / "model.onnx")
    found = bench.make(target, folder, ONNX, arch="arm64", batch=8, mcpu="cortex-a53")
    assert (found.facts["n"], found.facts["agreement"]) == (ROWS, "1")
    assert (found.facts["figures"]["mcpu"], found.facts["figures"]["batch"]) == ("cortex-a53", 8)


@needs["armv7"]
def test_results_that_no_stack_holds(bench: Bench, folder: Path) -> None:
    """Then kernels ask the runtime for room."""
    write_mlp(folder / "model.onnx", hidden=512)
    found = bench.make(target, folder, ONNX, arch="armv7", batch=16)
    assert (found.facts["n"], found.facts["agreement"]) == (ROWS, "1")


@needs["arm64"]
def test_another_time_and_place_give_the_same_bundle(made: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_mlp(tmp_path / "model" / "model.onnx")
    again = Bench(tmp_path).make(target, tmp_path / "model", ONNX, arch="arm64")
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made("arm64").outputs["artifact"])


@needs["arm64"]
def test_a_processor_of_another_kind_is_refused_by_name(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, arch="arm64", mcpu="skylake")
    assert error.value.code == "MLO1412"
    assert "no processor 'skylake' of this kind" in error.value.message


@needs["riscv64"]
def test_a_program_that_the_emulated_processor_cannot_run_is_no_artifact(bench: Bench, folder: Path) -> None:
    write_conv(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, arch="riscv64", mcpu="sifive-x280")
    assert error.value.code == "MLO1413"
    assert "mcpu:" in error.value.hint


@needs["arm64"]
def test_without_an_emulator_it_is_compiled_and_not_assessed(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr(native, "find", lambda name: None if name.startswith("qemu") else tools.find(name))
    found = bench.make(target, folder, ONNX, arch="arm64")
    assert (found.facts["proof"], found.facts["agreement"], found.facts["n"]) == ("compiled", None, 0)
    verdict = judge(found, arch="arm64")
    assert verdict.status is Status.NOT_ASSESSED
    assert "apt-get install qemu-user" in verdict.text


def test_without_a_compiler_the_package_is_named(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr(tools, "find", lambda name: None if name.endswith("g++") else name)
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, arch="riscv64")
    assert (error.value.code, error.value.hint) == ("MLO1411", "apt-get install g++-riscv64-linux-gnu")


@needs["arm64"]
def test_operators_that_tvm_lacks_are_told(bench: Bench, folder: Path) -> None:
    write_tree(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, arch="arm64")
    assert error.value.code == "MLO1430"


@needs["arm64"]
def test_a_bundle_that_answers_too_little_is_no_artifact(made: Any, tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(made("arm64").outputs["artifact"], folder)
    said = json.loads((folder / "artifact.json").read_bytes())
    said["outputs"][0]["shape"][1] += 1
    with pytest.raises(ProviderError) as error:
        native.run_bundle(folder, said, {"x": np.zeros((2, 4), np.float32)}, tmp_path, seconds=60, memory=2**32)
    assert error.value.code == "MLO1413"
