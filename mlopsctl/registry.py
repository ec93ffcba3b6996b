"""Which providers there are. A new one is one file and one line here; its module is imported only when a manifest names it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .provider import Provider

PROVIDERS: Mapping[str, str] = {
    "data/dvc": "mlopsctl.providers.data.dvc",
    "data/command": "mlopsctl.providers.data.command",
    "train/local": "mlopsctl.providers.train.local",
    "train/command": "mlopsctl.providers.train.command",
    "train/imported": "mlopsctl.providers.train.imported",
    "gates/metric": "mlopsctl.providers.gates.metric",
    "gates/scan": "mlopsctl.providers.gates.scan",
    "gates/table": "mlopsctl.providers.gates.table",
    "gates/command": "mlopsctl.providers.gates.command",
    "targets/onnxruntime": "mlopsctl.providers.targets.onnxruntime",
    "targets/auto": "mlopsctl.providers.targets.auto",
    "targets/openvino": "mlopsctl.providers.targets.openvino",
    "targets/tvm": "mlopsctl.providers.targets.tvm",
    "targets/web": "mlopsctl.providers.targets.web",
    "targets/mcu": "mlopsctl.providers.targets.mcu",
    "targets/asic": "mlopsctl.providers.targets.asic",
    "targets/fpga": "mlopsctl.providers.targets.fpga",
    "targets/program": "mlopsctl.providers.targets.program",
    "targets/command": "mlopsctl.providers.targets.command",
    "deployments/local": "mlopsctl.providers.deployments.local",
    "deployments/command": "mlopsctl.providers.deployments.command",
}

DEFAULT_USE: Mapping[str, str] = {
    "data": "dvc",
    "train": "local",
    "gates": "metric",
    "targets": "onnxruntime",
    "deployments": "local",
}

USE_BY_KEY: Mapping[str, Mapping[str, str]] = {"train": {"import": "imported"}}
"""Keys that say by themselves which provider of the section is meant, where ``use:`` is left out."""

USE_BY_WORD: Mapping[str, Mapping[tuple[str, str], str]] = {
    "targets": {("device", "fpga"): "fpga", ("device", "asic"): "asic", ("device", "gpu"): "tvm"},
}
"""Keys that say it by their value."""


def implied_use(section: str, value_of: Callable[[str], Any], keys: Collection[str]) -> str:
    """The provider that is meant where ``use:`` is left out."""
    for key, word in USE_BY_KEY.get(section, {}).items():
        if key in keys:
            return word
    for (key, value), word in USE_BY_WORD.get(section, {}).items():
        if key in keys and value_of(key) == value:
            return word
    return DEFAULT_USE[section]


@cache
def provider(name: str) -> Provider:
    """The provider registered as ``section/use``. Raises KeyError for an unknown name."""
    return cast("Provider", import_module(PROVIDERS[name]))
