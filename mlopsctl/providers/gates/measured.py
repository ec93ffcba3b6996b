"""What a gate is about: the model, a target's artifact, or a deployment while it runs; read off the specs alone."""

from __future__ import annotations

from typing import Any

from ...adapters.lineage import model_address
from ...errors import ManifestError
from ...provider import Specs, run
from ...types import RUNNING, Address, Need


def target_field() -> Any:
    """The field ``target:`` of a Spec."""
    doc = "The target whose artifact is measured instead of the model; only its deployments are guarded."
    return run("", doc=doc, ref="targets")


def on_field() -> Any:
    """The field ``on:`` of a Spec."""
    return run(
        "",
        doc="The full address of a deployment that is measured while it runs; what comes after it is guarded.",
        pattern=r"^deployments\.[a-z][a-z0-9_-]*(\[[A-Za-z0-9][A-Za-z0-9._,-]*\])?$",
    )


def what_is_measured(spec: Any, specs: Specs) -> tuple[Address, tuple[Need, ...]]:
    """The model behind it, and what is needed beside the model. Raises ManifestError."""
    if sum(map(bool, (spec.target, spec.on, spec.against))) > 1:
        raise ManifestError(
            "a gate measures one thing: 'target', 'on' and 'against' exclude each other",
            hint="write one gate for each",
            code="MLO1321",
        )
    if spec.on:
        running = Address.of("deployments", spec.on.partition(".")[2])
        deployed = specs.get("deployments", {}).get(running.bare)
        if deployed is None:
            known = ", ".join(f"deployments.{name}" for name in sorted(specs.get("deployments", {})))
            raise ManifestError(
                f"'on' names {running}, which the manifest does not declare",
                hint=f"name one of {known}" if known else "declare it first",
                code="MLO3020",
            )
        model, artifact = _behind(deployed.target, spec.model or deployed.model, specs)
        return model, (Need(RUNNING, running), artifact)
    if spec.target:
        model, artifact = _behind(spec.target, spec.model, specs)
        return model, (artifact,)
    return model_address(spec.model, specs), ()


def _behind(target: str, named: str, specs: Specs) -> tuple[Address, Need]:
    """The model that a target compiles, and the target's artifact."""
    own = str(getattr(specs.get("targets", {}).get(target), "model", ""))
    if named and own and named != own:
        raise ManifestError(
            f"targets.{target} compiles train.{own}, and this gate is about train.{named}",
            hint="leave model: out: it follows from the target",
            code="MLO1321",
        )
    return model_address(own or named, specs), Need("artifact", Address.of("targets", target), "artifact")
