"""Makes a target of ``use: mcu``: whole numbers, C, firmware, and the answers of an emulated board."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...adapters.artifact import evidence, known, unrun, write_description
from ...adapters.firmware import COMPILER, EMULATOR, NANOSECONDS_A_TICK, compile_model, emulate
from ...adapters.hardware import Workbench, command, versions
from ...adapters.quantisation import Scheme, quantise
from ...adapters.tools import TOOLS, missing
from ...errors import ProviderError
from ...provider import Context, Inputs
from ...types import Json, Outcome

if TYPE_CHECKING:
    from ...adapters.comparison import Comparison
    from ...adapters.table import Table
    from .mcu import Spec

RUNTIME = "c"
_READY = ("QuantizeLinear", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
"""Operators of models that are whole numbers already; every other model is quantised first."""


class _Rows(NamedTuple):
    """The view, and the same as the model's inputs."""

    table: Table
    feeds: dict[str, Any]


def make(original: Path, spec: Spec, inputs: Inputs, ctx: Context) -> Outcome:
    """The folder with the model's C and what is known of it. Raises ProviderError where there is no such form of it."""
    from ...adapters.features import feed
    from ...adapters.inference import inspect_model
    from ...adapters.table import read_table

    model, data = known(inputs, "model"), known(inputs, "data")
    description = inspect_model(original)
    form, figures, made_with = _in_whole_numbers(original, description, spec, inputs, ctx)
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    rows = _Rows(table, feed(table, data.facts, description["inputs"]))
    artifact, work = ctx.scratch / "artifact", ctx.scratch / "run"
    artifact.mkdir()
    work.mkdir()
    ctx.tell(f"writing C for {spec.mcpu}")
    emitted = _emit(form, rows.feeds, artifact, work, spec)
    bench = Workbench(ctx.scratch, spec.timeout, spec.memory, ctx.scratch / "tools.log")
    footprint = compile_model(artifact, bench, spec.mcpu)
    figures |= {"mcpu": spec.mcpu, **footprint._asdict()}
    figures |= {"operations": emitted["operations"], "exact": emitted["exact"]}
    ports = {"inputs": description["inputs"], "outputs": description["outputs"]}
    write_description(
        artifact,
        runtime=RUNTIME,
        model="model.o",
        name=model.address.name,
        classes=data.facts.get("classes"),
        mcpu=spec.mcpu,
        prefix=spec.prefix,
        **ports,
    )
    made_with |= versions(bench, _asked(COMPILER))
    place = {"runtime": RUNTIME, "device": "mcu", "arch": spec.mcpu, **ports}
    if missing((EMULATOR,)):
        why = f"{EMULATOR} is not here to run it: {TOOLS[EMULATOR].install}"
        facts = unrun(artifact, model.digest, proof="compiled", why=why, figures=figures, **place)
        return Outcome({"artifact": artifact}, facts, made_with)
    ctx.tell(f"running it on an emulated board for {table.rows} rows")
    judged = _run(form, emitted, artifact, bench._replace(folder=work), spec)
    figures |= {"bit_exact_rows": judged["equal"], "instructions": judged["instructions"]}
    found = _compared(original, description, rows, data.facts, work / "outputs.npz")
    facts = evidence(
        artifact,
        model.digest,
        found.agreement,
        metrics=found.metrics,
        view=spec.view,
        proof="emulated",
        figures=figures,
        **place,
    )
    return Outcome({"artifact": artifact}, facts, {**made_with, **versions(bench, _asked(EMULATOR))})


def _in_whole_numbers(
    original: Path, description: Mapping[str, Any], spec: Spec, inputs: Inputs, ctx: Context
) -> tuple[Path, dict[str, Json], dict[str, str]]:
    """The model itself where it is whole numbers already, else its 8-bit form; its figures and what made it."""
    if any(name.rpartition("::")[2] in _READY for name in description["ops"]):
        return original, {}, {}
    ctx.tell("quantising: int8")
    (ctx.scratch / "quantised").mkdir()
    out = ctx.scratch / "quantised" / "model.onnx"
    made = quantise(
        original,
        out,
        Scheme("int8", weight_bits=8),
        "use: mcu",
        ctx,
        inputs=inputs,
        rows=spec.calibration,
        seconds=spec.timeout,
        memory=spec.memory,
    )
    figures: dict[str, Json] = {"quantised": made["quantised"], "calibration_rows": made["rows"]}
    return out, figures, {"onnx": str(made["onnx"]), "onnxruntime": str(made["onnxruntime"])}


def _emit(form: Path, feeds: Mapping[str, Any], artifact: Path, work: Path, spec: Spec) -> dict[str, Any]:
    import numpy as np

    if len(feeds) != 1:
        raise ProviderError(
            f"use: mcu takes models with one input; this one has {len(feeds)}",
            hint="export the model with all features in one input",
            code="MLO1462",
        )
    rows = next(iter(feeds.values()))
    np.save(work / "rows.npy", np.asarray(rows, np.float32), allow_pickle=False)
    request = {"do": "emit", "out": str(artifact), "prefix": spec.prefix, "feed": str(work / "rows.bin")}
    return _ask(form, request, work, spec, "writing the model as C")


def _ask(form: Path, request: Mapping[str, Any], work: Path, spec: Spec, task: str) -> dict[str, Any]:
    from ...adapters.worker import run_worker
    from ...workers import mcu as worker

    full = {**request, "model": str(form), "rows": str(work / "rows.npy")}
    answer = run_worker(Path(worker.__file__), full, seconds=spec.timeout, memory=spec.memory, task=task)
    if said := answer.get("refused") or answer.get("error"):
        raise ProviderError(
            f"use: mcu can not take the model: {said}",
            hint="docs/targets.md lists the operators that have a form in whole numbers; use: tvm takes others",
            code="MLO1462",
        )
    return answer


def _asked(tool: str) -> dict[str, list[str]]:
    return {tool: [command(tool), "--version"]}


def _run(form: Path, emitted: Mapping[str, Any], artifact: Path, bench: Workbench, spec: Spec) -> dict[str, Any]:
    """Emulates the firmware over all rows. Raises ProviderError unless every bit is that of the reference."""
    from ...integer import c

    work = bench.folder
    check = Path(c.__file__).parent / "firmware"
    sizes = {"FEATURES": emitted["features"], "RESULTS": emitted["results"]}
    answers = emulate(artifact, check, bench, spec.mcpu, spec.prefix, sizes)
    request = {"do": "judge", "answers": str(answers), "outputs": str(work / "outputs.npz")}
    judged = _ask(form, request, work, spec, "comparing the firmware's answers")
    if judged["equal"] != judged["rows"]:
        raise ProviderError(
            f"the firmware is not the model: {judged['rows'] - judged['equal']} of {judged['rows']} rows differ in some bit"
            " from the same arithmetic done here",
            hint="report it with the model: the C, its compiler or the emulator is at fault",
            code="MLO1463",
        )
    ticks = judged["ticks"]
    return {**judged, "instructions": None if ticks is None else ticks * NANOSECONDS_A_TICK}


def _compared(
    original: Path, description: Mapping[str, Any], rows: _Rows, data_facts: Mapping[str, Json], outputs: Path
) -> Comparison:
    """What the firmware answered beside what the ONNX model answers."""
    import numpy as np

    from ...adapters.comparison import compare_on
    from ...adapters.inference import run_fully

    before = run_fully(original, rows.feeds)
    with np.load(outputs, allow_pickle=False) as found:
        after = {name: found[name].astype(before.outputs[name].dtype) for name in found.files}
    return compare_on(rows.table, data_facts, before.outputs, after, description=description, keys=before.keys)
