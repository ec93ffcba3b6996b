"""TVM's kernels as TVM leaves them and as workers/tvm_schedule.py arranges them, beside ONNX Runtime, one thread each.

``python bench/kernels.py [SECONDS]`` prints a line a net and batch: medians of interleaved runs, in microseconds.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tvm
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.workers import tvm_native
from mlopsctl.workers.tvm_lower import load, lower
from mlopsctl.workers.tvm_schedule import arrange

SOURCES = Path(tvm_native.__file__).parent / "native"
TARGET = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v3"}
node = helper.make_node


def weights(**sizes: tuple[int, ...]) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {name: (rng.normal(size=s) / np.sqrt(np.prod(s[1:]))).astype(np.float32) for name, s in sizes.items()}


def save(path: Path, nodes: list[Any], given: dict[str, Any], sizes: list[int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *sizes])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    return path


def perceptron(path: Path) -> Path:
    """64-32-16-10."""
    given = weights(a=(64, 32), b=(32,), c=(32, 16), d=(16,), e=(16, 10), f=(10,))
    nodes = [
        node("Gemm", ["x", "a", "b"], ["1"]),
        node("Relu", ["1"], ["2"]),
        node("Gemm", ["2", "c", "d"], ["3"]),
        node("Relu", ["3"], ["4"]),
        node("Gemm", ["4", "e", "f"], ["5"]),
        node("Softmax", ["5"], ["p"], axis=1),
    ]
    return save(path, nodes, given, [64])


def digits(path: Path) -> Path:
    """Two convolutions over 8 x 8 numbers and a dense layer."""
    given: dict[str, Any] = weights(k=(8, 1, 3, 3), l=(16, 8, 3, 3), w=(256, 10))
    nodes = [
        node("Conv", ["x", "k"], ["1"], pads=[1] * 4),
        node("Relu", ["1"], ["2"]),
        node("MaxPool", ["2"], ["3"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["3", "l"], ["4"], pads=[1] * 4),
        node("Relu", ["4"], ["5"]),
        node("Flatten", ["5"], ["6"]),
        node("MatMul", ["6", "w"], ["p"]),
    ]
    return save(path, nodes, given, [1, 8, 8])


def residual(path: Path) -> Path:
    """Three residual blocks of 32 to 128 channels over 32 x 32 pixels, as ResNet18 begins."""
    given, nodes = weights(k=(32, 3, 3, 3)), [node("Conv", ["x", "k"], ["c"], pads=[1] * 4), node("Relu", ["c"], ["r"])]
    last, channels = "r", 32
    for at, (out, stride) in enumerate([(32, 1), (64, 2), (128, 2)]):
        made = weights(**{f"a{at}": (out, channels, 3, 3), f"b{at}": (out, out, 3, 3), f"s{at}": (out, channels, 1, 1)})
        given |= made
        nodes += [
            node("Conv", [last, f"a{at}"], [f"x{at}"], pads=[1] * 4, strides=[stride] * 2),
            node("Relu", [f"x{at}"], [f"y{at}"]),
            node("Conv", [f"y{at}", f"b{at}"], [f"z{at}"], pads=[1] * 4),
            node("Conv", [last, f"s{at}"], [f"q{at}"], strides=[stride] * 2),
            node("Add", [f"z{at}", f"q{at}"], [f"t{at}"]),
            node("Relu", [f"t{at}"], [f"u{at}"]),
        ]
        last, channels = f"u{at}", out
    nodes += [
        node("GlobalAveragePool", [last], ["g"]),
        node("Flatten", ["g"], ["h"]),
        node("MatMul", ["h", "w"], ["p"]),
    ]
    return save(path, nodes, {**given, **weights(w=(128, 10))}, [3, 32, 32])


def built(model: Path, batch: int, schedule: Any, folder: Path) -> ctypes.CDLL:
    """The model as a library of one C function, as targets for other processors have it."""
    folder.mkdir()
    module, outputs = load(str(model), batch)
    target = tvm.target.Target(TARGET)
    program = lower(module, outputs, target, schedule)
    tvm.tirx.build(tvm.IRModule(program.kernels), target=target).write_to_file(str(folder / "kernels.o"), "o")
    (folder / "weights.bin").write_bytes(program.weights)
    (folder / "model.inc").write_text(tvm_native.tables(program, batch), encoding="utf-8")
    command = ["g++", "-std=c++17", "-O2", "-fPIC", "-shared", "-I", str(SOURCES), "-I", ".", "-o", "model.so"]
    subprocess.run([*command, str(SOURCES / "runtime.cpp"), "kernels.o", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "model.so"))


def measure(model: Path, batch: int, seconds: float, folder: Path) -> dict[str, float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)
    x = np.random.default_rng(0).normal(size=(batch, *session.get_inputs()[0].shape[1:])).astype(np.float32)
    expected = session.run(None, {"x": x})[0]
    found = np.zeros_like(expected)
    given, answers = (ctypes.c_void_p * 1)(x.ctypes.data), (ctypes.c_void_p * 1)(found.ctypes.data)
    runs: dict[str, Any] = {"ONNX Runtime": lambda: session.run(None, {"x": x})}
    for name, schedule in (("as TVM leaves them", lambda module: module), ("arranged", arrange)):
        library = built(model, batch, schedule, folder / name.replace(" ", "-"))
        if library.mlopsctl_model_run(given, answers) != 0 or not np.allclose(found, expected, atol=1e-4):
            raise SystemExit(f"{model.name}, {name}: other answers than ONNX Runtime's")
        runs[name] = lambda library=library: library.mlopsctl_model_run(given, answers)
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
    return {name: 1e6 * median(values) for name, values in times.items()}


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory() as name:
        for write in (perceptron, digits, residual):
            model = write(Path(name) / f"{write.__name__}.onnx")
            for batch in (1, 32):
                found = measure(model, batch, seconds, Path(tempfile.mkdtemp(dir=name)))
                told = ", ".join(f"{key} {value:,.1f} us" for key, value in found.items())
                gain = found["as TVM leaves them"] / found["arranged"]
                print(f"{write.__name__}, batch {batch}: {told}; {gain:.1f} x by arranging", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
