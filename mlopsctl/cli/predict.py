"""``mlopsctl predict``: predictions for a file of rows, from a model file, a deployment or a server's address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from ..adapters.table import Table
from ..errors import MlopsError, ProviderError, UsageError
from . import console
from .withdrawn import refuse, refuse_path, withdrawn

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_URL = re.compile(r"(?P<endpoint>https?://[^/]+)/v2/models/(?P<name>[^/]+)/?")


@dataclass
class Answers:
    """What a model said about all rows; ``note`` says who answered."""

    outputs: Mapping[str, Array]
    classes: list[Any]
    note: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def predict(
    model: Annotated[str, typer.Argument(help="model.onnx, an artifact folder, a deployment, or URL/v2/models/NAME.")],
    rows: Annotated[str, typer.Argument(metavar="IN", help="Rows: .csv, .parquet or .json; - is stdin.")],
    out: Annotated[str, typer.Argument(help="Where predictions go: .csv or .json; default: stdout.")] = "-",
    drop: Annotated[list[str] | None, typer.Option("--drop", help="A column that is no feature; repeatable.")] = None,
    format: Annotated[str, typer.Option("--format", help="csv or json; default: as OUT ends, else csv.")] = "",
) -> int:
    """Predictions for a file of rows: one record a row, in the same order.

    Columns that the dataset declares as label or key are left out by themselves.

    Examples:

      mlopsctl predict local data/digits.csv predictions.csv

      mlopsctl predict model.onnx rows.json --format json
    """
    from .rows import read_rows, write_predictions

    kind = format or ("json" if out.endswith(".json") else "csv")
    if kind not in ("csv", "json"):
        raise UsageError(f"--format {kind} is not known", hint="--format csv or --format json", code="MLO6464")
    table = read_rows(rows)
    table = Table({name: values for name, values in table.columns.items() if name not in (drop or ())}, table.rows)
    if not table.rows:
        raise UsageError(f"{rows} holds no rows", hint="give a file with at least one row", code="MLO6463")
    found = _answer(model, table)
    write_predictions(found.outputs, _predictions(found, table.rows), found.classes, out, kind)
    console.note(f"{table.rows} rows, {found.note}")
    return 0


def _answer(model: str, table: Table) -> Answers:
    if match := _URL.fullmatch(model):
        return _ask(match["endpoint"], unquote(match["name"]), table, {})
    path = Path(model)
    if path.is_dir() or path.suffix == ".onnx":
        if path.exists():
            refuse_path(path)
        return _run(path, table)
    return _deployed(model, table)


def _run(path: Path, table: Table) -> Answers:
    """A file: in a limited process of its own."""
    from ..adapters.features import feed
    from ..adapters.inference import inspect_model, run_model, run_program
    from ..serving.artifact import ArtifactRefused, read_artifact

    classes: list[Any] = []
    if (path / "artifact.json").is_file():
        try:
            artifact = read_artifact(path)
        except ArtifactRefused as error:
            raise _unusable(path, str(error)) from None
        classes, path = list(artifact.classes), artifact.model
        if artifact.runtime == "program":
            from ..serving.program import columns_of

            names = [port.name for port in artifact.inputs] or list(table.columns)
            values = {name: table.columns[name].tolist() for name in names if name in table.columns}
            rows = [{name: column[row] for name, column in values.items()} for row in range(table.rows)]
            answers = run_program(artifact.predict, artifact.folder, rows)
            return Answers(columns_of(answers, [port.name for port in artifact.outputs]), classes, f"by {path}")
        if artifact.runtime != "onnxruntime":
            raise _unusable(path, _elsewhere(artifact.runtime, artifact.raw, artifact.folder))
    elif path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise _unusable(path, "there is no such file")
    description = inspect_model(path)
    outputs = run_model(path, feed(table, {"features": list(table.columns)}, description["inputs"]))
    return Answers(outputs, classes, f"by {path}")


def _elsewhere(runtime: str, raw: Mapping[str, Any], folder: Path) -> str:
    """Who runs an artifact that is no ONNX model."""
    if raw.get("page"):
        return f"it is made for a browser: open {folder / raw['page']}"
    if raw.get("run"):
        return f"it is made for {raw.get('arch') or runtime}; there, its {' '.join(raw['run'])} answers rows"
    return f"its runtime is {runtime}; mlopsctl serve {folder} serves it"


def _unusable(path: Path, why: str) -> ProviderError:
    return ProviderError(
        f"{path} cannot be asked: {why}",
        hint="name a .onnx file, an artifact folder or a deployment",
        code="MLO1531",
    )


def _deployed(name: str, table: Table) -> Answers:
    """A deployment of this project, through its endpoint."""
    from ..registry import provider
    from .project import open_project

    project = open_project()
    want = project.resource(name)
    if want.address.section != "deployments":
        raise UsageError(f"{want.address} is no deployment", hint="name a deployment or a model file", code="MLO6465")
    seen = provider(want.provider).read(want, None, project.context())
    endpoint = str(seen.facts.get("endpoint", "")) if seen else ""
    if not endpoint:
        raise MlopsError(f"{want.address} is not deployed here", hint="mlopsctl apply deploys it", code="MLO1533")
    refuse(withdrawn(project.trail, own=seen), f"what {want.address} runs")
    from ..adapters.lineage import data_address, model_address

    specs: dict[str, dict[str, Any]] = {}
    for other in project.resources:
        specs.setdefault(other.address.section, {})[str(other.address).partition(".")[2]] = other.spec
    model = model_address(want.spec.model, specs)
    data = data_address(model, specs)
    entry = project.trail.latest(data) if data else None
    return _ask(endpoint, model.name, table, entry.facts if entry else {})


def _ask(endpoint: str, name: str, table: Table, facts: Mapping[str, Any]) -> Answers:
    """A server of the Open Inference Protocol, batch by batch."""
    from ..adapters.endpoint import ask_endpoint
    from ..adapters.table import feature_names

    told = ask_endpoint(endpoint, name, table, feature_names(table, facts))
    span = told.decisions[0] if len(told.decisions) == 1 else f"{told.decisions[0]} to {told.decisions[-1]}"
    return Answers(told.outputs, told.classes, f"by {', '.join(sorted(told.artifacts))}, decision {span}")


def _predictions(found: Answers, rows: int) -> list[Any] | None:
    """The class of each row, where the outputs tell one."""
    if not found.classes:
        return None
    from ..measures.predictions import classify

    try:
        told = classify(dict(found.outputs), found.classes, found.classes, rows)
    except ProviderError:
        return None  # outputs that are no classes are written as they are
    return [told.classes[place] if place >= 0 else None for place in told.guess.tolist()]
