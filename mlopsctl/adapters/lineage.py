"""Which model is meant and which data it belongs to; read off the manifest's specs alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ManifestError
from ..types import Address, Need

Specs = Mapping[str, Mapping[str, Any]]


def model_address(named: str, specs: Specs) -> Address:
    """The training step that ``model:`` names; left out, the only one that no other training step consumes.

    Raises ManifestError where none or several could be meant.
    """
    steps = specs.get("train", {})
    if named:
        return Address.of("train", named)
    consumed = {need.address for spec in steps.values() for need in _needs(spec, specs)}
    final = [name for name in sorted(steps) if Address.of("train", name) not in consumed]
    if len(final) == 1:
        return Address.of("train", final[0])
    if steps and not final:
        raise ManifestError(
            f"which model? each training step is part of another one: {', '.join(sorted(steps))}",
            code="MLO1404",
            hint="no step can need itself, over others either: break the circle, then the last step is the model",
        )
    if not final:
        raise ManifestError(
            "there is no model: the manifest trains none",
            code="MLO1404",
            hint="add one: train: {classifier: {run: python train.py}}",
        )
    raise ManifestError(
        f"which model? there are {len(final)}: {', '.join(final)}", code="MLO1404", hint=f"write model: {final[0]}"
    )


def model_and_view(model: str, view: str, specs: Specs) -> tuple[Need, ...]:
    """What is needed to ask a model about rows: its folder, and one view of the data it was trained on."""
    address = model_address(model, specs)
    data = data_address(address, specs)
    return (Need("model", address, "model"), *((Need("data", data, view),) if data else ()))


def data_address(model: Address, specs: Specs) -> Address | None:
    """The dataset whose views belong to this model: the first that its training step needs, following earlier steps."""
    seen: set[Address] = set()
    waiting = [model]
    while waiting:
        step = waiting.pop(0)
        spec = specs.get(step.section, {}).get(step.bare)
        if spec is None or step in seen:
            continue
        seen.add(step)
        for need in _needs(spec, specs):
            if need.role == "data" and need.address.section == "data":
                return need.address
            if need.address.section == "train":
                waiting.append(need.address)
        # A model that was made elsewhere needs no data; it says itself what it is measured on.
        named = getattr(spec, "data", "")
        if not _needs(spec, specs) and isinstance(named, str) and named:
            return Address.of("data", named)
    return None


def datasets_of(model: Address, specs: Specs) -> set[Address]:
    """Every dataset that a model is made from, also by way of the models that it starts from."""
    found: set[Address] = set()
    waiting, seen = [model], {model}
    while waiting:
        step = waiting.pop()
        spec = specs.get(step.section, {}).get(step.bare)
        for need in _needs(spec, specs) if spec is not None else ():
            if need.address.section == "data":
                found.add(need.address)
            elif need.address.section == "train" and need.address not in seen:
                seen.add(need.address)
                waiting.append(need.address)
    return found


def gates_of_data(datasets: Iterable[Address], specs: Specs) -> tuple[Address, ...]:
    """The gates that judge one of the datasets by itself: they come before whatever is made from it."""
    wanted = set(datasets)
    return tuple(
        Address.of("gates", name)
        for name, gate in sorted(specs.get("gates", {}).items())
        if getattr(gate, "of_data", False) and Address.of("data", gate.data) in wanted
    )


def _needs(spec: Any, specs: Specs) -> tuple[Need, ...]:
    # A Spec lives in its provider's module, which is loaded, or the Spec would not exist.
    found: tuple[Need, ...] = sys.modules[type(spec).__module__].needs(spec, specs)
    return found
