"""Keys that every deployment has: which gates guard it, what it comes after, who must agree, and whose work counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...adapters.lineage import datasets_of, model_address
from ...errors import ManifestError
from ...provider import Specs, policy
from ...types import GUARD, Address, Need

BRANCH = (
    "The branch, or a glob of branches, that this is deployed from; left out: the default branch, any for use: local."
)
GATES = (
    "The gates that guard it, and no other ones; the scan of its model always does. Left out: every gate of its model "
    "and target."
)
AFTER = "Another deployment that must run the artifact first: its name, or with 'for' how long it must have run it."

VERSION = (
    "The artifact of its target that it stays on: how its digest begins (sha256:… or dirhash:…), the id of the entry "
    "that made or deployed it, or the number of the release that put it out; left out: the newest."
)


@dataclass(frozen=True)
class Approvals:
    """How many people must agree to a release, each neither its author nor its trainer."""

    count: int = policy(1, doc="How many different people.", minimum=1, looser="lower")
    valid: float | None = policy(
        None, doc="How long an approval counts; left out: for ever.", quantity="duration", looser="higher"
    )


@dataclass(frozen=True)
class After:
    """Another deployment that must have run the artifact before this one does."""

    deployment: str = policy(doc="The other deployment.", ref="deployments", looser="any")
    for_: float = policy(0.0, doc="How long it must have run the artifact.", quantity="duration", looser="lower")


def spelt_out(spec: Any) -> None:
    """Of ``after: NAME`` the long form, so that a control has one spelling."""
    if isinstance(spec.after, str):
        object.__setattr__(spec, "after", After(spec.after))


def deployed(spec: Any, specs: Specs, *, served: bool = False) -> str:
    """The target of a deployment, or the first of its ``fallback:`` that this machine has what it takes for.

    What a machine has is found by looking for files. With ``served`` a target counts only where a server of ours loads it.
    Where none can be had it is the target itself, whose own step says what is missing.
    """
    targets = specs.get("targets", {})
    names = (spec.target, *getattr(targets.get(spec.target), "fallback", ()))
    if len(names) == 1:
        return str(spec.target)
    lacks = ("lacks", "made_for") if served else ("lacks",)
    fine = (name for name in names if not any(getattr(targets.get(name), lack, "") for lack in lacks))
    return str(next(fine, spec.target))


def artifact_and_guards(spec: Any, specs: Specs, *, served: bool = False) -> tuple[Need, ...]:
    """The target's artifact; as guards its gates, and the deployment that comes first. Raises ManifestError."""
    target = specs.get("targets", {}).get(spec.target)
    chosen = deployed(spec, specs, served=served)
    model = spec.model or getattr(target, "model", "") or model_address("", specs).bare
    return (
        Need("artifact", Address.of("targets", chosen), "artifact"),
        *(Need(GUARD, gate) for gate in _guards(spec, model, specs, chosen)),
        *(Need(GUARD, other) for other in _first(spec, specs)),
    )


def _guards(spec: Any, model: str, specs: Specs, chosen: str) -> Iterator[Address]:
    """The gates that ``gates:`` names, else those whose model is this one and whose target is unset or equal."""
    if spec.gates == ():
        raise ManifestError(
            "a deployment without gates lets everything through: 'gates' is empty",
            hint="name the gates that guard it, or leave gates: out: then every gate of its model does",
            code="MLO1543",
        )
    for name, gate in sorted(specs.get("gates", {}).items()):
        named = spec.gates is not None and name in spec.gates
        if on := getattr(gate, "on", ""):
            follows = spec.after is not None and on == f"deployments.{spec.after.deployment}"
            if named and not follows:
                raise ManifestError(
                    f"gates.{name} measures {on}, and this deployment does not come after it",
                    hint=f"write after: {on.partition('.')[2]}, or take {name} out of gates:",
                    code="MLO1545",
                )
            counts = named if spec.gates is not None else follows
        elif spec.gates is None:
            counts = _of(gate, specs, model) and getattr(gate, "target", "") in ("", None, spec.target, chosen)
        else:
            counts = named or (_of(gate, specs, model) and _always(gate))
        if counts:
            yield Address.of("gates", name)


def _of(gate: Any, specs: Specs, model: str) -> bool:
    """Whether a gate is about this model; one that leaves it out means its target's, or the only one there is."""
    if getattr(gate, "of_data", False):
        return Address.of("data", gate.data) in datasets_of(Address.of("train", model), specs)
    of_target = getattr(specs.get("targets", {}).get(getattr(gate, "target", "")), "model", "")
    return (getattr(gate, "model", "") or of_target or (model if len(specs.get("train", {})) == 1 else "")) == model


def _always(gate: Any) -> bool:
    """Whether no list of gates leaves it out: what is served was looked through first."""
    return bool(getattr(sys.modules[type(gate).__module__], "ALWAYS", False))


def _first(spec: Any, specs: Specs) -> Iterator[Address]:
    if spec.after is None:
        return
    name = spec.after.deployment
    other = getattr(specs.get("deployments", {}).get(name), "target", spec.target)
    if other != spec.target:
        raise ManifestError(
            f"it comes after deployments.{name}, which deploys targets.{other} and so never runs its artifact",
            hint=f"give both the same target: target: {other}",
            code="MLO1544",
        )
    yield Address.of("deployments", name)
