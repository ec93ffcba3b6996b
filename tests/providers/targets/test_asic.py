from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters import asic as tools
from mlopsctl.adapters import simulation
from mlopsctl.adapters.store import hash_folder
from mlopsctl.adapters.tools import TOOLS, missing
from mlopsctl.errors import ProviderError
from mlopsctl.manifest import load_manifest
from mlopsctl.providers.targets import asic as target
from mlopsctl.types import Address, Digest, Observed, Resource, Status
from tests.providers.targets.bench import ROWS
from tests.providers.targets.digits import TEST_ROWS, DigitsBench, write_digits_mlp
from tests.providers.targets.test_fpga import MANIFEST, ONNX, place
from tests.test_fingerprints import Files

pytestmark = pytest.mark.skipif(
    bool(missing(("yosys", "sta", *simulation.TOOLS))) or not all(path.is_file() for path in tools.OPEN_CELLS.values()),
    reason="yosys, opensta, verilator or the qflow-tech cells are not installed",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny network through the whole way once."""
    bench, folder = place(tmp_path_factory.mktemp("whole"))
    return bench.make(target, folder, ONNX, lanes=2)


def test_the_netlist_answered_every_row_and_has_figures(made: Any) -> None:
    facts, figures = made.facts, made.facts["figures"]
    assert (facts["proof"], facts["device"], facts["arch"], facts["n"]) == ("emulated", "asic", "osu018", ROWS)
    assert float(figures["agreement_with_int8_onnx"]) == 1
    assert figures["cells"] > figures["flip_flops"] > 100 and float(figures["area"]) > 32 * figures["cells"] / 2
    assert float(figures["fmax_mhz"]) >= 50
    # 4 x 8 and 8 x 3 products by two lanes, and a few cycles for each layer to begin and to end.
    assert 32 < figures["cycles"] < 32 + 40
    assert set(made.made_with) >= {"yosys", "opensta", "verilator"}
    report = (made.outputs["artifact"] / "timing.txt").read_text()
    slack = float(re.search(r"(-?[\d.]+)\s+slack", report)[1])  # type: ignore[index]
    assert float(figures["fmax_mhz"]) == pytest.approx(1000 / (20 - slack), rel=1e-3)


def test_no_gate_drives_more_inputs_than_is_sane(made: Any) -> None:
    text = (made.outputs["artifact"] / "gates.v").read_text()
    loads: Counter[str] = Counter()
    for pin, net in re.findall(r"\.(\w+)\(([^()]+)\)", text):
        loads[net.strip()] += pin not in ("Y", "Q", "QN", "CLK")
    del loads["1'h0"], loads["1'h1"]
    assert loads.most_common(1)[0][1] <= tools.MOST_FAN_OUT + 4, loads.most_common(3)
    assert "BUFX2" in text


def test_without_tools_the_same_netlist_is_compiled_and_not_assessed(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOOLS, "verilator", TOOLS["verilator"]._replace(name="no-such-verilator"))
    bench, folder = place(tmp_path / "somewhere" / "else")
    again = bench.make(target, folder, ONNX, lanes=2)
    assert hash_folder(again.outputs["artifact"]) == hash_folder(made.outputs["artifact"])
    assert again.facts["proof"] == "compiled"
    assert "apt-get install verilator" in _judge(again.facts).text
    figures = {key: value for key, value in made.facts["figures"].items() if key != "fmax_mhz"}
    untimed = _judge({**made.facts, "figures": {**figures, "no_timing": "sta is not here: apt-get install opensta"}})
    assert untimed.status is Status.NOT_ASSESSED and "apt-get install opensta" in untimed.text


def _judge(facts: Any, **spec: Any) -> Any:
    want = Resource(Address("targets", "chip"), "targets/asic", target.Spec(**spec))
    return target.judge(want, Observed(Digest("sha256:0"), {}, facts), ())


def test_too_slow_a_netlist_blocks(made: Any) -> None:
    verdict = _judge(made.facts, frequency=10**9, max_accuracy_drop=0.9)
    assert verdict.status is Status.FAILED and verdict.blocks and "1000 MHz are wanted" in verdict.text
    assert _judge(made.facts, max_accuracy_drop=0.9).status is Status.PASSED


def test_the_drop_of_the_accuracy_is_judged_by_todays_bar(made: Any) -> None:
    assert _judge(made.facts, max_accuracy_drop=0.0).blocks
    assert not _judge(made.facts, max_accuracy_drop=0.0, inconclusive="warn").blocks


def test_cells_come_from_a_tracked_file_or_a_known_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sources(cells: str) -> Any:
        want = Resource(Address("targets", "chip"), "targets/asic", target.Spec(cells=cells))
        return target.sources(want, Files())

    assert sources("osu035") == {} and list(sources("./tool.sh")) == ["tool.sh"]
    for wrong in ("no-such.lib", "../data/plain.csv"):
        with pytest.raises(ProviderError, match="no file that git tracks") as error:
            sources(wrong)
        assert error.value.code == "MLO1454"
    bench, folder = place(tmp_path)
    context = bench.context()._replace(tree=Files())
    want = Resource(Address("targets", "chip"), "targets/asic", target.Spec(cells="tool.sh"))
    with pytest.raises(ProviderError, match="tool.sh holds no buffer cell"):
        target.apply(want, bench.inputs(folder, ONNX), context)
    monkeypatch.setitem(tools.OPEN_CELLS, "osu018", tmp_path / "absent.lib")
    with pytest.raises(ProviderError, match="absent.lib") as error:
        bench.make(target, folder, ONNX, name="other")
    assert "qflow-tech-osu018" in error.value.hint


@pytest.mark.parametrize("name", tools.OPEN_CELLS)
def test_the_smallest_buffer_of_a_library_is_found(name: str) -> None:
    text = tools.OPEN_CELLS[name].read_text(errors="replace")
    assert tools.buffer_of(text, name) == tools.Buffer("BUFX2", "A", "Y")


def test_the_device_names_the_provider() -> None:
    text = MANIFEST.replace("BLOCK", "device: asic, cells: osu035")
    assert load_manifest(text.encode()).resources[-1].provider == "targets/asic"


@pytest.mark.slow
def test_the_digits_network_runs_at_50_mhz(tmp_path: Path) -> None:
    bench = DigitsBench(tmp_path)
    (tmp_path / "model").mkdir()
    write_digits_mlp(tmp_path / "model" / "model.onnx")
    made = bench.make(target, tmp_path / "model", ONNX)
    print(made.facts["figures"])
    assert made.facts["n"] == TEST_ROWS and made.facts["proof"] == "emulated"
    assert float(made.facts["figures"]["fmax_mhz"]) >= 50
