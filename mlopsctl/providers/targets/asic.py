"""``use: asic``: the model as a netlist of standard cells, simulated on every row, with its area and its timing."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...adapters.artifact import known
from ...adapters.lineage import model_and_view
from ...adapters.quantisation import calibration_need, judge_accuracy_drop
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    Tree,
    diff_by_fingerprint,
    no_notes,
    nothing_to_remove,
    nothing_to_verify,
    read_from_trail,
    result,
    run,
)
from ...types import Json, Need, Observed, Outcome, Resource, Status, TreeFile, Verdict
from .fields import calibration_field, drop_field, inconclusive_field, view_field

if TYPE_CHECKING:
    from ...adapters.asic import Gates
    from ...adapters.simulation import Cycles

RESULT_VERSION = 1
LATER_KEYS = ("fallback", "batch", "arch", "part")
RUNTIME = "asic"

read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model as a netlist of standard cells: int8 networks and trees."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    device: Literal["asic"] = result("asic", doc="The kind of device; it says use: asic by itself.")
    cells: str = result(
        "osu018",
        doc="The standard cells: osu018, osu035, or the path of a Liberty file that git tracks.",
        pattern=r"^[^/\\].*$",
    )
    lanes: int = result(
        1,
        doc="How many products are computed at once: more lanes take more area and fewer cycles.",
        minimum=1,
        maximum=64,
    )
    frequency: int = result(
        50_000_000, doc="What the netlist must run at, and what mapping works towards.", quantity="frequency"
    )
    view: Literal["train", "val", "test", "all"] = view_field()
    calibration: int = calibration_field()
    max_accuracy_drop: float = drop_field()
    inconclusive: Literal["block", "warn"] = inconclusive_field()
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(900.0, doc="How long each tool may work.", quantity="duration")
    memory: int = run(8 * 2**30, doc="The address space that a tool may use.", quantity="size")

    @property
    def made_for(self) -> str:
        """The other device that the artifact is for, in words."""
        return "device: asic"


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, the rows on which the artifact is compared with it, and training rows for the scales."""
    return (*model_and_view(spec.model, spec.view, specs), *calibration_need(spec.model, specs))


def sources(want: Resource, tree: Tree) -> Mapping[str, TreeFile]:
    """The Liberty file, where it is the repository's. Raises ProviderError where git does not track it."""
    if want.spec.cells in ("osu018", "osu035"):
        return {}
    name = posixpath.normpath(want.spec.cells)
    file = tree.file(name) if tree.tracked(name) else None
    if file is None:
        raise ProviderError(
            f"cells: {want.spec.cells} is no file that git tracks",
            hint="git add it, or write cells: osu018 or cells: osu035 for the open cells of Debian's qflow-tech",
            code="MLO1454",
        )
    return {name: file}


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded timing and comparison against the bars of today's manifest."""
    spec: Spec = want.spec
    figures = seen.facts["figures"]
    if "fmax_mhz" not in figures:
        return Verdict(
            Status.NOT_ASSESSED, f"{seen.facts['proof']}, its timing was not analysed: {figures['no_timing']}"
        )
    if float(figures["fmax_mhz"]) * 1e6 < spec.frequency:
        return Verdict(
            Status.FAILED,
            f"the netlist runs at {figures['fmax_mhz']} MHz, {spec.frequency / 1e6:g} MHz are wanted",
            "take fewer lanes:, other cells:, or ask for a lower frequency:",
            blocks=True,
        )
    return judge_accuracy_drop(seen.facts, spec.max_accuracy_drop, warn=spec.inconclusive == "warn")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes the circuit, maps it onto the cells, simulates both where Verilator is here, and analyses the timing."""
    from ...adapters import asic
    from ...adapters.hardware import command, versions
    from ...adapters.simulation import TOOLS, simulate
    from ...adapters.tools import TOOLS as ALL
    from ...adapters.tools import missing, require
    from .circuits import make_circuit

    spec: Spec = want.spec
    require(("yosys",), "use: asic")
    library = _library(spec, ctx)
    buffer = asic.buffer_of(library.decode("utf-8", "replace"), f"cells: {spec.cells}")
    circuit = make_circuit(want, inputs, ctx, known(inputs, "model"))
    bench = circuit.bench
    (bench.folder / asic.LIBRARY).write_bytes(library)
    made_with = {**circuit.versions, **versions(bench, {"yosys": [command("yosys"), "-V"]})}
    ctx.tell(f"mapping onto {spec.cells}")
    gates = asic.synthesise(bench, buffer, spec.frequency)
    absent, cycles = missing(TOOLS), None
    if not absent:
        made_with |= circuit.simulator()
        ctx.tell(f"simulating the netlist on {circuit.job.rows} rows")
        cycles = simulate(bench, "netlist", ["flat.v"], circuit.job)
    fmax, files = None, ["gates.v"]
    if not missing(("sta",)):
        ctx.tell("analysing the timing")
        fmax = asic.timing(bench, spec.frequency)
        made_with |= versions(bench, {"opensta": [command("sta"), "-version"]})
        files += ["core.sdc", "timing.txt"]
    figures = _figures(spec, gates, fmax, cycles, ALL["sta"].install)
    why = "; ".join(f"{tool.name} is not here to simulate it: {tool.install}" for tool in absent)
    artifact = circuit.packed(files, RUNTIME, "gates.v", {"cells": spec.cells})
    facts = circuit.facts(artifact, RUNTIME, "asic", spec.cells, figures, why)
    return Outcome({"artifact": artifact}, facts, made_with)


def _library(spec: Spec, ctx: Context) -> bytes:
    from ...adapters.asic import OPEN_CELLS

    if spec.cells not in OPEN_CELLS:
        return ctx.tree.read(posixpath.normpath(spec.cells))
    path: Path = OPEN_CELLS[spec.cells]
    if not path.is_file():
        raise ProviderError(
            f"cells: {spec.cells} needs {path}, which this machine does not have",
            hint=f"apt-get install qflow-tech-{spec.cells}",
            code="MLO1411",
        )
    return path.read_bytes()


def _figures(spec: Spec, gates: Gates, fmax: float | None, cycles: Cycles | None, install: str) -> dict[str, Json]:
    from ...canonical import decimal

    figures: dict[str, Json] = {
        "lanes": spec.lanes,
        "cells": gates.cells,
        "flip_flops": gates.flip_flops,
        "area": decimal(gates.area, 1),
    }
    if fmax is None:
        figures["no_timing"] = f"sta is not here: {install}"
    else:
        figures["fmax_mhz"] = decimal(fmax / 1e6, 2)
    if cycles is not None:
        figures |= {"cycles": cycles.compute, "cycles_with_transfer": cycles.row}
        hertz = min(fmax, spec.frequency) if fmax is not None else spec.frequency
        figures["latency_us"] = decimal(cycles.compute / hertz * 1e6, 2)
    return figures
