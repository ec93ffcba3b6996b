"""A target's artifact folder: its ``artifact.json``, the rows it is compared on, and what is recorded about it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..canonical import canonical, decimal
from ..errors import EvidenceError, ProviderError
from ..measures.words import metrics_words
from ..types import Address, Digest, Input, Json, Status, Verdict

if TYPE_CHECKING:
    from .agreement import Agreement

MACHINES: Mapping[str, str] = {"x86_64": "x86-64", "AMD64": "x86-64", "aarch64": "arm64", "arm64": "arm64"}
"""What ``platform.machine()`` says, in the words of ``arch:``."""


def require_host(arch: str) -> None:
    """Raises ProviderError unless this machine is of the architecture: an artifact is compared by running it."""
    here = MACHINES.get(platform.machine(), platform.machine())
    if here != arch:
        raise ProviderError(
            f"arch: {arch} can not be made here yet: this machine is {here}, and an artifact counts only after it"
            " ran and was compared with the model",
            hint=f"run apply on a machine that is {arch}, or write arch: {here} where this target's use: offers it",
            code="MLO1405",
        )


class Known(NamedTuple):
    """An input that exists: where it comes from, the digest of the needed output, and what was recorded about it."""

    address: Address
    digest: Digest
    facts: Mapping[str, Json]


def known(inputs: Sequence[Input], role: str) -> Known:
    """The input of a role. Raises ProviderError where there is none or its output does not exist."""
    for item in inputs:
        if item.role == role and item.seen is not None and item.digest is not None:
            return Known(item.need.address, item.digest, item.seen.facts)
    named = next((f"{i.need.address} has no output '{i.need.output}'" for i in inputs if i.role == role), "")
    raise ProviderError(
        f"this target needs a {role}" + (f", but {named}" if named else " and its model names none"),
        hint="a view exists where split: makes one; write split: {test: 0.2} at the data, or view: all at this target",
        code="MLO1406",
    )


def write_description(
    folder: Path,
    *,
    runtime: str,
    model: str,
    name: str,
    inputs: Json,
    outputs: Json,
    classes: Json,
    **more: Json,
) -> None:
    """Writes ``artifact.json`` as canonical JSON: neither time nor path enters, so equal artifacts have equal bytes."""
    description = {
        "format": 1,
        "runtime": runtime,
        "model": model,
        "name": name,
        "inputs": inputs,
        "outputs": outputs,
        "classes": classes,
        **more,
    }
    (folder / "artifact.json").write_bytes(canonical(description) + b"\n")


def size_of(folder: Path) -> int:
    """Bytes of all files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def evidence(
    folder: Path,
    model: Digest,
    found: Agreement,
    *,
    view: str,
    runtime: str,
    arch: str,
    inputs: Json,
    outputs: Json,
    figures: Mapping[str, Json],
    device: str = "cpu",
    proof: Literal["emulated", "device-run"] = "device-run",
    metrics: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    """The facts of a target that was run and compared: what it was made of, how well it agreed, and what a metric gives for
    both (``comparison``).

    ``proof`` is ``device-run`` where the comparison ran the artifact itself on the very device it is for, and
    ``emulated`` where a simulator or emulator stood in for the device.
    """
    return {
        "model": model,
        "device": device,
        "arch": arch,
        "runtime": runtime,
        "proof": proof,
        "view": view,
        "n": found.n,
        "agreement": decimal(found.share, 9),
        "max_abs_diff": decimal(found.max_abs_diff, 10),
        "max_scaled_diff": decimal(found.max_scaled_diff, 10),
        "p99_scaled_diff": decimal(found.p99_scaled_diff, 10),
        **({"metrics": dict(metrics)} if metrics else {}),
        "size": size_of(folder),
        "inputs": inputs,
        "outputs": outputs,
        "figures": dict(figures),
    }


def unrun(
    folder: Path,
    model: Digest,
    *,
    proof: Literal["emitted", "compiled"],
    why: str,
    runtime: str,
    device: str,
    arch: str,
    inputs: Json,
    outputs: Json,
    figures: Mapping[str, Json],
) -> dict[str, Json]:
    """The facts of an artifact that was written (``emitted``) or built by its tools (``compiled``), but not run.

    ``why`` says what was missing and how to get it; ``judge_agreement`` shows it with ``not_assessed``.
    """
    return {
        "model": model,
        "device": device,
        "arch": arch,
        "runtime": runtime,
        "proof": proof,
        "not_assessed": why,
        "agreement": None,
        "max_abs_diff": None,
        "n": 0,
        "size": size_of(folder),
        "inputs": inputs,
        "outputs": outputs,
        "figures": dict(figures),
    }


def never_compared(facts: Mapping[str, Json]) -> Verdict | None:
    """The verdict on an artifact that was not run, with the reason that was recorded; None where it was."""
    if not facts.get("not_assessed"):
        return None
    return Verdict(Status.NOT_ASSESSED, f"{facts['proof']}, never compared: {facts['not_assessed']}")


def judge_agreement(facts: Mapping[str, Json], *, tolerance: float, min_agreement: float) -> Verdict:
    """Whether a recorded comparison is good enough for the bars as they stand now; it is never made again for them.

    An artifact that was not run is ``not_assessed``, with the reason that was recorded.
    """
    if never := never_compared(facts):
        return never
    try:
        share, scaled = float(facts["agreement"]), float(facts["max_scaled_diff"])
        rows = f"all {facts['n']} rows agree" if share == 1 else f"{share:.4%} of {facts['n']} rows agree"
        text = f"{rows}, numbers differ by at most {facts['max_abs_diff']} ({facts['proof']})"
        text += f"; {said}" if (said := metrics_words(facts)) else ""
    except (KeyError, ValueError, TypeError) as error:
        raise EvidenceError(
            f"the entry of this artifact holds no comparison ({error})",
            code="MLO1407",
            hint="make it anew: mlopsctl apply --replace ADDRESS",
        ) from None
    if share >= min_agreement and scaled <= tolerance:
        return Verdict(Status.PASSED, text)
    most = facts.get("p99_scaled_diff")
    size = f"{facts['max_scaled_diff']} of max(1, |number|)" + (f", on 99 % of the rows at most {most}" if most else "")
    why, hint = "", "look at the model's numerics (huge weights, ties between classes), choose another use:"
    itself = facts.get("figures") or {}
    if itself.get("deterministic") is False:
        why = f"; two runs of the original agree on {itself.get('agreement_with_itself')} of the rows"
        why += f", numbers within {itself['max_abs_diff_with_itself']}" if "max_abs_diff_with_itself" in itself else ""
        hint = "the program answers otherwise from run to run: fix its seed or temperature"
    return Verdict(
        Status.FAILED,
        f"the artifact answers otherwise than the model: {text}, which is {size}; allowed: agreement >= {min_agreement:g},"
        f" tolerance {tolerance:g}{why}",
        f"{hint}, or accept the difference with tolerance: or min_agreement:",
        blocks=True,
    )


def class_count(data_facts: Mapping[str, Json]) -> int:
    """How many classes the label has; 0 where it is a number or there is none."""
    classes: Any = data_facts.get("classes")
    return len(classes) if classes else 0
