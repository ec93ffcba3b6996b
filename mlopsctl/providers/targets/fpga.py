"""``use: fpga``: the model as a circuit in int8 or trees, simulated on every row, synthesised and packed for a real board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...adapters.artifact import known
from ...adapters.lineage import model_and_view
from ...adapters.quantisation import calibration_need, judge_accuracy_drop
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import ManifestError
from ...provider import (
    Context,
    Inputs,
    Specs,
    diff_by_fingerprint,
    no_notes,
    no_sources,
    nothing_to_remove,
    nothing_to_verify,
    read_from_trail,
    result,
    run,
)
from ...types import Json, Need, Observed, Outcome, Resource, Status, Verdict
from .fields import calibration_field, drop_field, inconclusive_field, view_field

if TYPE_CHECKING:
    from ...adapters.fpga import Placed
    from ...adapters.simulation import Cycles

RESULT_VERSION = 1
LATER_KEYS = ("fallback", "batch", "arch")
RUNTIME = "fpga"

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A model as a bitstream for an FPGA board: int8 networks and trees."""

    model: str = run("", doc="The model to compile; may be left out where only one exists.", ref="train")
    device: Literal["fpga"] = result("fpga", doc="The kind of device; it says use: fpga by itself.")
    part: Literal["ice40-hx8k", "ice40-up5k", "ecp5-12k", "ecp5-25k", "ecp5-45k", "ecp5-85k"] = result(
        "ecp5-25k", doc="The FPGA."
    )
    board: Literal[
        "", "icebreaker", "ice40-hx8k-evn", "ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "colorlight-i5"
    ] = result("", doc="The board, whose pins and clock the bitstream is for; left out, a common one of the part.")
    lanes: int = result(
        1,
        doc="How many products are computed at once: more lanes take more area and fewer cycles.",
        minimum=1,
        maximum=64,
    )
    frequency: int = result(
        0,
        doc="What the circuit must run at, and what placing and routing work towards; left out, the board's clock.",
        quantity="frequency",
    )
    seed: int = result(
        1, doc="Where placing begins; the same seed gives the same bitstream.", minimum=0, maximum=2**31 - 1
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
        return f"part: {self.part}"


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model, the rows on which the artifact is compared with it, and training rows for the scales."""
    from ...integer.verilog.boards import BOARDS

    if spec.board and BOARDS[spec.board].part != spec.part:
        raise ManifestError(
            f"board: {spec.board} carries {BOARDS[spec.board].part}, not part: {spec.part}",
            hint=f"write part: {BOARDS[spec.board].part}, or leave board: out",
            code="MLO1455",
        )
    return (*model_and_view(spec.model, spec.view, specs), *calibration_need(spec.model, specs))


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The recorded frequency and comparison against the bars of today's manifest."""
    spec: Spec = want.spec
    figures = seen.facts["figures"]
    reached, wanted = float(figures["fmax_mhz"]), spec.frequency / 1e6 or float(figures["clock_mhz"])
    if reached < wanted:
        return Verdict(
            Status.FAILED,
            f"the circuit runs at {reached:g} MHz, {wanted:g} MHz are wanted",
            "take fewer lanes: or another seed:, or ask for a lower frequency:",
            blocks=True,
        )
    return judge_accuracy_drop(seen.facts, spec.max_accuracy_drop, warn=spec.inconclusive == "warn")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes the circuit, simulates it and its netlist where Verilator is here, and packs a bitstream."""
    from ...adapters import fpga
    from ...adapters.hardware import versions
    from ...adapters.simulation import TOOLS, simulate
    from ...adapters.tools import missing, require
    from ...integer.verilog.boards import BOARDS, DEFAULT_BOARD, board_file, pin_file
    from .circuits import make_circuit

    spec: Spec = want.spec
    require(fpga.tools_of(spec.part), f"part: {spec.part}")
    board = BOARDS[spec.board or DEFAULT_BOARD[spec.part]]
    circuit = make_circuit(want, inputs, ctx, known(inputs, "model"))
    bench = circuit.bench
    absent = missing(TOOLS)
    made_with = {**circuit.versions, **versions(bench, fpga.asked(spec.part))}
    cycles = None
    if not absent:
        made_with |= circuit.simulator()
        ctx.tell(f"simulating the circuit on {circuit.job.rows} rows")
        cycles = simulate(bench, "circuit", ["core.v"], circuit.job)
    ctx.tell(f"synthesising for {spec.part}")
    fpga.synthesise(bench, spec.part)
    if cycles is not None:
        ctx.tell(f"simulating the netlist on {circuit.job.rows} rows")
        simulate(bench, "netlist", fpga.netlist_sources(bench, spec.part), circuit.job)
    ctx.tell(f"placing and routing for the {board.title}")
    name, pins = pin_file(board)
    circuit.write("top.v", circuit.source("top.v"))
    circuit.write("board.vh", board_file(board))
    circuit.write(name, pins)
    placed = fpga.place(bench, spec.part, name, frequency=spec.frequency or board.clock, seed=spec.seed)
    figures = _figures(spec, board.clock, placed, cycles)
    why = "; ".join(f"{tool.name} is not here to simulate it: {tool.install}" for tool in absent)
    about = {"part": spec.part, "board": board.title, "bitstream": placed.bitstream.name, "clock_hz": board.clock}
    artifact = circuit.packed([placed.bitstream, "top.v", "board.vh", name], RUNTIME, placed.bitstream.name, about)
    facts = circuit.facts(artifact, RUNTIME, "fpga", spec.part, figures, why)
    return Outcome({"artifact": artifact}, facts, made_with)


def _figures(spec: Spec, clock: int, placed: Placed, cycles: Cycles | None) -> dict[str, Json]:
    from ...canonical import decimal

    figures: dict[str, Json] = {
        "lanes": spec.lanes,
        "fmax_mhz": decimal(placed.fmax / 1e6, 2),
        "clock_mhz": decimal(clock / 1e6, 2),
        **placed.used,
    }
    if cycles is None:
        return figures
    reached = {"fmax": placed.fmax, "clock": clock}
    latency = {f"latency_us_at_{name}": decimal(cycles.compute / hertz * 1e6, 2) for name, hertz in reached.items()}
    return {**figures, "cycles": cycles.compute, "cycles_with_transfer": cycles.row, **latency}
