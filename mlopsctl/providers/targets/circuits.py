"""What targets of circuits share: an int8 or tree model as Verilog, what it must answer, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...adapters.artifact import Known, evidence, known, unrun, write_description
from ...adapters.hardware import Workbench, command, versions
from ...adapters.quantisation import LIMITS, Scheme, quantise
from ...adapters.simulation import Job
from ...canonical import decimal
from ...errors import ProviderError
from ...provider import Context, Inputs
from ...types import Json, Resource

if TYPE_CHECKING:
    from ...adapters.comparison import Comparison

SCHEME = Scheme(kind="int8", symmetric=False, per_channel=True, weight_bits=8, ops=None)
OPERATORS = (
    "Gemm", "MatMul", "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Relu", "Clip", "Add",
    "Flatten", "Reshape", "Squeeze", "Unsqueeze",
)  # fmt: skip
"""What is quantised; ends such as Softmax stay with the host."""
_TREES = ("ai.onnx.ml::TreeEnsembleClassifier", "ai.onnx.ml::TreeEnsembleRegressor")


@dataclass(frozen=True)
class Circuit:
    """A circuit's files in the folder of ``bench``, and how the integer model compares with the original on the view."""

    bench: Workbench
    job: Job
    model: Known
    view: str
    description: Mapping[str, Any]
    classes: Json
    written: Mapping[str, Any]
    files: tuple[str, ...]
    found: Comparison
    figures: Mapping[str, Json]
    versions: Mapping[str, str]

    def source(self, name: str) -> str:
        """One of the Verilog files that are the same for every model."""
        from ...integer import verilog

        return (Path(str(verilog.__file__)).parent / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        (self.bench.folder / name).write_text(text, encoding="utf-8")

    def simulator(self) -> dict[str, str]:
        """Verilator and its version."""
        return versions(self.bench, {"verilator": [command("verilator"), "--version"]})

    def packed(self, more: Sequence[str | Path], runtime: str, main: str, about: Mapping[str, Json]) -> Path:
        """The artifact's folder: the circuit's files and ``more``, with a description of what is where."""
        artifact = self.bench.folder.parent / "artifact"
        artifact.mkdir()
        for name in (*self.files, *more):
            file = self.bench.folder / name
            (artifact / file.name).write_bytes(file.read_bytes())
        write_description(
            artifact,
            runtime=runtime,
            model=main,
            name=self.model.address.name,
            inputs=self.description["inputs"],
            outputs=self.description["outputs"],
            classes=self.classes,
            bytes_in=self.job.bytes_in,
            bytes_out=self.job.bytes_out,
            host=self.written["host"],
            **about,
        )
        return artifact

    def facts(
        self, artifact: Path, runtime: str, device: str, arch: str, figures: Mapping[str, Json], why: str
    ) -> dict[str, Json]:
        """What is recorded; ``why`` says why the circuit was not simulated, and is empty where it was."""
        ports = {"inputs": self.description["inputs"], "outputs": self.description["outputs"]}
        common = {"runtime": runtime, "device": device, "arch": arch, "figures": {**self.figures, **figures}, **ports}
        if why:
            return unrun(artifact, self.model.digest, proof="compiled", why=why, **common)
        return evidence(
            artifact,
            self.model.digest,
            self.found.agreement,
            metrics=self.found.metrics,
            view=self.view,
            proof="emulated",
            **common,
        )


def make_circuit(want: Resource, inputs: Inputs, ctx: Context, model: Known) -> Circuit:
    """Quantises the model where it is a network of floats, writes its circuit and executes it in whole numbers.

    Raises ProviderError where the model is no ONNX model or has no circuit; it names the node.
    """
    import numpy as np

    from ...adapters.comparison import compare_on
    from ...adapters.features import feed
    from ...adapters.inference import inspect_model, run_fully
    from ...adapters.table import read_table

    spec = want.spec
    if model.facts.get("kind") == "opaque":
        raise ProviderError(
            f"{model.address} is no ONNX model, so it has no circuit",
            hint=f"write use: program at {want.address}",
            code="MLO1409",
        )
    data = known(inputs, "data")
    original = ctx.store.checkout(model.digest, ctx.scratch / "model") / "model.onnx"
    description = inspect_model(original)
    if len(description["inputs"]) != 1:
        raise _refused(f"it has {len(description['inputs'])} inputs; a circuit takes one")
    form, figures, made_with = _whole(original, description, spec, inputs, ctx)
    table = read_table(ctx.store.path(data.digest), data.facts["format"])
    feeds = feed(table, data.facts, description["inputs"])
    bench = Workbench(ctx.scratch / "bench", spec.timeout, spec.memory, ctx.scratch / "tools.log")
    bench.folder.mkdir()
    facts = ctx.scratch / "facts"
    facts.mkdir()
    rows = facts / "rows.npy"
    np.save(rows, next(iter(feeds.values())), allow_pickle=False)
    written = _written(form, rows, bench.folder, facts, spec)
    after = {name: np.load(facts / f"{at}.npy", allow_pickle=False) for at, name in enumerate(written["outputs"])}
    before = run_fully(original, feeds)
    after = {name: after[name].astype(array.dtype).reshape(array.shape) for name, array in before.outputs.items()}
    found = compare_on(table, data.facts, before.outputs, after, description=description, keys=before.keys)
    if form != original:
        beside = compare_on(table, data.facts, run_fully(form, feeds).outputs, after, description=description)
        figures["agreement_with_int8_onnx"] = decimal(beside.agreement.share, 9)
        figures["max_abs_diff_to_int8_onnx"] = decimal(beside.agreement.max_abs_diff, 10)
    return Circuit(
        bench,
        Job(facts, written["bytes_in"], written["bytes_out"], table.rows),
        model,
        spec.view,
        description,
        data.facts.get("classes"),
        written,
        tuple(sorted(path.name for path in bench.folder.iterdir())),
        found,
        {**figures, "operations": written["operations"]},
        {**made_with, "onnx": written["onnx"]},
    )


def _whole(
    original: Path, description: Mapping[str, Any], spec: Any, inputs: Inputs, ctx: Context
) -> tuple[Path, dict[str, Json], dict[str, str]]:
    """The model in the form that a circuit is read from: trees and what is 8-bit already stay as they are."""
    if any(name in description["ops"] for name in (*_TREES, "QuantizeLinear")):
        return original, {}, {}
    ctx.tell("quantising")
    form = ctx.scratch / "int8.onnx"
    scheme = SCHEME._replace(ops=OPERATORS)
    made = quantise(
        original,
        form,
        scheme,
        f"device: {spec.device}",
        ctx,
        inputs=inputs,
        rows=spec.calibration,
        limits=LIMITS,
        seconds=spec.timeout,
        memory=spec.memory,
    )
    return form, {"calibration_rows": made["rows"]}, {"onnxruntime": str(made["onnxruntime"])}


def _written(form: Path, rows: Path, out: Path, facts: Path, spec: Any) -> dict[str, Any]:
    from ...adapters.worker import run_worker
    from ...workers import circuit

    answer = run_worker(
        Path(circuit.__file__),
        {"model": str(form), "rows": str(rows), "out": str(out), "facts": str(facts), "lanes": spec.lanes},
        seconds=spec.timeout,
        memory=spec.memory,
        task="writing the circuit",
    )
    if "refused" in answer:
        raise _refused(str(answer["refused"]))
    if "error" in answer:
        raise _refused(str(answer["error"]))
    return answer


def _refused(why: str) -> ProviderError:
    return ProviderError(
        f"the model has no circuit: {why}",
        hint="circuits are written for dense and convolutional networks with Relu, Clip, Add, pools, Flatten, Reshape and a"
        " Softmax, Sigmoid or ArgMax at the end, and for trees; docs/targets.md lists them",
        code="MLO1450",
    )
