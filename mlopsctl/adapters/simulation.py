"""Simulates a circuit in Verilator, row by row, and holds every byte that it answers against the integer model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError
from .hardware import Workbench, command

TOOLS = ("verilator", "g++", "make")
_QUICK = "OPT_GLOBAL=-O0 OPT_SLOW=-O0 OPT_FAST=-O1"
"""Building takes longer than running: only what runs every cycle is optimised."""
_FLAGS = (
    "--cc",
    "--exe",
    "--build",
    "-O3",
    "--x-initial",
    "0",
    "--x-assign",
    "0",
    "-MAKEFLAGS",
    _QUICK,
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-MODDUP",
)


class Job(NamedTuple):
    """``facts`` is the folder of ``rows.bin`` and ``answers.bin``, as workers/circuit.py leaves them."""

    facts: Path
    bytes_in: int
    bytes_out: int
    rows: int


class Cycles(NamedTuple):
    """``compute``: from the last byte of a row to the first of its answer, at most; ``row``: from the first byte in to the
    last byte out, at most."""

    compute: int
    row: int


def simulate(bench: Workbench, name: str, sources: Sequence[str], job: Job) -> Cycles:
    """Builds the circuit of ``sources`` (files and flags of Verilator, in the bench's folder) and runs it on every row.

    Raises ProviderError (MLO1452) unless all answers and labels are those of the integer model.
    """
    import numpy as np

    from ..integer import verilog

    harness = Path(str(verilog.__file__)).parent / "bench.cpp"
    (bench.folder / "bench.cpp").write_bytes(harness.read_bytes())
    given, found = bench.folder / "rows.bin", bench.folder / f"{name}.bin"
    given.write_bytes((job.facts / "rows.bin").read_bytes())
    top = ["--top-module", "core", "--prefix", "Vcore", "-Mdir", f"obj_{name}"]
    bench.run([command("verilator"), *_FLAGS, *top, *sources, "bench.cpp"])
    bench.run(
        [str(bench.folder / f"obj_{name}" / "Vcore"), given.name, found.name, str(job.bytes_in), str(job.bytes_out)]
    )
    wanted = np.frombuffer((job.facts / "answers.bin").read_bytes(), np.uint8).reshape(job.rows, -1)
    answered = np.frombuffer(found.read_bytes(), np.uint8)
    width = job.bytes_out + 2 + 8
    if len(answered) != job.rows * width:
        raise _other(name, f"it answered {len(answered) // width} of {job.rows} rows")
    table = answered.reshape(job.rows, width)
    wrong = (table[:, : job.bytes_out + 2] != wanted).any(axis=1)
    if wrong.any():
        raise _other(name, f"{int(wrong.sum())} of {job.rows} rows differ, the first is row {int(wrong.argmax())}")
    cycles = np.ascontiguousarray(table[:, job.bytes_out + 2 :]).view("<u4").reshape(job.rows, 2).max(axis=0, initial=0)
    return Cycles(int(cycles[0]), int(cycles[1]))


def _other(name: str, what: str) -> ProviderError:
    return ProviderError(
        f"the simulated {name} does not answer as the integer model does: {what}",
        hint="the circuit is not signed; report it with the model, and try another lanes: or part: meanwhile",
        code="MLO1452",
    )
