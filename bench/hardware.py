"""What ``device: fpga`` and ``device: asic`` give for two nets on the handwritten digits, each through its whole way.

Every row of the test view is simulated, as Verilog and as netlist. Exit code 1 when a figure is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nets import cnn

from mlopsctl.providers.targets import asic, fpga
from tests.providers.targets.digits import DigitsBench, write_digits_mlp

MOST_SECONDS = 180
HERTZ = 50_000_000
FEWER_CYCLES = 10


class Way(NamedTuple):
    """One net on one device."""

    name: str
    target: Any
    write: Callable[[Path], Path]
    spec: dict[str, Any]
    least_mhz: float


WAYS = (
    Way("MLP 64-32-16-10, ecp5-25k, 1 lane", fpga, write_digits_mlp, {"lanes": 1, "frequency": HERTZ}, 50),
    Way("MLP 64-32-16-10, ecp5-25k, 16 lanes", fpga, write_digits_mlp, {"lanes": 16, "frequency": HERTZ}, 50),
    Way("MLP 64-32-16-10, ice40-hx8k, 1 lane", fpga, write_digits_mlp, {"part": "ice40-hx8k"}, 12),
    Way("CNN, ecp5-25k, 8 lanes", fpga, cnn, {"lanes": 8}, 25),
    Way("MLP 64-32-16-10, osu018", asic, write_digits_mlp, {"frequency": HERTZ}, 50),
)


def main() -> int:
    missed, cycles = 0, []
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        for number, way in enumerate(WAYS):
            place = Path(scratch) / str(number)
            (place / "model").mkdir(parents=True)
            way.write(place / "model" / "model.onnx")
            begun = time.monotonic()
            facts = DigitsBench(place).make(way.target, place / "model", {"kind": "onnx"}, **way.spec).facts
            seconds, figures = time.monotonic() - begun, facts["figures"]
            cycles.append(figures["cycles"])
            reached = float(figures["fmax_mhz"])
            print(f"{way.name}: {facts['proof']} on {facts['n']} rows in {seconds:.0f} s, at most {MOST_SECONDS}")
            print(f"  {reached} MHz, at least {way.least_mhz:g}; " + ", ".join(f"{k} {v}" for k, v in figures.items()))
            missed += (seconds > MOST_SECONDS) + (reached < way.least_mhz)
    ratio = cycles[0] / cycles[1]
    print(f"16 lanes take {ratio:.1f} times fewer cycles than one, at least {FEWER_CYCLES}")
    return 1 if missed or ratio < FEWER_CYCLES else 0


if __name__ == "__main__":
    sys.exit(main())
