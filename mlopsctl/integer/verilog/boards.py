"""Boards: their FPGA, their oscillator, and the pins that the serial line and a light are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

BAUD = 115200
_IDLE = 22
"""2**22 cycles, a third of a second at 12 MHz: far longer than a byte takes, shorter than anybody waits."""


class Board(NamedTuple):
    """Pins by the names of ``top.v``. ``rx`` is what the FPGA receives on; ``led_low`` is a light that a low level lights;
    ``alive`` is a pin that must stay high for the board to stay on."""

    title: str
    part: str
    clock: int
    clk: str
    rx: str
    tx: str
    led: str
    led_low: bool = False
    alive: str = ""


BOARDS: Mapping[str, Board] = {
    "icebreaker": Board("iCEBreaker", "ice40-up5k", 12_000_000, "35", "6", "9", "11", led_low=True),
    "ice40-hx8k-evn": Board("Lattice iCE40HX-8K breakout board", "ice40-hx8k", 12_000_000, "J3", "B10", "B12", "B5"),
    "ulx3s-12f": Board("ULX3S 12F", "ecp5-12k", 25_000_000, "G2", "M1", "L4", "B2", alive="L2"),
    "ulx3s-25f": Board("ULX3S 25F", "ecp5-25k", 25_000_000, "G2", "M1", "L4", "B2", alive="L2"),
    "ulx3s-45f": Board("ULX3S 45F", "ecp5-45k", 25_000_000, "G2", "M1", "L4", "B2", alive="L2"),
    "ulx3s-85f": Board("ULX3S 85F", "ecp5-85k", 25_000_000, "G2", "M1", "L4", "B2", alive="L2"),
    "colorlight-i5": Board(
        "Colorlight i5 on its extension board", "ecp5-25k", 25_000_000, "P3", "H18", "J17", "U16", True
    ),
}

DEFAULT_BOARD: Mapping[str, str] = {
    "ice40-hx8k": "ice40-hx8k-evn",
    "ice40-up5k": "icebreaker",
    "ecp5-12k": "ulx3s-12f",
    "ecp5-25k": "ulx3s-25f",
    "ecp5-45k": "ulx3s-45f",
    "ecp5-85k": "ulx3s-85f",
}


def board_file(board: Board, *, divider: int = 0, idle: int = _IDLE) -> str:
    """What ``top.v`` includes. ``divider`` is how many cycles a bit of the serial line takes; 0 is that of BAUD."""
    lines = [
        f"// {board.title}: {board.clock / 1e6:g} MHz, {BAUD} baud",
        f"`define DIVIDER {divider or round(board.clock / BAUD)}",
        f"`define IDLE {idle}",
        f"`define LED_LOW 1'b{int(board.led_low)}",
    ]
    return "\n".join([*lines, *(["`define ALIVE"] if board.alive else []), ""])


def pin_file(board: Board) -> tuple[str, str]:
    """The constraints of a board: the name of the file, and its text."""
    pins = {"clk": board.clk, "rx": board.rx, "tx": board.tx, "led": board.led}
    pins |= {"alive": board.alive} if board.alive else {}
    if board.part.startswith("ice40"):
        lines = [f"set_io {name} {pin}" for name, pin in pins.items()]
        return "pins.pcf", "\n".join([f"# {board.title}", *lines, f"set_frequency clk {board.clock / 1e6:g}", ""])
    lines = [f'LOCATE COMP "{name}" SITE "{pin}";' for name, pin in pins.items()]
    lines += [f'IOBUF PORT "{name}" IO_TYPE=LVCMOS33;' for name in pins]
    return "pins.lpf", "\n".join([f"# {board.title}", *lines, ""])
