"""From Verilog to gates: yosys onto the cells of a Liberty file, and OpenSTA's word on how fast they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .hardware import Workbench, command

OPEN_CELLS = {name: Path(f"/usr/share/qflow/tech/{name}/{name}_stdcells.lib") for name in ("osu018", "osu035")}
"""Standard cells of Oklahoma State University for 0.18 and 0.35 µm, as Debian's qflow-tech packages bring them."""
LIBRARY = "cells.lib"
MOST_FAN_OUT = 12
_INPUTS = "rst in_valid in_data* out_ready"


class Buffer(NamedTuple):
    """A cell that passes its input on."""

    cell: str
    input: str
    output: str


class Gates(NamedTuple):
    """What the netlist takes: how many cells, which of them hold a bit, and the area in the library's unit (µm²)."""

    cells: int
    flip_flops: int
    area: float


def buffer_of(text: str, place: str) -> Buffer:
    """The smallest buffer of a Liberty file. Raises ProviderError (MLO1454) where it has none, or is no such file."""
    found = []
    for match in re.finditer(
        r"^\s*cell\s*\(\s*\"?([\w$]+)\"?\s*\)\s*\{(.*?)(?=^\s*cell\s*\(|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        cell, body = match.groups()
        pins = re.findall(r"\bpin\s*\(\s*\"?(\w+)\"?\s*\)\s*\{(.*?)(?=\bpin\s*\(|\Z)", body, re.DOTALL)
        inputs = [name for name, rest in pins if re.search(r"direction\s*:\s*\"?input", rest)]
        outputs = [
            (name, re.sub(r"[\s()\"]", "", function[1]))
            for name, rest in pins
            if (function := re.search(r"\bfunction\s*:\s*\"([^\"]*)\"", rest))
        ]
        area = re.search(r"\barea\s*:\s*([\d.]+)", body)
        if len(inputs) == 1 and len(outputs) == 1 and outputs[0][1] == inputs[0] and "three_state" not in body:
            found.append((float(area[1]) if area else 0.0, Buffer(cell, inputs[0], outputs[0][0])))
    if not found:
        raise ProviderError(
            f"{place} holds no buffer cell, so no standard cells can be taken from it",
            hint="name a Liberty file (.lib) of standard cells with a buffer and a D flip-flop, or write cells: osu018",
            code="MLO1454",
        )
    return min(found)[1]


def synthesise(bench: Workbench, buffer: Buffer, frequency: float) -> Gates:
    """``core.v`` to ``gates.v``, with buffers where one output drives many inputs; ``flat.v`` is the same with each cell
    replaced by what the Liberty file says that it does."""
    period = round(1e12 / frequency)
    (bench.folder / "cells.constr").write_text(
        f"set_driving_cell {buffer.cell}\nset_load 0.05 [all_outputs]\n", "utf-8"
    )
    mapped = ["strash", "ifraig", "scorr", "dc2", "dch,-f", f"map,-B,0.9,-D,{period}", "topo"]
    mapped += [f"buffer,-p,-N,{MOST_FAN_OUT}", f"upsize,-D,{period}", f"dnsize,-D,{period}"]
    steps = [
        "read_verilog core.v",
        "synth -flatten -top core",
        f"dfflibmap -liberty {LIBRARY}",
        f"abc -liberty {LIBRARY} -constr cells.constr -D {period} -script +{';'.join(mapped)}",
        "setundef -zero",
        "splitnets",
        "opt_clean -purge",
        f"insbuf -buf {buffer.cell} {buffer.input} {buffer.output}",
        "opt_clean -purge",
        f"tee -o stat.txt stat -liberty {LIBRARY}",
        "write_verilog -noattr -noexpr -nohex gates.v",
        f"read_liberty {LIBRARY}",
        "hierarchy -top core",
        "flatten",
        "opt_clean",
        "write_verilog -noattr flat.v",
    ]
    # A script file: the semicolons between abc's commands would end a command on the line of -p.
    (bench.folder / "asic.ys").write_text("\n".join([*steps, ""]), "utf-8")
    bench.run([command("yosys"), "-q", "-s", "asic.ys"])
    said = (bench.folder / "stat.txt").read_text(encoding="utf-8")
    cells, area = re.search(r"Number of cells:\s+(\d+)", said), re.search(r"Chip area[^:]*:\s+([\d.]+)", said)
    kinds = {name: int(count) for name, count in re.findall(r"^\s+([A-Za-z]\w*)\s+(\d+)$", said, re.MULTILINE)}
    sequential = sum(count for name, count in kinds.items() if re.search(r"DF|FF|LAT", name, re.IGNORECASE))
    return Gates(int(cells[1]) if cells else 0, sequential, float(area[1]) if area else 0.0)


def timing(bench: Workbench, frequency: float) -> float:
    """The highest frequency in Hz by static timing analysis, without wires; the worst path stands in ``timing.txt``."""
    period = 1e9 / frequency
    constraints = [
        f"create_clock -name clk -period {period:.4f} [get_ports clk]",
        f"set_input_delay 0 -clock clk [get_ports {{{_INPUTS}}}]",
        "set_output_delay 0 -clock clk [all_outputs]",
        "set_load 0.05 [all_outputs]",
    ]
    (bench.folder / "core.sdc").write_text("\n".join([*constraints, ""]), "utf-8")
    steps = [
        f"read_liberty {LIBRARY}",
        "read_verilog gates.v",
        "link_design core",
        "read_sdc core.sdc",
        "report_checks -path_delay max -fields {slew cap} -digits 4 > timing.txt",
        "exit",
    ]
    (bench.folder / "timing.tcl").write_text("\n".join([*steps, ""]), "utf-8")
    said = bench.run([command("sta"), "-no_splash", "-exit", "timing.tcl"])
    report = (bench.folder / "timing.txt").read_text(encoding="utf-8")
    slack = re.search(r"(-?[\d.]+)\s+slack", report)
    if slack is None or "Error" in said:
        raise ProviderError(
            f"OpenSTA did not analyse the netlist: {' '.join(said.split())[:300]}",
            hint="the Liberty file may lack timing tables; write cells: osu018",
            code="MLO1451",
        )
    return 1e9 / (period - float(slack[1]))
