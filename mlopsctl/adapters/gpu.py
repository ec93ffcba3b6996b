"""GPUs: whether one is here, how their kernels are compiled, and how an artifact of kernels is run."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from .tools import find

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

RUNTIMES = {"cuda": "cuda", "opencl": "opencl", "webgpu": "webgpu"}
_CARD = Path("/dev/nvidia0")
_VENDORS = Path("/etc/OpenCL/vendors")
_SHOWN = 5


def api_of(arch: str) -> str:
    """What the kernels are written in: ``sm_90`` is CUDA's, the others are their own."""
    return "cuda" if arch.startswith("sm_") else arch


def nvidia() -> bool:
    """Whether an NVIDIA GPU is here, found by its device file alone."""
    # The folder is listed, and the file not asked for: a remembered plan notices when a listing changes.
    return _CARD.name in os.listdir(_CARD.parent)


def lacking(arch: str) -> str:
    """What this machine lacks to run kernels of this kind, in words; empty where it lacks nothing."""
    api = api_of(arch)
    if api == "cuda":
        return "" if nvidia() else f"there is no NVIDIA GPU here ({_CARD})"
    if api == "opencl":
        return "" if list(_VENDORS.glob("*.icd")) else f"there is no OpenCL driver here ({_VENDORS}): {_pocl()}"
    return "nothing here runs WebGPU outside of a browser"


def _pocl() -> str:
    return "apt-get install pocl-opencl-icd brings one for the processor"


def compile_kernels(folder: Path, source: str, arch: str, *, seconds: float, log: Path) -> dict[str, str]:
    """Makes ``kernels.cubin`` where nvcc is here, and says its version; empty where it is not. Raises ProviderError."""
    nvcc = find("nvcc")
    if nvcc is None:
        return {}
    # Relative names only: the folder must not enter the bytes.
    _run([nvcc, f"-arch={arch}", "-cubin", "-w", "-o", "kernels.cubin", source], folder, seconds, log, "compile")
    said = log.with_name("nvcc-version")
    _run([nvcc, "--version"], folder, 60, said, "tell its version")
    match = re.search(r"V([0-9]+(?:\.[0-9]+)+)", said.read_text("utf-8", "replace"))
    return {"nvcc": match[1] if match else "unknown"}


def run_kernels(
    folder: Path, feeds: Arrays, scratch: Path, *, seconds: float, memory: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outputs for all rows, and what ran them: ``device`` (its name), ``kind`` (gpu or processor) and ``seconds_a_batch``.

    The artifact's own run.py does it, which sees its folder, the system and Python. Raises ProviderError where it fails.
    """
    import numpy as np

    from .process import clean_env
    from .sandbox import ask_python, make_sandbox

    home = scratch / "gpu"
    home.mkdir(exist_ok=True)
    np.savez(home / "in.npz", **feeds)  # type: ignore[arg-type]
    env = {"HOME": str(home), "TMPDIR": str(home), "POCL_CACHE_DIR": str(home), "CUDA_CACHE_PATH": str(home)}
    kept = {key: os.environ[key] for key in ("LD_LIBRARY_PATH", "OCL_ICD_VENDORS") if key in os.environ}
    path = clean_env()["PATH"]
    python = ask_python(sys.executable, ())
    libraries = [Path(part) for part in kept.get("LD_LIBRARY_PATH", "").split(":") if part]
    read = [folder, *(python.folders if python else ()), *libraries]
    sandbox = make_sandbox(read=read, write=[home], hidden=[], path=path, memory=memory)
    said = home / "said"
    said.unlink(missing_ok=True)
    argv = [sys.executable, "-I", str(folder / "run.py"), "--arrays", str(home / "in.npz"), str(home / "out.npz")]
    _run(argv, home, seconds, home / "log", "run", env={**env, **kept}, sandbox=sandbox, stdout=said)
    with np.load(home / "out.npz", allow_pickle=False) as found:
        outputs = dict(found)
    told: dict[str, Any] = json.loads(said.read_text(encoding="utf-8").strip().splitlines()[-1])
    return outputs, told


def _run(
    argv: list[str],
    folder: Path,
    seconds: float,
    log: Path,
    what: str,
    *,
    env: Mapping[str, str] | None = None,
    sandbox: Any = None,
    stdout: Path | None = None,
) -> None:
    from .process import clean_env, run_logged, tail_lines

    ended = run_logged(argv, cwd=folder, env=clean_env(env), log=log, timeout=seconds, confined=sandbox, stdout=stdout)
    if ended.returncode == 0 and not ended.timed_out:
        return
    how = f"no end after {seconds:g} seconds" if ended.timed_out else f"status {ended.returncode}"
    said = "; ".join(tail_lines(log, _SHOWN))
    raise ProviderError(
        f"{Path(argv[0]).name} does not {what} the GPU's kernels ({how}): {said}",
        hint="arch: must be one that this nvcc and this GPU know (nvidia-smi --query-gpu=compute_cap --format=csv)",
        code="MLO1441",
    )
