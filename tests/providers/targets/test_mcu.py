from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlopsctl.adapters import firmware, tools
from mlopsctl.adapters.store import hash_folder
from mlopsctl.errors import ProviderError
from mlopsctl.providers.targets import mcu as target
from mlopsctl.types import Address, Observed, Resource, Status, Verdict
from tests.providers.targets.bench import Bench, described
from tests.providers.targets.digits import TEST_ROWS, DigitsBench, write_digits_mlp
from tests.providers.targets.models import write_tree

ONNX = {"kind": "onnx"}
needs_compiler = pytest.mark.skipif(tools.find("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
needs_emulator = pytest.mark.skipif(tools.find("qemu-system-arm") is None, reason="no qemu-system-arm")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[DigitsBench, Path, Any]:
    """The digits on a Cortex-M4, once for all tests of this file."""
    root = tmp_path_factory.mktemp("digits")
    bench, folder = DigitsBench(root), root / "model"
    folder.mkdir()
    write_digits_mlp(folder / "model.onnx")
    return bench, folder, bench.make(target, folder, ONNX)


def verdict(facts: Any, **bars: Any) -> Verdict:
    want = Resource(Address("targets", "small"), "targets/mcu", target.Spec(**bars))
    return target.judge(want, Observed(facts["model"], {}, facts), ())


@needs_compiler
@needs_emulator
def test_every_row_is_answered_bit_by_bit_and_with_the_models_accuracy(digits: tuple[DigitsBench, Path, Any]) -> None:
    facts = digits[2].facts
    assert (facts["proof"], facts["device"], facts["arch"]) == ("emulated", "mcu", "cortex-m4")
    assert facts["figures"]["bit_exact_rows"] == facts["n"] == TEST_ROWS
    assert float(facts["agreement"]) > 0.98
    assert abs(float(facts["metrics"]["drop"]["value"])) < 0.01
    assert verdict(facts).status is Status.PASSED
    assert set(digits[2].made_with) >= {"arm-none-eabi-gcc", "qemu-system-arm", "onnxruntime"}


@needs_compiler
@needs_emulator
def test_its_size_is_that_of_the_weights_and_a_little_code(digits: tuple[DigitsBench, Path, Any]) -> None:
    figures = digits[2].facts["figures"]
    weights = 64 * 32 + 32 * 16 + 16 * 10
    assert weights < figures["flash"] < weights + 4096
    # The two layers between the ends; nothing else is kept.
    assert figures["ram"] == 32 + 16
    assert 0 < figures["stack"] < 256
    # A multiplication takes at least one instruction, and the loop around it a few.
    assert weights < figures["instructions"] < 20 * weights


@needs_compiler
def test_the_artifact_is_c_without_allocation_or_library(digits: tuple[DigitsBench, Path, Any]) -> None:
    artifact = digits[2].outputs["artifact"]
    assert {path.name for path in artifact.iterdir()} == {"model.c", "model.h", "kernels.h", "model.o", "artifact.json"}
    included = [line for name in ("model.c", "model.h", "kernels.h") for line in (artifact / name).read_text().splitlines() if line.startswith("#include")]  # fmt: skip
    assert set(included) == {"#include <stdint.h>", '#include "model.h"', '#include "kernels.h"'}
    undefined = subprocess.run(
        ["arm-none-eabi-nm", "-u", artifact / "model.o"], capture_output=True, text=True, check=True
    )
    # Soft floats and the like, which the compiler itself brings.
    assert all(line.split()[-1].startswith("__aeabi_") or "mem" in line for line in undefined.stdout.splitlines())
    assert described(artifact)["runtime"] == "c"


@needs_compiler
@needs_emulator
def test_another_time_and_place_give_the_same_artifact_and_another_processor_another(
    digits: tuple[DigitsBench, Path, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_digits_mlp(folder / "model.onnx")
    first = hash_folder(digits[2].outputs["artifact"])
    assert hash_folder(DigitsBench(tmp_path).make(target, folder, ONNX).outputs["artifact"]) == first
    other = digits[0].make(target, digits[1], ONNX, "m0", mcpu="cortex-m0", calibration=40, prefix="digits")
    assert other.facts["figures"]["calibration_rows"] == 40
    assert hash_folder(other.outputs["artifact"]) != first
    assert "void digits_run(" in (other.outputs["artifact"] / "model.h").read_text()
    said = subprocess.run(
        ["arm-none-eabi-readelf", "-A", other.outputs["artifact"] / "model.o"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "v6S-M" in said.stdout


@needs_compiler
@needs_emulator
@pytest.mark.parametrize("mcpu", ["cortex-m3", "cortex-m7", "cortex-m33"])
def test_trees_answer_as_the_model_does(bench: Bench, folder: Path, mcpu: str) -> None:
    write_tree(folder / "model.onnx")
    facts = bench.make(target, folder, ONNX, mcpu=mcpu).facts
    assert facts["figures"]["exact"] is True
    assert facts["agreement"] == "1"
    assert facts["figures"]["bit_exact_rows"] == facts["n"]
    assert float(facts["max_abs_diff"]) < 1e-6


@needs_compiler
def test_without_an_emulator_it_is_compiled_and_says_what_would_run_it(
    digits: tuple[DigitsBench, Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **more: None if "qemu" in name else which(name, **more))
    bench, folder, whole = digits
    made = bench.make(target, folder, ONNX, "unrun")
    assert made.facts["proof"] == "compiled"
    found = verdict(made.facts)
    assert (found.status, found.blocks) == (Status.NOT_ASSESSED, False)
    assert "apt-get install qemu-system-arm" in found.text
    assert hash_folder(made.outputs["artifact"]) == hash_folder(whole.outputs["artifact"])


@needs_compiler
@needs_emulator
def test_bars_are_read_from_the_entry_alone(digits: tuple[DigitsBench, Path, Any]) -> None:
    facts = digits[2].facts
    flash, memory = facts["figures"]["flash"], facts["figures"]["ram"] + facts["figures"]["stack"]
    assert verdict(facts, flash=flash, ram=memory).status is Status.PASSED
    for bars in ({"flash": flash - 1}, {"ram": memory - 1}):
        found = verdict(facts, **bars)
        assert (found.status, found.blocks) == (Status.FAILED, True)
        assert next(iter(bars)) in found.text
    worse = {
        **facts,
        "metrics": {**facts["metrics"], "drop": {"value": "0.011", "ci": ["-0.01", "0.03"], "method": "x"}},
    }
    assert (verdict(worse).status, verdict(worse).blocks) == (Status.INCONCLUSIVE, True)
    assert not verdict(worse, inconclusive="warn").blocks
    assert verdict(worse, max_accuracy_drop=0.04).status is Status.PASSED


def test_a_missing_compiler_is_told_with_its_package(
    digits_folder: tuple[DigitsBench, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProviderError) as error:
        digits_folder[0].make(target, digits_folder[1], ONNX)
    assert error.value.code == "MLO1411"
    assert "apt-get install gcc-arm-none-eabi" in error.value.hint


@pytest.fixture
def digits_folder(tmp_path: Path) -> tuple[DigitsBench, Path]:
    folder = tmp_path / "model"
    folder.mkdir()
    write_digits_mlp(folder / "model.onnx")
    return DigitsBench(tmp_path), folder


@needs_compiler
def test_an_operator_without_a_form_in_whole_numbers_is_named(digits_folder: tuple[DigitsBench, Path]) -> None:
    import onnx

    bench, folder = digits_folder
    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        if node.name == "relu1":
            node.op_type = "Tanh"
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(ProviderError, match="relu1.*Tanh|Tanh.*relu1") as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1462"


@needs_compiler
@needs_emulator
def test_firmware_that_differs_in_one_bit_is_no_artifact(
    digits_folder: tuple[DigitsBench, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlopsctl.providers.targets import mcu_make

    def flipped(*given: Any, **more: Any) -> Path:
        answers = emulate(*given, **more)
        data = np.fromfile(answers, np.uint8)
        data[70] ^= 1
        data.tofile(answers)
        return answers

    emulate = firmware.emulate
    monkeypatch.setattr(mcu_make, "emulate", flipped)
    bench, folder = digits_folder
    with pytest.raises(ProviderError, match="1 of 450 rows differ") as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1463"


@needs_compiler
@needs_emulator
def test_a_tool_gets_as_long_as_its_timeout_and_no_more_memory(digits_folder: tuple[DigitsBench, Path]) -> None:
    bench, folder = digits_folder
    with pytest.raises(ProviderError):
        bench.make(target, folder, ONNX, "hasty", timeout=0.001)
    with pytest.raises(ProviderError):
        bench.make(target, folder, ONNX, "small", memory=1 << 20)
