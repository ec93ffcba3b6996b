"""Artifacts for GPUs: kernels and their launches, compiled and run as far as this machine goes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from mlopsctl.adapters import gpu, tools
from mlopsctl.adapters.store import hash_folder
from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.providers.targets import tvm as target
from mlopsctl.types import Address, Resource, Status
from tests.providers.targets.bench import ROWS, Bench, described
from tests.providers.targets.models import write_conv, write_mlp, write_tree

ONNX = {"kind": "onnx"}
pytestmark = pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="the extra tvm is not installed")
needs_opencl = pytest.mark.skipif(gpu.lacking("opencl") != "", reason="no OpenCL driver is installed")
needs_nvcc = pytest.mark.skipif(tools.find("nvcc") is None, reason="nvcc is not installed")


def judge(facts: Any) -> Any:
    want = Resource(Address("targets", "gpu"), "targets/tvm", target.Spec(device="gpu", arch="sm_90"))
    return target.judge(want, type("Seen", (), {"facts": facts})(), ())


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a card, whatever this one has."""
    monkeypatch.setattr(gpu, "_CARD", tmp_path / "nvidia0")


@needs_opencl
def test_opencl_kernels_answer_every_row_on_the_processor(bench: Bench, folder: Path) -> None:
    write_conv(folder / "model.onnx")
    made = bench.make(target, folder, ONNX, device="gpu", arch="opencl", batch=8)
    assert (made.facts["n"], made.facts["agreement"], made.facts["device"]) == (ROWS, "1", "gpu")
    assert made.facts["proof"] in ("emulated", "device-run")
    assert 0 < float(made.facts["max_abs_diff"]) < 1e-5
    assert ("latency_seconds" in made.facts["figures"]) == (made.facts["proof"] == "device-run")
    assert (made.facts["runtime"], described(made.outputs["artifact"])["model"]) == ("opencl", "kernels.cl")
    assert judge(made.facts).status is Status.PASSED


@needs_opencl
def test_the_artifact_runs_without_mlopsctl_and_checks_itself(bench: Bench, folder: Path) -> None:
    model = write_mlp(folder / "model.onnx")
    artifact = bench.make(target, folder, ONNX, device="gpu", arch="opencl").outputs["artifact"]
    rows = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    text = "\n".join(",".join(str(value) for value in row) for row in rows)
    run = [sys.executable, "-I", str(artifact / "run.py")]
    said = subprocess.run(run, input=text, capture_output=True, text=True, check=True).stdout
    expected = onnxruntime.InferenceSession(str(model)).run(None, {"x": rows})[0]
    np.testing.assert_allclose(
        [[float(word) for word in line.split(",")] for line in said.split()], expected, atol=1e-6
    )
    checked = subprocess.run([*run, "--check", str(model), "5"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0
    found = json.loads(checked.stdout)
    assert (found["rows"], found["agrees"]) == (5, True)
    write_mlp(folder / "other.onnx", seed=9)
    other = subprocess.run([*run, "--check", str(folder / "other.onnx")], capture_output=True, text=True, check=False)
    assert (other.returncode, json.loads(other.stdout)["agrees"]) == (1, False)


def test_cuda_is_emitted_where_nothing_can_compile_or_run_it(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch, no_gpu: None
) -> None:
    write_conv(folder / "model.onnx")
    monkeypatch.setattr(gpu, "find", lambda name: None)
    made = bench.make(target, folder, ONNX, device="gpu", arch="sm_90")
    assert (made.facts["proof"], made.facts["agreement"], made.facts["arch"]) == ("emitted", None, "sm_90")
    verdict = judge(made.facts)
    assert verdict.status is Status.NOT_ASSESSED
    assert "no NVIDIA GPU here" in verdict.text and "mlopsctl[cuda]" in verdict.text
    folder = made.outputs["artifact"]
    text = (folder / "kernels.cu").read_text(encoding="utf-8")
    plan = json.loads((folder / "launches.json").read_bytes())
    assert plan["arch"] == "sm_90"
    for launch in plan["launches"]:
        assert f"{launch['kernel']}(" in text
        threads = int(np.prod(launch["block"]))
        assert f"__launch_bounds__({threads}) {launch['kernel']}(" in text
        assert all(offset + size <= plan["arena"] for kind, offset, size in launch["arguments"] if kind == "arena")


@needs_nvcc
@pytest.mark.parametrize("arch", ["sm_90", pytest.param("sm_75", marks=pytest.mark.slow)])
def test_nvcc_makes_the_same_cubin_anywhere(tmp_path: Path, no_gpu: None, arch: str) -> None:
    found = set()
    for name in ("here", "there"):
        (tmp_path / name / "model").mkdir(parents=True)
        write_mlp(tmp_path / name / "model" / "model.onnx")
        made = Bench(tmp_path / name).make(target, tmp_path / name / "model", ONNX, device="gpu", arch=arch)
        found.add(hash_folder(made.outputs["artifact"]))
        assert made.facts["proof"] == "compiled"
        assert set(made.made_with) == {"tvm", "nvcc"}
        assert (made.outputs["artifact"] / "kernels.cubin").read_bytes()[:4] == b"\x7fELF"
    assert len(found) == 1


def test_webgpu_is_text_with_its_launches(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    made = bench.make(target, folder, ONNX, device="gpu", arch="webgpu")
    assert made.facts["proof"] == "emitted"
    text = (made.outputs["artifact"] / "kernels.wgsl").read_text(encoding="utf-8")
    plan = json.loads((made.outputs["artifact"] / "launches.json").read_bytes())
    assert text.count("@compute") == len({launch["kernel"] for launch in plan["launches"]}) > 0


def test_operators_that_tvm_lacks_are_named_with_their_node(bench: Bench, folder: Path) -> None:
    write_tree(folder / "model.onnx")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, device="gpu", arch="opencl")
    assert error.value.code == "MLO1430"
    assert "TreeEnsembleClassifier" in error.value.message


@needs_opencl
def test_a_script_that_fails_is_no_artifact(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mlp(folder / "model.onnx")
    empty = bench.root / "vendors"
    empty.mkdir()
    monkeypatch.setenv("OCL_ICD_VENDORS", str(empty))
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, device="gpu", arch="opencl")
    assert error.value.code == "MLO1441"


@pytest.mark.parametrize(("device", "arch"), [("gpu", "x86-64"), ("gpu", "arm64"), ("cpu", "sm_90"), ("cpu", "opencl")])
def test_a_device_and_an_architecture_have_to_go_together(device: Any, arch: Any) -> None:
    with pytest.raises(ManifestError) as error:
        target.needs(target.Spec(device=device, arch=arch), {})
    assert error.value.code == "MLO1440"


def stand_in(artifact: Path, place: Path) -> Path:
    """A folder with a libcuda.so.1 that runs the artifact's own CUDA text on the processor (stand_in_cuda/driver.cpp)."""
    place.mkdir()
    here = Path(__file__).parent / "stand_in_cuda"
    plan = json.loads((artifact / "launches.json").read_bytes())
    names = sorted({launch["kernel"] for launch in plan["launches"]})
    (place / "table.inc").write_text("".join(f"KERNEL({name})\n" for name in names), encoding="utf-8")
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-I", str(here), "-I", str(place), "-I", str(artifact)]
        + ["-o", str(place / "libcuda.so.1"), str(here / "driver.cpp")],
        check=True,
    )
    return place


def test_cudas_kernels_and_launches_answer_every_row_of_a_stand_in(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch, no_gpu: None
) -> None:
    """What a GPU would be given: reductions over warps, barriers, tiles. nvcc and a GPU have no part in it."""
    write_conv(folder / "model.onnx")
    monkeypatch.setattr(gpu, "find", lambda name: None)
    batch = 2
    artifact = bench.make(target, folder, ONNX, device="gpu", arch="sm_90", batch=batch).outputs["artifact"]
    (artifact / "kernels.cubin").write_bytes(b"the stand-in does not read it")
    rows = np.random.default_rng(2).normal(size=(batch + 1, 4)).astype(np.float32)
    np.savez(bench.root / "in.npz", x=rows)
    said = subprocess.run(
        [
            sys.executable,
            "-I",
            str(artifact / "run.py"),
            "--arrays",
            str(bench.root / "in.npz"),
            str(bench.root / "out.npz"),
        ],
        env={"LD_LIBRARY_PATH": str(stand_in(artifact, bench.root / "lib"))},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(said)["device"] == "stand-in (sm_90)"
    expected = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(None, {"x": rows})[0]
    np.testing.assert_allclose(np.load(bench.root / "out.npz")["p"], expected, atol=1e-5)


def test_where_a_card_is_found_the_artifact_is_run_on_it(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mlp(folder / "model.onnx")
    monkeypatch.setattr(gpu, "find", lambda name: None)
    monkeypatch.setattr(gpu, "_CARD", Path("/dev/no-such-card"))
    emitted = bench.make(target, folder, ONNX, device="gpu", arch="sm_90").outputs["artifact"]
    monkeypatch.setattr(gpu, "_CARD", Path("/dev/null"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(stand_in(emitted, bench.root / "lib")))
    nvcc = bench.root / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\n[ "$1" = --version ] && echo V1.0 || echo > kernels.cubin\n', encoding="utf-8")
    nvcc.chmod(0o755)
    monkeypatch.setattr(gpu, "find", lambda name: str(nvcc))
    made = bench.make(target, folder, ONNX, "again", device="gpu", arch="sm_90")
    assert (made.facts["proof"], made.facts["n"], made.facts["agreement"]) == ("device-run", ROWS, "1")
    assert made.facts["figures"]["ran_on"] == "stand-in (sm_90)"
    assert float(made.facts["figures"]["latency_seconds"]) > 0
