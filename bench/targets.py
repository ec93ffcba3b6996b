"""What ``use: auto`` and ``quantize: int8`` give beside plain ONNX Runtime, on four nets and two batches.

Ratios are of the shortest of many turns side by side, on one thread. ``--tvm`` lets TVM take part, which takes an hour. Exit code 1 when
a figure is missed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nets import NETS

from mlopsctl.adapters import tools
from mlopsctl.adapters.store import hash_folder
from mlopsctl.adapters.worker import run_worker
from mlopsctl.providers.targets import auto, onnxruntime
from mlopsctl.serving import latency
from tests.providers.targets.digits import DigitsBench, rows

ROUNDS = 60
AUTO_LIMIT, INT8_LIMIT, DROP_LIMIT = 1.02, 1 / 2.5, 0.01
NAMED = "ResNet18-like"


def main() -> int:
    if "--tvm" not in sys.argv:
        find = tools.find
        vars(auto)["find"] = lambda name: None if name == "tvm" else find(name)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        for name, write in NETS.items():
            place = Path(scratch) / name.replace(" ", "-")
            (place / "model").mkdir(parents=True)
            write(place / "model" / "model.onnx")
            missed += report(name, place)
    return 1 if missed else 0


def report(name: str, place: Path) -> int:
    """Prints the figures of one net; returns how many are missed."""
    bench, model, kind = DigitsBench(place), place / "model", {"kind": "onnx"}
    plain = bench.make(onnxruntime, model, kind, "plain").outputs["artifact"]
    missed = 0
    for batch in (1, 32):
        made = bench.make(
            auto,
            model,
            kind,
            f"auto{batch}",
            batch=batch,
            quantize="allowed",
            max_accuracy_drop=0.02,
            inconclusive="warn",
        )
        choice = made.facts["choice"]
        same = hash_folder(plain) == hash_folder(made.outputs["artifact"])
        again = 1.0 if same else compared(plain, made.outputs["artifact"], place, batch)
        line = f"{name}, batch {batch}: {choice['why']}; "
        line += "the same bytes as plain" if same else f"measured again {again:.2f}"
        missed += told(line, again <= AUTO_LIMIT)
    if name == NAMED:
        made = bench.make(onnxruntime, model, kind, "int8", quantize="int8")
        ratio = max(compared(plain, made.outputs["artifact"], place, batch) for batch in (1, 32))
        metrics: Any = made.facts["metrics"]
        drop = float(metrics["drop"]["value"])
        line = f"{name}, int8, the slower batch: {1 / ratio:.2f} x as fast as plain, accuracy {metrics['artifact']['value']}"
        line += f", the model's {metrics['original']['value']}, drop {drop:.4f} {metrics['drop']['ci']}"
        missed += told(line, ratio <= INT8_LIMIT and drop <= DROP_LIMIT)
    return missed


def compared(plain: Path, other: Path, place: Path, batch: int) -> float:
    """What part of plain ONNX Runtime's time the other takes."""
    import numpy as np

    feeds = place / "feeds.npz"
    np.savez(feeds, x=rows()[0][:batch])
    request = {"folders": {"plain": str(plain), "other": str(other)}, "feeds": str(feeds), "rounds": ROUNDS}
    answer = run_worker(Path(latency.__file__), request, seconds=600, memory=16 * 2**30, task="timing")
    seconds = answer["seconds"]
    return float(min(seconds["other"]) / min(seconds["plain"]))


def told(line: str, held: bool) -> bool:
    print(f"{'ok  ' if held else 'MISS'}  {line}", flush=True)
    return not held


if __name__ == "__main__":
    sys.exit(main())
