"""Runs the GPU artifact in this folder, without TVM: needs Python and numpy, and the driver of the GPU alone.

    python run.py < rows.csv > answers.csv      rows of numbers, one a line; answers likewise
    python run.py --arrays IN.npz OUT.npz       arrays by the names of inputs and outputs
    python run.py --check model.onnx [ROWS]     random rows through the GPU and through ONNX Runtime: how far they differ, how long
                                                each takes, as one line of JSON; status 1 where they differ by more than 1e-3

``kernels.cubin`` is made with nvcc where it is missing. ``launches.json`` says which kernels are launched on which buffers.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

HERE = Path(__file__).resolve().parent
_TIMED = 30
_TOLERANCE = 1e-3


class Device:
    """One buffer for all intermediate results and one for the weights, and the launches over them."""

    name = ""

    def write(self, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def read(self, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def launch(self) -> None:
        """All kernels once, in order; returns when they are done."""
        raise NotImplementedError


class Cuda(Device):
    """Through the driver's own interface (libcuda), which every NVIDIA driver brings."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self._lib = ctypes.CDLL("libcuda.so.1")
        self._do("cuInit", 0)
        device, context, module = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuDeviceGet", ctypes.byref(device), 0)
        name = ctypes.create_string_buffer(128)
        self._do("cuDeviceGetName", name, 128, device)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._do("cuDeviceGetAttribute", ctypes.byref(major), 75, device)
        self._do("cuDeviceGetAttribute", ctypes.byref(minor), 76, device)
        self.name = f"{name.value.decode()} (sm_{major.value}{minor.value})"
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._do("cuCtxSetCurrent", context)
        self._do("cuModuleLoadData", ctypes.byref(module), cubin(folder, plan))
        weights = (folder / "weights.bin").read_bytes()
        self._places = {"arena": self._room(plan["arena"]), "weight": self._room(len(weights))}
        self._copy_in(self._places["weight"], weights)
        self._launches = [self._prepare(module, item) for item in plan["launches"]]

    def _do(self, name: str, *arguments: Any) -> None:
        function = getattr(self._lib, name + "_v2", None) or getattr(self._lib, name)
        if code := function(*arguments):
            text = ctypes.c_char_p()
            self._lib.cuGetErrorString(code, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'').decode()} (error {code})")

    def _room(self, size: int) -> int:
        found = ctypes.c_uint64()
        self._do("cuMemAlloc", ctypes.byref(found), ctypes.c_size_t(max(size, 1)))
        return found.value

    def _copy_in(self, place: int, data: bytes) -> None:
        if data:
            self._do("cuMemcpyHtoD", ctypes.c_uint64(place), data, ctypes.c_size_t(len(data)))

    def _prepare(self, module: ctypes.c_void_p, item: Mapping[str, Any]) -> tuple[Any, ...]:
        function = ctypes.c_void_p()
        self._do("cuModuleGetFunction", ctypes.byref(function), module, item["kernel"].encode())
        values = [ctypes.c_uint64(self._places[kind] + offset) for kind, offset, _ in item["arguments"]]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        return function, item["grid"], item["block"], pointers, values

    def write(self, offset: int, data: bytes) -> None:
        self._copy_in(self._places["arena"] + offset, data)

    def read(self, offset: int, size: int) -> bytes:
        found = ctypes.create_string_buffer(size)
        self._do("cuMemcpyDtoH", found, ctypes.c_uint64(self._places["arena"] + offset), ctypes.c_size_t(size))
        return found.raw

    def launch(self) -> None:
        for function, grid, block, pointers, _ in self._launches:
            self._do("cuLaunchKernel", function, *grid, *block, 0, None, pointers, None)
        self._do("cuCtxSynchronize")


class OpenCl(Device):
    """Through libOpenCL; the source is compiled by the driver, as OpenCL has it. Offsets become sub-buffers."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self._lib = ctypes.CDLL("libOpenCL.so.1")
        for name in (
            "clCreateContext",
            "clCreateCommandQueue",
            "clCreateBuffer",
            "clCreateSubBuffer",
            "clCreateKernel",
        ):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.clCreateProgramWithSource.restype = ctypes.c_void_p
        device = self._device()
        self.name = self._told("clGetDeviceInfo", device, 0x102B)
        self._context = self._made("clCreateContext", None, 1, ctypes.byref(device), None, None)
        self._queue = self._made("clCreateCommandQueue", self._context, device, ctypes.c_uint64(0))
        text = (folder / plan["source"]).read_bytes()
        source, length = ctypes.c_char_p(text), ctypes.c_size_t(len(text))
        program = self._made("clCreateProgramWithSource", self._context, 1, ctypes.byref(source), ctypes.byref(length))
        self._do("clBuildProgram", program, 1, ctypes.byref(device), b"-w", None, None)
        weights = (folder / "weights.bin").read_bytes()
        self._places = {"arena": self._buffer(plan["arena"]), "weight": self._buffer(len(weights))}
        self._parts: dict[tuple[str, int, int], Any] = {}
        self._copy("clEnqueueWriteBuffer", "weight", 0, ctypes.c_char_p(weights), len(weights))
        self._launches = [self._prepare(program, item) for item in plan["launches"]]

    def _device(self) -> ctypes.c_void_p:
        count, device = ctypes.c_uint(), ctypes.c_void_p()
        self._do("clGetPlatformIDs", 0, None, ctypes.byref(count))
        platforms = (ctypes.c_void_p * count.value)()
        self._do("clGetPlatformIDs", count, platforms, None)
        for kind in (4, 0xFFFFFFFF):  # a GPU, else whatever there is
            for platform in platforms:
                given = (ctypes.c_void_p(platform), ctypes.c_uint64(kind), 1, ctypes.byref(device), None)
                if self._lib.clGetDeviceIDs(*given) == 0:
                    self.kind = self._kind(device)
                    return device
        raise RuntimeError("OpenCL has no device here")

    def _kind(self, device: ctypes.c_void_p) -> str:
        found = ctypes.c_uint64()
        self._do("clGetDeviceInfo", device, 0x1000, ctypes.c_size_t(8), ctypes.byref(found), None)
        return "gpu" if found.value & 4 else "processor"

    def _do(self, name: str, *arguments: Any) -> None:
        if code := getattr(self._lib, name)(*arguments):
            raise RuntimeError(f"{name}: error {code}")

    def _made(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        code = ctypes.c_int()
        found = getattr(self._lib, name)(*arguments, ctypes.byref(code))
        if code.value:
            raise RuntimeError(f"{name}: error {code.value}")
        return ctypes.c_void_p(found)

    def _told(self, name: str, what: ctypes.c_void_p, key: int) -> str:
        found = ctypes.create_string_buffer(1024)
        self._do(name, what, key, ctypes.c_size_t(len(found)), found, None)
        return found.value.decode()

    def _buffer(self, size: int) -> ctypes.c_void_p:
        return self._made("clCreateBuffer", self._context, ctypes.c_uint64(1), ctypes.c_size_t(max(size, 1)), None)

    def _part(self, kind: str, offset: int, size: int) -> Any:
        """A part of a buffer: kernels know no offsets."""
        if (kind, offset, size) not in self._parts:
            region = (ctypes.c_size_t * 2)(offset, size)
            self._parts[kind, offset, size] = self._made(
                "clCreateSubBuffer", self._places[kind], ctypes.c_uint64(1), 0x1220, ctypes.byref(region)
            )
        return self._parts[kind, offset, size]

    def _prepare(self, program: Any, item: Mapping[str, Any]) -> tuple[Any, ...]:
        kernel = self._made("clCreateKernel", program, item["kernel"].encode())
        for number, place in enumerate(item["arguments"]):
            self._do("clSetKernelArg", kernel, number, ctypes.c_size_t(8), ctypes.byref(self._part(*place)))
        block = (ctypes.c_size_t * 3)(*item["block"])
        whole = (ctypes.c_size_t * 3)(*(a * b for a, b in zip(item["grid"], item["block"], strict=True)))
        return kernel, whole, block

    def _copy(self, name: str, kind: str, offset: int, memory: Any, size: int) -> None:
        if size:
            place = (ctypes.c_size_t(offset), ctypes.c_size_t(size))
            self._do(name, self._queue, self._places[kind], 1, *place, memory, 0, None, None)

    def write(self, offset: int, data: bytes) -> None:
        self._copy("clEnqueueWriteBuffer", "arena", offset, ctypes.c_char_p(data), len(data))

    def read(self, offset: int, size: int) -> bytes:
        found = ctypes.create_string_buffer(size)
        self._copy("clEnqueueReadBuffer", "arena", offset, found, size)
        return found.raw

    def launch(self) -> None:
        for kernel, whole, block in self._launches:
            self._do("clEnqueueNDRangeKernel", self._queue, kernel, 3, None, whole, block, 0, None, None)
        self._do("clFinish", self._queue)


def cubin(folder: Path, plan: Mapping[str, Any]) -> bytes:
    """The compiled kernels: the file, or what nvcc makes of the source now."""
    if (folder / "kernels.cubin").is_file():
        return (folder / "kernels.cubin").read_bytes()
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        raise RuntimeError("there is no kernels.cubin and no nvcc to make it with")
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "kernels.cubin"
        command = [nvcc, f"-arch={plan['arch']}", "-cubin", "-w", "-o", str(made), str(folder / plan["source"])]
        subprocess.run(command, check=True)
        return made.read_bytes()


class Model:
    """The artifact, ready for any number of rows."""

    def __init__(self, folder: Path = HERE) -> None:
        self.plan = json.loads((folder / "launches.json").read_bytes())
        apis: dict[str, Callable[[Path, Any], Device]] = {"cuda": Cuda, "opencl": OpenCl}
        if self.plan["api"] not in apis:
            raise RuntimeError(f"kernels for {self.plan['api']} are not run by this script")
        self.device = apis[self.plan["api"]](folder, self.plan)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All rows, a batch at a time; the last is filled up with copies of its last row."""
        given = [np.ascontiguousarray(feeds[item["name"]], item["dtype"]) for item in self.plan["inputs"]]
        rows, batch = len(given[0]), self.plan["batch"]
        found: dict[str, list[Array]] = {item["name"]: [] for item in self.plan["outputs"]}
        for start in range(0, rows, batch):
            chosen = np.minimum(np.arange(start, start + batch), rows - 1)
            for item, array in zip(self.plan["inputs"], given, strict=True):
                self.device.write(item["offset"], array[chosen].tobytes())
            self.device.launch()
            for item in self.plan["outputs"]:
                dtype = np.dtype(item["dtype"])
                size = int(np.prod(item["shape"])) * dtype.itemsize
                answers = np.frombuffer(self.device.read(item["offset"], size), dtype).reshape(item["shape"])
                found[item["name"]].append(answers[: min(batch, rows - start)])
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def seconds(self) -> float:
        """The median time of one batch's launches, buffers in place; the caller has run some before."""
        times: list[float] = []
        while len(times) < _TIMED and sum(times) < 1:
            begun = time.perf_counter()
            self.device.launch()
            times.append(time.perf_counter() - begun)
        return statistics.median(times)


def from_text(model: Model) -> None:
    """Rows of numbers on the standard input, one a line, all inputs in order; answers likewise."""
    table = np.loadtxt(sys.stdin, delimiter=",", ndmin=2)
    feeds, start = {}, 0
    for item in model.plan["inputs"]:
        width = int(np.prod(item["shape"][1:], dtype=int))
        feeds[item["name"]] = table[:, start : start + width].reshape(len(table), *item["shape"][1:])
        start += width
    if start != table.shape[1]:
        raise RuntimeError(f"a row has {table.shape[1]} numbers; the model takes {start}")
    answers = model.run(feeds)
    flat = [array.reshape(len(table), -1) for array in answers.values()]
    for row in zip(*flat, strict=True):
        print(",".join(f"{value:.9g}" for part in row for value in part))


def check(model: Model, onnx: str, rows: int) -> int:
    """Random rows through the GPU and through ONNX Runtime, on its CUDA provider too where it has one."""
    import onnxruntime

    rng = np.random.default_rng(0)
    feeds = {}
    for item in model.plan["inputs"]:
        shape = (rows, *item["shape"][1:])
        whole = np.dtype(item["dtype"]).kind in "iub"
        feeds[item["name"]] = (rng.integers(0, 2, shape) if whole else rng.normal(size=shape)).astype(item["dtype"])
    answers = model.run(feeds)
    said: dict[str, Any] = {"device": model.device.name, "rows": rows, "batch": model.plan["batch"]}
    said["seconds_a_batch"] = model.seconds()
    worst = 0.0
    for provider in ("CPUExecutionProvider", "CUDAExecutionProvider"):
        if provider not in onnxruntime.get_available_providers():
            continue
        session = onnxruntime.InferenceSession(onnx, providers=[provider])
        names = [item.name for item in session.get_outputs()]
        expected = dict(zip(names, session.run(names, feeds), strict=True))
        differences = [
            float(np.max(np.abs(answers[name].astype(float) - expected[name].astype(float)), initial=0))
            for name in answers
        ]
        one = {name: array[: model.plan["batch"]] for name, array in feeds.items()}
        times = []
        for _ in range(_TIMED):
            begun = time.perf_counter()
            session.run(names, one)
            times.append(time.perf_counter() - begun)
        said[provider] = {"max_abs_diff": max(differences), "seconds_a_batch": statistics.median(times)}
        worst = max(worst, *differences)
    said["agrees"] = worst <= _TOLERANCE
    print(json.dumps(said))
    return 0 if said["agrees"] else 1


def main(words: list[str]) -> int:
    model = Model()
    if words[:1] == ["--check"]:
        return check(model, words[1], int(words[2]) if len(words) > 2 else 4 * model.plan["batch"])
    if words[:1] == ["--arrays"]:
        with np.load(words[1], allow_pickle=False) as given:
            answers = model.run(dict(given))
        np.savez(words[2], **answers)  # type: ignore[arg-type]
        kind = getattr(model.device, "kind", "gpu")
        print(json.dumps({"device": model.device.name, "kind": kind, "seconds_a_batch": model.seconds()}))
        return 0
    from_text(model)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (RuntimeError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        sys.exit(1)
