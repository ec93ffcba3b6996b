"""Cortex-M: how the C of a model is compiled, measured, and run on an emulated board."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .toolrun import run_tool, version_of
from .tools import find

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
_BUILD_HINT = "report it with the model: the C that mlopsctl writes has no errors and no warnings"
_RUN_HINT = "raise timeout:, or make the model smaller; the log of the emulator is in the words above"


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


def compile_model(folder: Path, scratch: Path, mcpu: str, *, seconds: float) -> Footprint:
    """Compiles ``model.c`` of ``folder`` to ``model.o`` beside it, and says what it takes of a device.

    What the compiler's own helpers take (products of 64 bits, soft floats) is counted; the caller's buffers are not.
    Raises ProviderError where the compiler refuses.
    """
    log = scratch / "build.log"
    made = scratch / "footprint"
    made.mkdir(exist_ok=True)
    compiler = str(find(COMPILER))
    here = [compiler, f"-mcpu={mcpu}", *_FLAGS, f"-ffile-prefix-map={folder}=."]
    told = {"seconds": seconds, "log": log, "doing": "compiling the model's C", "code": "MLO1460", "hint": _BUILD_HINT}
    run_tool([*here, "-fstack-usage", "-c", str(folder / "model.c"), "-o", "model.o"], made, **told)  # type: ignore[arg-type]
    whole = [compiler, f"-mcpu={mcpu}", "-mthumb", "-nostdlib", "-r", "-o", "whole.o", "model.o", "-lgcc"]
    run_tool(whole, made, **told)  # type: ignore[arg-type]
    measured = scratch / "size.log"
    measured.unlink(missing_ok=True)
    run_tool([str(find(SIZE)), "whole.o"], made, **{**told, "log": measured})  # type: ignore[arg-type]
    text, data, bss = (int(word) for word in measured.read_text("utf-8").splitlines()[-1].split()[:3])
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


def emulate(
    folder: Path, firmware: Path, scratch: Path, mcpu: str, prefix: str, *, features: int, results: int, seconds: float,
    memory: int,
) -> Path:  # fmt: skip
    """Links ``model.o`` of ``folder`` with the program ``firmware`` and runs it on the emulated board over
    ``scratch/run/rows.bin``; returns the file of its answers, in the form that ``check.c`` says.

    Raises ProviderError where it can not be built, fails, or does not end.
    """
    from .process import clean_env
    from .sandbox import make_sandbox

    board, work = BOARDS[mcpu], scratch / "run"
    log = scratch / "firmware.log"
    sizes = {"FLASH": hex(board.flash), "RAM": hex(board.ram), "FLASH_SIZE": board.size, "RAM_SIZE": board.size}
    argv = [str(find(COMPILER)), f"-mcpu={mcpu}", *_FLAGS, "-nostdlib", "-I", str(folder), "-I", str(firmware)]
    argv += [f"-DPREFIX={prefix}", f"-DFEATURES={features}", f"-DRESULTS={results}", "-T", str(firmware / "layout.ld")]
    argv += [f"-Wl,--defsym={name}={value}" for name, value in sizes.items()]
    argv += [
        str(folder / "model.o"),
        str(firmware / "startup.c"),
        str(firmware / "check.c"),
        "-lgcc",
        "-o",
        "check.elf",
    ]
    hint = f"a model whose tables and memory together exceed {board.size} does not fit this board"
    run_tool(argv, work, seconds=seconds, log=log, doing="linking the check", code="MLO1461", hint=hint)
    answers = work / "answers.bin"
    answers.unlink(missing_ok=True)
    sandbox = make_sandbox(read=[], write=[work], hidden=[], path=clean_env()["PATH"], memory=memory)
    machine = [
        str(find(EMULATOR)),
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
    doing = f"running the model on {board.machine}"
    run_tool(machine, work, seconds=seconds, log=log, doing=doing, code="MLO1461", hint=_RUN_HINT, confined=sandbox)
    if not answers.is_file():
        raise ProviderError(f"{doing}: no answers were written", hint=_RUN_HINT, code="MLO1461")
    return answers


def versions(scratch: Path, *names: str) -> dict[str, str]:
    """The versions of the tools by name."""
    return {name: version_of(str(find(name)), scratch) for name in names}
