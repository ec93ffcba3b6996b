"""The tools outside of mlopsctl that a target may need: what each is for, how it is found and how it is had.

Tools are found by looking for their files only. Nothing is started and nothing imported, so a plan may ask too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..errors import ProviderError


class Tool(NamedTuple):
    """A command on the ``PATH`` or, with ``module``, a Python package; ``package`` is what brings it."""

    name: str
    package: str
    purpose: str
    module: bool = False

    @property
    def install(self) -> str:
        """The command that installs it: an extra of mlopsctl, or a package of Debian and its kin."""
        return f"pip install 'mlopsctl[{self.package}]'" if self.module else f"apt-get install {self.package}"


_ALL = (
    Tool("tvm", "tvm", "targets with use: tvm", module=True),
    Tool("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu", "targets with arch: arm64"),
    Tool("arm-linux-gnueabihf-g++", "g++-arm-linux-gnueabihf", "targets with arch: armv7"),
    Tool("riscv64-linux-gnu-g++", "g++-riscv64-linux-gnu", "targets with arch: riscv64"),
    Tool("qemu-aarch64", "qemu-user", "running what was made for arm64"),
    Tool("qemu-arm", "qemu-user", "running what was made for armv7"),
    Tool("qemu-riscv64", "qemu-user", "running what was made for riscv64"),
)

TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _ALL}


def find(name: str) -> str | None:
    """Where a tool of the table is: the path of its command, or the name of its importable package; None where absent."""
    tool = TOOLS[name]
    if not tool.module:
        return shutil.which(tool.name)
    from importlib.util import find_spec

    return tool.name if find_spec(tool.name) is not None else None


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
