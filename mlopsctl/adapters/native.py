"""Programs for other processors: how they are built here, and how they are run here by an emulator."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ProviderError
from .artifact import MACHINES
from .tools import find

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

RUNTIME = "native"
_LINK = ("-Wl,--build-id=none", "-s")
"""Without these the linker writes an identifier and symbols that differ from run to run."""
_SHOWN = 5


class Processor(NamedTuple):
    """One ``arch:``. ``triple`` names Debian's compiler, ``words`` are TVM's for it beside ``mcpu``, ``mcpu`` what runs on
    every processor of the kind, ``flags`` what the C++ compiler needs so that both agree on how functions are called."""

    triple: str
    emulator: str
    mcpu: str
    words: Mapping[str, Any]
    flags: tuple[str, ...] = ()

    @property
    def compiler(self) -> str:
        return f"{self.triple}-g++"


PROCESSORS: Mapping[str, Processor] = {
    "arm64": Processor("aarch64-linux-gnu", "qemu-aarch64", "generic", {"mtriple": "aarch64-linux-gnu"}),
    "armv7": Processor(
        "arm-linux-gnueabihf",
        "qemu-arm",
        "cortex-a7",
        {"mtriple": "armv7a-linux-gnueabihf", "mfloat-abi": "hard"},
    ),
    "riscv64": Processor(
        "riscv64-linux-gnu", "qemu-riscv64", "sifive-u74", {"mtriple": "riscv64-linux-gnu", "mabi": "lp64d"}
    ),
}


def target_words(arch: str, mcpu: str) -> dict[str, Any]:
    """The processor in TVM's words."""
    return {"kind": "llvm", **PROCESSORS[arch].words, "mcpu": mcpu}


def build_bundle(parts: Path, sources: Path, out: Path, arch: str, *, seconds: float, log: Path) -> dict[str, str]:
    """Makes ``model.so`` of the ``parts`` that the worker wrote, and ``predict``; returns the compiler's version.

    ``model.so`` needs the C library alone. Raises ProviderError where the compiler refuses.
    """
    processor = PROCESSORS[arch]
    common = [str(find(processor.compiler)), "-std=c++17", "-O2", *processor.flags]
    names = ("-fno-ident", f"-ffile-prefix-map={sources}=.")
    library = ["-fPIC", "-shared", "-fno-exceptions", "-fno-rtti", "-I", str(sources), "-I", "."]
    library += ["-o", str(out / "model.so"), str(sources / "runtime.cpp"), "kernels.o", "-lm", "-Wl,--no-undefined"]
    loader = ["-o", str(out / "predict"), str(sources / "loader.cpp"), "-static-libstdc++", "-static-libgcc", "-ldl"]
    _run([*common, *names, *library, *_LINK], parts, seconds, log)
    _run([*common, *names, *loader, *_LINK], parts, seconds, log)
    return {processor.compiler: _version([common[0], "--version"], parts, log)}


def run_bundle(
    folder: Path, described: Mapping[str, Any], feeds: Arrays, scratch: Path, *, seconds: float, memory: int
) -> dict[str, Any]:
    """The outputs of ``model.so`` for all rows: name -> array [rows, …]; the program sees its own folder and the system.

    Raises ProviderError where it fails, or where neither this machine nor an emulator here can run it.
    """
    import numpy as np

    from .process import clean_env
    from .sandbox import make_sandbox

    arch = str(described["arch"])
    before = runner(arch)
    if before is None:
        raise ProviderError(
            f"programs for {arch} do not run on this machine",
            hint=f"apt-get install qemu-user brings {PROCESSORS[arch].emulator}, which runs them",
            code="MLO1411",
        )
    given, found = scratch / "rows.bin", scratch / "answers.bin"
    found.unlink(missing_ok=True)
    rows = len(next(iter(feeds.values())))
    ports = [np.ascontiguousarray(feeds[item["name"]], dtype=item["dtype"]) for item in described["inputs"]]
    as_bytes = [array.reshape(rows, -1).view(np.uint8).reshape(rows, -1) for array in ports]
    given.write_bytes(np.concatenate(as_bytes, axis=1).tobytes())
    argv = [*before, "./predict", "./model.so", "--binary"]
    sandbox = make_sandbox(read=[folder], write=[], hidden=[], path=clean_env()["PATH"], memory=memory)
    _run(argv, folder, seconds, scratch / "log", sandbox=sandbox, stdin=given, stdout=found, arch=arch)
    return _answers(found.read_bytes(), described["outputs"], rows)


def runner(arch: str) -> list[str] | None:
    """What is put before a program of this architecture: nothing at home, else the emulator; None where neither is here."""
    if MACHINES.get(platform.machine(), platform.machine()) == arch:
        return []
    processor = PROCESSORS[arch]
    emulator = find(processor.emulator)
    return [emulator, "-L", f"/usr/{processor.triple}"] if emulator else None


def emulator_version(arch: str, scratch: Path) -> dict[str, str]:
    """The emulator and its version; empty at home."""
    before = runner(arch)
    if not before:
        return {}
    return {PROCESSORS[arch].emulator: _version([before[0], "--version"], scratch, scratch / "log")}


def _answers(data: bytes, outputs: Sequence[Mapping[str, Any]], rows: int) -> dict[str, Any]:
    """One row after another, the bytes of each output in order, as arrays."""
    import numpy as np

    shapes = [tuple(int(size) for size in item["shape"][1:]) for item in outputs]
    fields = np.dtype([(f"f{at}", item["dtype"], shapes[at]) for at, item in enumerate(outputs)])
    if len(data) != rows * fields.itemsize:
        raise ProviderError(
            f"the compiled model answered {len(data)} bytes for {rows} rows, not {rows * fields.itemsize}",
            hint="report it: the loader and artifact.json disagree about the model's outputs",
            code="MLO1413",
        )
    table = np.frombuffer(data, fields)
    return {item["name"]: np.ascontiguousarray(table[f"f{at}"]) for at, item in enumerate(outputs)}


def _run(
    argv: Sequence[str],
    folder: Path,
    seconds: float,
    log: Path,
    *,
    sandbox: Any = None,
    stdin: Path = Path("/dev/null"),
    stdout: Path | None = None,
    arch: str = "",
) -> None:
    from .process import clean_env, run_logged, tail_lines

    env = clean_env({"LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "0"})
    ended = run_logged(
        argv,
        cwd=folder,
        env=env,
        log=log,
        timeout=seconds,
        confined=sandbox,
        stdin=stdin,
        stdout=stdout,
    )
    if ended.returncode == 0 and not ended.timed_out:
        return
    said = "; ".join(tail_lines(log, _SHOWN))
    how = f"no end after {seconds:g} seconds" if ended.timed_out else f"status {ended.returncode}"
    if arch:
        raise ProviderError(
            f"the compiled model does not run ({how}){': ' + said if said else ''}",
            hint=f"the processor may lack what mcpu: promises; without mcpu: it runs on every {arch}",
            code="MLO1413",
        )
    raise ProviderError(
        f"{Path(argv[0]).name} does not build the artifact ({how}): {said}",
        hint="the words of the compiler say why; an undefined name is something that only TVM's own runtime has",
        code="MLO1412",
    )


def _version(argv: Sequence[str], folder: Path, log: Path) -> str:
    """The first number with a point in what a tool says of its version."""
    said = log.with_name("version")
    said.unlink(missing_ok=True)
    _run(argv, folder, 60, said)
    match = re.search(r"[0-9]+(?:\.[0-9]+)+", said.read_text("utf-8", "replace"))
    return match[0] if match else "unknown"
