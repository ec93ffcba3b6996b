"""One small provider a section, enough to read manifests with; the real ones have more keys and rooms of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import pytest

from mlopsctl import registry, schema
from mlopsctl.manifest import load as manifest
from mlopsctl.provider import Specs, policy, result
from mlopsctl.provider import run as running
from mlopsctl.types import GUARD, Address, Need


@dataclass(frozen=True)
class Split:
    """How rows are divided."""

    test: float = result(0.2, doc="The share for tests.", exclusive_minimum=0, exclusive_maximum=1)
    by: str = result("", doc="The column that keeps rows together.")
    key: str = result("", doc="The column that names a row.")


@dataclass(frozen=True)
class Data:
    """A table."""

    path: str = result(doc="Where it lies.")
    label: str | None = result(None, doc="The column to predict.")
    split: Split | Literal["none"] | None = result(None, doc="How rows are divided.")  # noqa: RUF009


@dataclass(frozen=True)
class Train:
    """A command."""

    run: str | tuple[str, ...] = result(doc="The command.", placeholders=True)
    data: str = running("", doc="The dataset.", ref="data")
    params: Mapping[str, Any] = result({}, doc="Settings.")
    produces: Literal["model", "files"] = result("model", doc="What it makes.")


@dataclass(frozen=True)
class Gate:
    """A metric and a bar."""

    metric: str = result(doc="What is measured.")
    min: float | None = policy(None, doc="The bar.")
    model: str = running("", doc="The model.", ref="train")
    data: str = running("", doc="The dataset.", ref="data")
    target: str = running("", doc="Measure this artifact.", ref="targets")


@dataclass(frozen=True)
class Scan:
    """Looks a model through."""

    model: str = running("", doc="The model.", ref="train")


@dataclass(frozen=True)
class Target:
    """A compiled model."""

    model: str = running("", doc="The model.", ref="train")


@dataclass(frozen=True)
class Deployment:
    """A served artifact."""

    target: str = running(doc="The target.", ref="targets")
    model: str = running("", doc="The model.", ref="train")
    to: str = result("", doc="Where to.")


def _of_model(spec: Any, specs: Specs) -> tuple[Need, ...]:
    return (Need("model", Address("train", spec.model), "model"),)


def _of_train(spec: Train, specs: Specs) -> tuple[Need, ...]:
    lines = (spec.run,) if isinstance(spec.run, str) else spec.run
    others = [name for name in specs["train"] if any(f"{{train.{name}}}" in line for line in lines)]
    data = (Need("data", Address("data", spec.data), "train"),) if spec.data else ()
    return (*data, *(Need("base", Address("train", name), "model") for name in others))


def _of_deployment(spec: Deployment, specs: Specs) -> tuple[Need, ...]:
    gates = [name for name, gate in specs["gates"].items() if gate.model == spec.model]
    artifact = Need("artifact", Address("targets", spec.target), "artifact")
    return (artifact, *(Need(GUARD, Address.parse(f"gates.{name}")) for name in gates))


_ROOMS: Mapping[str, tuple[type, Any]] = {
    "data/dvc": (Data, lambda spec, specs: ()),
    "train/local": (Train, _of_train),
    "gates/metric": (Gate, _of_model),
    "gates/scan": (Scan, _of_model),
    "targets/onnxruntime": (Target, _of_model),
    "targets/tvm": (Target, _of_model),
    "deployments/local": (Deployment, _of_deployment),
}


@contextmanager
def small_house() -> Iterator[None]:
    """Puts the small providers in the place of the real ones."""
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, (spec, needs) in _ROOMS.items():
            module = ModuleType("small_house." + name.replace("/", "."))
            module.__dict__.update(Spec=spec, needs=needs, RESULT_VERSION=1)
            patch.setitem(sys.modules, module.__name__, module)
            names[name] = module.__name__
        for user in (registry, manifest, schema):
            patch.setattr(user, "PROVIDERS", names)
        registry.provider.cache_clear()
        yield
    registry.provider.cache_clear()
