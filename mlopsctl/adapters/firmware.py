"""Cortex-M: how the C of a model is compiled, measured, and run on an emulated board."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .hardware import Workbench, command

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
SIZE = "arm-none-eabi-size"
_FLAGS = (
    "-mthumb",
    "-std=c99",
    "-O2",
    "-ffp-contract=off",
    "-fno-ident",
    "-ffreestanding",
    "-Wall",
    "-Wextra",
    "-Werror",
)
_CHECK = ("startup.c", "check.c", "host.h", "layout.ld")


class Board(NamedTuple):
    """A board of Arm's MPS2 that qemu emulates: where its memories begin, and their sizes."""

    machine: str
    flash: int
    ram: int
    size: str = "4M"


_AN385 = Board("mps2-an385", 0x0, 0x20000000)
BOARDS: Mapping[str, Board] = {
    "cortex-m0": _AN385,
    "cortex-m0plus": _AN385,
    "cortex-m3": _AN385,
    "cortex-m4": Board("mps2-an386", 0x0, 0x20000000),
    "cortex-m7": Board("mps2-an500", 0x0, 0x20000000),
    "cortex-m33": Board("mps2-an505", 0x10000000, 0x38000000, "2M"),
}
"""``mcpu:`` and the board it is run on; what is compiled for a Cortex-M0 runs on a Cortex-M3, which knows all it knows."""
NANOSECONDS_A_TICK = 40
"""SysTick of these boards counts at 25 MHz of the emulator's time, in which an instruction takes one nanosecond."""


class Footprint(NamedTuple):
    """Bytes: ``flash`` of code and tables, ``ram`` of fixed memory, ``stack`` of the deepest call of ``run``."""

    flash: int
    ram: int
    stack: int


def compile_model(folder: Path, bench: Workbench, mcpu: str) -> Footprint:
    """Compiles ``model.c`` of ``folder`` to ``model.o`` beside it, and says what it takes of a device.

    What the compiler's own helpers take (products of 64 bits, soft floats) is counted; the caller's buffers are not. The
    folder lies in the bench's. Raises ProviderError where the compiler refuses.
    """
    made = bench.folder / "footprint"
    made.mkdir(exist_ok=True)
    here = [command(COMPILER), f"-mcpu={mcpu}", *_FLAGS, f"-ffile-prefix-map={folder}=."]
    bench.run([*here, "-fstack-usage", "-c", str(folder / "model.c"), "-o", str(made / "model.o")])
    whole = [command(COMPILER), f"-mcpu={mcpu}", "-mthumb", "-nostdlib", "-r", "-o", str(made / "whole.o")]
    bench.run([*whole, str(made / "model.o"), "-lgcc"])
    sizes = bench.run([command(SIZE), str(made / "whole.o")]).splitlines()[-1].split()
    text, data, bss = (int(word) for word in sizes[:3])
    (folder / "model.o").write_bytes((made / "model.o").read_bytes())
    return Footprint(text + data, data + bss, _stack(made / "model.su"))


def _stack(usage: Path) -> int:
    """``run`` calls operations that call nothing of this file that takes stack: its own frame and the deepest of them."""
    frames = {}
    for line in usage.read_text("utf-8").splitlines():
        place, size, _ = line.split("\t")
        frames[place.rsplit(":", 1)[-1]] = int(size)
    own = next(size for name, size in frames.items() if name.endswith("_run"))
    inner = (size for name, size in frames.items() if not name.endswith(("_run", "_quantise", "_answer")))
    return own + max(inner, default=0)


def emulate(artifact: Path, check: Path, bench: Workbench, mcpu: str, prefix: str, sizes: Mapping[str, int]) -> Path:
    """Links ``model.o`` of ``artifact`` with the program in ``check`` and runs it on the emulated board over ``rows.bin`` of
    the bench's folder; returns the file of its answers, in the form that ``check.c`` says.

    ``sizes`` are the constants that ``check.c`` is compiled with. Raises ProviderError where it can not be built, fails, or
    does not end.
    """
    board = BOARDS[mcpu]
    for name in _CHECK:
        shutil.copyfile(check / name, bench.folder / name)
    for name in ("model.o", "model.h"):
        shutil.copyfile(artifact / name, bench.folder / name)
    places = {"FLASH": hex(board.flash), "RAM": hex(board.ram), "FLASH_SIZE": board.size, "RAM_SIZE": board.size}
    argv = [command(COMPILER), f"-mcpu={mcpu}", *_FLAGS, "-nostdlib", f"-DPREFIX={prefix}", "-T", "layout.ld"]
    argv += [f"-D{name}={value}" for name, value in sizes.items()]
    argv += [f"-Wl,--defsym={name}={value}" for name, value in places.items()]
    bench.run([*argv, "model.o", "startup.c", "check.c", "-lgcc", "-o", "check.elf"])
    answers = bench.folder / "answers.bin"
    answers.unlink(missing_ok=True)
    machine = [
        command(EMULATOR),
        "-M",
        board.machine,
        "-nographic",
        "-monitor",
        "none",
        "-serial",
        "none",
        "-nic",
        "none",
    ]
    machine += ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", "check.elf"]
    bench.run(machine)
    if not answers.is_file():
        raise ProviderError(
            f"{board.machine} wrote no answers",
            hint=f"a model whose tables and memory together exceed {board.size} does not fit this board",
            code="MLO1451",
        )
    return answers
