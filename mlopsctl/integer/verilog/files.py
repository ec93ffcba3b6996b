"""The files of a circuit: the engine as it is written, the program and the contents of its memories for one graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..graph import Graph, Trees
from .layout import Layout, Pass, bits, lay_out, shape_text, signed_bits
from .trees import tree_files

_HERE = Path(__file__).parent


def circuit(graph: Graph, lanes: int) -> dict[str, str]:
    """The Verilog and the memories of a graph: file name -> text; the module is ``core``.

    Raises Refused where the graph has no circuit.
    """
    trees = next((op for op in graph.ops if isinstance(op, Trees)), None)
    if trees is not None:
        return tree_files(graph, trees)
    layout = lay_out(graph, lanes)
    return {
        "core.v": (_HERE / "engine.v").read_text(encoding="utf-8"),
        "program.vh": _program(graph, layout),
        "weights.hex": _words([[int(byte) & 0xFF for byte in word] for word in layout.weights]),
        "params.hex": _params(layout),
    }


def _words(words: list[list[int]]) -> str:
    """A line a word; the first byte is the lowest."""
    return "".join("".join(f"{byte:02x}" for byte in reversed(word)) + "\n" for word in words)


def _params(layout: Layout) -> str:
    digits = -(-(layout.sum_bits + layout.multiplier_bits) // 4)
    mask = (1 << layout.sum_bits) - 1
    words = ((bias & mask) << layout.multiplier_bits | multiplier for bias, multiplier in layout.params)
    return "".join(f"{word:0{digits}x}\n" for word in words)


def _most(passes: tuple[Pass, ...]) -> dict[str, int]:
    """Bits of the counters."""
    counted = max(max(*item.taps, item.blocks, item.groups) for item in passes)
    around = max(max(item.image) + sum(item.taps[1:]) + sum(item.corner) for item in passes)
    return {
        "CW": bits(counted),
        "PW": bits(max(max(item.size) for item in passes)),
        "IW": bits(around) + 1,
    }


def _program(graph: Graph, layout: Layout) -> str:
    widths = {
        "AW": bits(max(layout.bytes - 1, layout.outputs)),
        "WW": bits(len(layout.weights)),
        "MW": bits(len(layout.params)),
        "LW": bits(layout.lanes),
        **_most(layout.passes),
    }
    passes = layout.passes
    constants: Mapping[str, int] = {
        "LANES": layout.lanes,
        "INPUTS": layout.inputs,
        "OUTPUTS": layout.outputs,
        "RESULT": layout.result,
        "OPS": len(passes),
        "BYTES": layout.bytes,
        "WEIGHTS": len(layout.weights),
        "PARAMS": len(layout.params),
        "ACC": layout.acc_bits,
        "SUM": layout.sum_bits,
        "MUL": layout.multiplier_bits,
        "PARAM": layout.sum_bits + layout.multiplier_bits,
        "PROD": layout.product_bits,
        "SHIFT": layout.shift,
        "WINDOWS": int(any(item.taps[1:] != (1, 1) or any(item.corner) for item in passes)),
        "GROUPS": int(any(item.groups > 1 for item in passes)),
        "MAXES": int(any(item.kind == "max" for item in passes)),
        "ADDS": int(any(item.kind == "add" for item in passes)),
        **widths,
        "OW": bits(len(passes)),
    }
    lines = [f"    // {line}" for line in _summary(graph, layout)]
    lines += [f"    localparam {name} = {value};" for name, value in constants.items()]
    lines += ["", "    reg [OW-1:0] op;", *(f"    reg {kind} {name};" for name, kind in _REGISTERS.items()), ""]
    lines += ["    always @* begin", *(f"        {name} = 0;" for name in _REGISTERS), "        case (op)"]
    for number, item in enumerate(passes):
        lines += [f"            {number}: begin // {_plain(item.title)}"]
        lines += [f"                {name} = {_literal(value)};" for name, value in _values(item).items() if value]
        lines += ["            end"]
    return "\n".join([*lines, "            default: ;", "        endcase", "    end", ""])


def _literal(value: int) -> str:
    """Verilog's numbers have 32 bits unless they say otherwise."""
    wide = signed_bits(value) > 32
    text = f"{signed_bits(value)}'sd{abs(value)}" if wide else str(abs(value))
    return f"-{text}" if value < 0 else text


def _plain(title: str) -> str:
    """What stands in a comment: a line of printable letters."""
    return "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in title)[:120].rstrip("\\")


def _summary(graph: Graph, layout: Layout) -> list[str]:
    source = graph.tensors[graph.source.tensor]
    ends = f"{shape_text(source.shape)} bytes in, {shape_text(graph.result.shape)} out."
    return [
        f"{len(layout.passes)} operations on {layout.lanes} lanes: {ends}",
        f"Every product is divided by 2**{layout.shift}; the multipliers of all layers are brought to that.",
    ]


_REGISTERS: Mapping[str, str] = {
    "is_unit": "",
    "is_max": "",
    "is_add": "",
    "source": "[AW-1:0]",
    "target": "[AW-1:0]",
    "weights_from": "[WW-1:0]",
    "params_from": "[MW-1:0]",
    "channels_last": "[CW-1:0]",
    "rows_last": "[CW-1:0]",
    "columns_last": "[CW-1:0]",
    "step_row": "[AW-1:0]",
    "step_channel": "[AW-1:0]",
    "blocks_last": "[CW-1:0]",
    "groups_last": "[CW-1:0]",
    "step_group": "[AW-1:0]",
    "lanes_last": "[LW-1:0]",
    "out_step": "[AW-1:0]",
    "out_rows_last": "[PW-1:0]",
    "out_columns_last": "[PW-1:0]",
    "move_column": "[AW-1:0]",
    "move_row": "[AW-1:0]",
    "corner": "[AW-1:0]",
    "corner_rows": "[IW-1:0]",
    "corner_columns": "[IW-1:0]",
    "stride_rows": "[IW-1:0]",
    "stride_columns": "[IW-1:0]",
    "image_rows": "[IW-1:0]",
    "image_columns": "[IW-1:0]",
    "pad": "signed [7:0]",
    "zero_point": "signed [7:0]",
    "low": "signed [7:0]",
    "high": "signed [7:0]",
    "extra": "signed [PROD-1:0]",
}


def _values(item: Pass) -> dict[str, int]:
    return {
        "is_unit": int(item.kind != "sum"),
        "is_max": int(item.kind == "max"),
        "is_add": int(item.kind == "add"),
        "source": item.source,
        "target": item.target,
        "weights_from": item.weights,
        "params_from": item.params,
        "channels_last": item.taps[0] - 1,
        "rows_last": item.taps[1] - 1,
        "columns_last": item.taps[2] - 1,
        "step_row": item.step_row,
        "step_channel": item.step_channel,
        "blocks_last": item.blocks - 1,
        "groups_last": item.groups - 1,
        "step_group": item.step_group,
        "lanes_last": item.last,
        "out_step": item.out_step,
        "out_rows_last": item.size[0] - 1,
        "out_columns_last": item.size[1] - 1,
        "move_column": item.move_column,
        "move_row": item.move_row,
        "corner": item.corner[0] * item.image[1] + item.corner[1],
        "corner_rows": item.corner[0],
        "corner_columns": item.corner[1],
        "stride_rows": item.stride[0],
        "stride_columns": item.stride[1],
        "image_rows": item.image[0],
        "image_columns": item.image[1],
        "pad": item.pad,
        "zero_point": item.zero_point,
        "low": item.low,
        "high": item.high,
        "extra": item.extra,
    }
